// Paired statistics: two processes, one of either side and one after the other, give one log-ratio.
// Pure.
//
// Each process gives one number a case, its median. The samples within a process share its memory
// addresses and clocks, so they are no independent evidence of how two programs differ.
// Processes run in blocks A B B A. A block gives two pairs, so that a steady drift adds to one what
// it takes from the other.
#pragma once

#include <optional>
#include <vector>

#include "reports/comparison.hpp"
#include "reports/order_statistics.hpp"

namespace normquant::gate {

using reports::Change;
using reports::Interval;

/// How much log-ratios of pairs of equal programs scatter in one case, as qualification found it.
struct PairScatter {
  double variance = 0;
  double degrees = 0;  ///< of freedom; 0: not known
};

/// Sample variance, and its degrees of freedom (one less than the values; 0 without two values).
PairScatter scatter_of(const std::vector<double>& log_ratios);

/// Both estimates as one, weighted by their degrees of freedom.
PairScatter pooled(const PairScatter& a, const PairScatter& b);

/// No scatter is taken for less: records are rounded, and a few equal values do not prove that the next will be equal.
inline constexpr double least_scatter = 1e-4;

/// Interval of the ratio (candidate / baseline) that holds with probability 1 - alpha: Student's t around the mean of the
/// log-ratios, its variance pooled from them and from what is known already. Nothing when there are no degrees of freedom.
std::optional<Interval> paired_interval(const std::vector<double>& log_ratios, const PairScatter& known, double alpha);

/// The limit of the ratio between "no change" and the smallest change to be caught: the geometric middle, so that both
/// mistakes are equally far away. sqrt(1 + min_effect).
double limit_of(double min_effect);

/// Interval of the same ratio that needs no shape of distribution: of the median of the log-ratios, by their order
/// (reports::median_interval). Nothing for few pairs: of 40 cases and 5 looks at the data it takes 14.
std::optional<Interval> order_interval(const std::vector<double>& log_ratios, double alpha);

/// SLOWER and FASTER take both intervals, since a machine with two modes gives a few equal pairs now and then, and the normal
/// distribution then sees no scatter: beyond the limit must lie the whole of `student` and the whole of `order`. SAME takes the
/// first alone.
Change classify_pairs(const std::optional<Interval>& student, const std::optional<Interval>& order, double min_effect);

/// How many pairs, in all, would decide a case whose log-ratios go on as they began; 0 when it cannot be said.
double pairs_that_decide(const std::vector<double>& log_ratios, const PairScatter& known, double alpha,
                         double min_effect);

/// SLOWER when the whole interval lies above the limit, FASTER below its inverse, SAME between the two, else INCONCLUSIVE.
Change classify_paired(const std::optional<Interval>& interval, double min_effect);

/// Interval of a probability that came true `hits` times in `trials` (Clopper and Pearson), exact and two-sided.
Interval rate_interval(int hits, int trials, double confidence);

}  // namespace normquant::gate
