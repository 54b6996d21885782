// Quantiles of samples, and how well they fix the median of the distribution they come from.
#pragma once

#include <optional>
#include <vector>

namespace normquant::reports {

/// The samples in ascending order.
std::vector<double> ascending(std::vector<double> samples);

/// Value below which the share `p` lies, linear between neighbours. The samples must be ascending and not empty.
double quantile(const std::vector<double>& ascending, double p);

struct Interval {
  double low = 0, high = 0;
};

/// Interval that holds the distribution's median with a probability of at least 1 - alpha, whatever the distribution.
/// The number of n independent samples below the median is binomial(n, 1/2); the k-th smallest and the k-th largest
/// sample enclose the median unless fewer than k samples lie on one side of it, which happens with probability
/// 2 * P(binomial(n, 1/2) <= k - 1). The largest k for which that is at most alpha is taken. Nothing when even the
/// smallest and the largest sample (k = 1: 2^(1 - n)) do not enclose it surely enough. The samples must be ascending.
std::optional<Interval> median_interval(const std::vector<double>& ascending, double alpha);

}  // namespace normquant::reports
