#include "reports/order_statistics.hpp"

#include <algorithm>
#include <cmath>

namespace normquant::reports {
namespace {

/// P(binomial(n, 1/2) = k).
double binomial_half(std::size_t n, std::size_t k) {
  const auto total = static_cast<double>(n), chosen = static_cast<double>(k);
  const double log_choices = std::lgamma(total + 1) - std::lgamma(chosen + 1) - std::lgamma(total - chosen + 1);
  return std::exp(log_choices - total * std::log(2.0));
}

}  // namespace

std::vector<double> ascending(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  return samples;
}

double quantile(const std::vector<double>& ascending, double p) {
  const double position = p * static_cast<double>(ascending.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const std::size_t above = std::min(below + 1, ascending.size() - 1);
  return std::lerp(ascending[below], ascending[above], position - static_cast<double>(below));
}

std::optional<Interval> median_interval(const std::vector<double>& ascending, double alpha) {
  const std::size_t n = ascending.size();
  std::size_t k = 0;
  double outside = 0;  // 2 * P(binomial(n, 1/2) <= k - 1)
  while (k < n / 2) {
    outside += 2 * binomial_half(n, k);
    if (outside > alpha) break;
    ++k;
  }
  if (k == 0) return std::nullopt;
  return Interval{ascending[k - 1], ascending[n - k]};
}

}  // namespace normquant::reports
