#include "bench/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace normquant::bench {
namespace {

std::vector<double> ascending(std::span<const double> samples) {
  std::vector<double> sorted(samples.begin(), samples.end());
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

/// See Summary::relative_error.
double relative_error_of_median(std::span<const double> sorted, double median) {
  const std::size_t n = sorted.size();
  if (n < 4 || !(median > 0)) return std::numeric_limits<double>::infinity();
  const double middle = static_cast<double>(n - 1) / 2;
  const double reach = std::sqrt(static_cast<double>(n));
  const auto low = static_cast<std::size_t>(std::floor(std::max(middle - reach, 0.0)));
  const auto high = std::min(static_cast<std::size_t>(std::ceil(middle + reach)), n - 1);
  return (sorted[high] - sorted[low]) / 4 / median;
}

/// Standard deviation of the samples from the steps between neighbours, which a drift hardly changes: three quarters of
/// the steps of normal samples are below 1.1503 * sqrt(2) deviations.
double deviation_of_steps(std::span<const double> samples) {
  std::vector<double> steps;
  for (std::size_t i = 1; i < samples.size(); ++i) steps.push_back(std::abs(samples[i] - samples[i - 1]));
  return steps.empty() ? 0 : quantile(ascending(steps), 0.75) / (1.1503 * std::sqrt(2.0));
}

void compare_halves(std::span<const double> samples, Summary& summary) {
  const std::size_t half = samples.size() / 2;
  if (half == 0 || !(summary.median > 0)) return;
  const std::vector<double> first = ascending(samples.first(half)), second = ascending(samples.last(half));
  const double before = quantile(first, 0.5), after = quantile(second, 0.5);
  summary.halves_differ = std::abs(after - before) / summary.median;
  // The median of n normal samples has the standard error 1.2533 deviations / sqrt(n); two halves, sqrt(2) of that.
  const double one_half = 1.2533 * deviation_of_steps(samples) / std::sqrt(static_cast<double>(half));
  summary.halves_error = std::sqrt(2.0) * one_half / summary.median;
}

}  // namespace

double quantile(std::span<const double> ascending, double p) {
  if (ascending.empty()) return std::numeric_limits<double>::quiet_NaN();
  const double position = std::clamp(p, 0.0, 1.0) * static_cast<double>(ascending.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const std::size_t above = std::min(below + 1, ascending.size() - 1);
  return std::lerp(ascending[below], ascending[above], position - static_cast<double>(below));
}

Summary summarise(std::span<const double> samples) {
  const std::vector<double> sorted = ascending(samples);
  Summary summary;
  summary.count = sorted.size();
  summary.median = quantile(sorted, 0.5);
  summary.minimum = quantile(sorted, 0);
  summary.p05 = quantile(sorted, 0.05);
  summary.p95 = quantile(sorted, 0.95);
  summary.q1 = quantile(sorted, 0.25);
  summary.q3 = quantile(sorted, 0.75);
  summary.maximum = quantile(sorted, 1);
  summary.relative_error = relative_error_of_median(sorted, summary.median);
  compare_halves(samples, summary);
  return summary;
}

std::string_view name_of(Stop stop) {
  switch (stop) {
    case Stop::keep_going: return "keep_going";
    case Stop::precise: return "precise";
    case Stop::sample_cap: return "sample_cap";
    case Stop::time_cap: return "time_cap";
  }
  return "unknown";
}

bool drifting(const Summary& summary, const SamplingRule& rule) {
  if (summary.count < 16) return false;
  return summary.halves_differ > std::max(2 * rule.relative_error, 3 * summary.halves_error);
}

Stop decide(std::span<const double> samples, double elapsed_seconds, const SamplingRule& rule) {
  if (samples.empty()) return Stop::keep_going;
  if (samples.size() >= rule.minimum) {
    const Summary summary = summarise(samples);
    if (summary.relative_error <= rule.relative_error && !drifting(summary, rule)) return Stop::precise;
  }
  if (samples.size() >= rule.maximum) return Stop::sample_cap;
  if (elapsed_seconds >= rule.seconds) return Stop::time_cap;
  return Stop::keep_going;
}

}  // namespace normquant::bench
