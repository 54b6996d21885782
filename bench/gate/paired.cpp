#include "bench/gate/paired.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <boost/math/distributions/beta.hpp>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>

namespace normquant::gate {
namespace {

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

PairScatter scatter_of(const std::vector<double>& log_ratios) {
  if (log_ratios.size() < 2) return {};
  const double mean = mean_of(log_ratios);
  double squares = 0;
  for (double value : log_ratios) squares += (value - mean) * (value - mean);
  const auto degrees = static_cast<double>(log_ratios.size() - 1);
  return {squares / degrees, degrees};
}

PairScatter pooled(const PairScatter& a, const PairScatter& b) {
  const double degrees = a.degrees + b.degrees;
  if (!(degrees > 0)) return {};
  return {(a.variance * a.degrees + b.variance * b.degrees) / degrees, degrees};
}

std::optional<Interval> paired_interval(const std::vector<double>& log_ratios, const PairScatter& known, double alpha) {
  const PairScatter scatter = pooled(scatter_of(log_ratios), known);
  if (log_ratios.empty() || !(scatter.degrees > 0)) return std::nullopt;
  const boost::math::students_t student(scatter.degrees);
  const double times = boost::math::quantile(boost::math::complement(student, alpha / 2));
  const double deviation = std::max(std::sqrt(scatter.variance), least_scatter);
  const double reach = times * deviation / std::sqrt(static_cast<double>(log_ratios.size()));
  const double mean = mean_of(log_ratios);
  return Interval{std::exp(mean - reach), std::exp(mean + reach)};
}

double limit_of(double min_effect) { return std::sqrt(1 + min_effect); }

Change classify_paired(const std::optional<Interval>& interval, double min_effect) {
  return reports::classify(interval, limit_of(min_effect) - 1);
}

std::optional<Interval> order_interval(const std::vector<double>& log_ratios, double alpha) {
  const auto interval = reports::median_interval(reports::ascending(log_ratios), alpha);
  if (!interval) return std::nullopt;
  return Interval{std::exp(interval->low), std::exp(interval->high)};
}

Change classify_pairs(const std::optional<Interval>& student, const std::optional<Interval>& order, double min_effect) {
  const Change change = classify_paired(student, min_effect);
  if (change == Change::same || change == Change::inconclusive) return change;
  return classify_paired(order, min_effect) == change ? change : Change::inconclusive;
}

double pairs_that_decide(const std::vector<double>& log_ratios, const PairScatter& known, double alpha,
                         double min_effect) {
  const PairScatter scatter = pooled(scatter_of(log_ratios), known);
  if (log_ratios.empty() || !(scatter.degrees > 0)) return 0;
  const double mean = std::abs(mean_of(log_ratios)), limit = std::log(limit_of(min_effect));
  const double apart = std::max(std::abs(mean - limit), 1e-5);
  const double times = boost::math::quantile(boost::math::complement(boost::math::normal(), alpha / 2));
  const double student = std::pow(times * std::max(std::sqrt(scatter.variance), least_scatter) / apart, 2);
  const double order = mean > limit ? 1 - std::log2(alpha) : 2;  // where all pairs lie on one side
  return std::ceil(std::max(student, order));
}

Interval rate_interval(int hits, int trials, double confidence) {
  if (trials <= 0) return {0, 1};
  const double outside = (1 - confidence) / 2;
  Interval interval{0, 1};
  if (hits > 0) {
    interval.low = boost::math::quantile(boost::math::beta_distribution<>(hits, trials - hits + 1), outside);
  }
  if (hits < trials) {
    interval.high = boost::math::quantile(
        boost::math::complement(boost::math::beta_distribution<>(hits + 1, trials - hits), outside));
  }
  return interval;
}

}  // namespace normquant::gate
