// Statistics of one case's samples and the rule that says when there are enough. Pure: no clock, no device.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace normquant::bench {

/// Value below which the share `p` of the ascending samples lies; linear between neighbours. NaN when there are none.
double quantile(std::span<const double> ascending, double p);

/// What a record says about its samples. The median and the quartiles, because interruptions only ever make a sample
/// longer: they move a mean, not a median.
struct Summary {
  std::size_t count = 0;
  double minimum = 0, p05 = 0, q1 = 0, median = 0, q3 = 0, p95 = 0, maximum = 0;
  /// Standard error of the median over the median. Infinite below 4 samples.
  /// The number of samples below the true median is binomial with standard deviation sqrt(n) / 2,
  /// whatever the distribution. So the samples of rank n/2 - sqrt(n) and n/2 + sqrt(n) are two
  /// deviations away on either side, and a quarter of their distance is one standard error. Two
  /// deviations, because with one the median of two separate modes would often be called precise.
  double relative_error = 0;
  /// |median of the second half - median of the first half| / median, in order of arrival. It shows
  /// a drift (clocks, heat) that the spread of the samples hides from relative_error.
  double halves_differ = 0;
  double halves_error = 0;  ///< standard error of halves_differ, from the steps between neighbouring samples
  /// (q3 - q1) / median.
  double spread() const { return median > 0 ? (q3 - q1) / median : 0; }
};

/// `samples` in order of arrival.
Summary summarise(std::span<const double> samples);

/// When to stop taking samples of a case.
struct SamplingRule {
  double relative_error = 0.005;  ///< wanted of the median
  std::size_t minimum = 20;       ///< samples before precision may be claimed; 20 is also what the gate needs for an
                                  ///< interval of the median that holds for thousands of cases at once
  std::size_t maximum = 200;      ///< samples
  double seconds = 0.3;           ///< of sampling
  int batch = 5;                  ///< samples taken between two looks at this rule
};

enum class Stop {
  keep_going,
  precise,     ///< the median is known to relative_error and the halves agree
  sample_cap,  ///< `maximum` samples
  time_cap     ///< `seconds` are over
};
std::string_view name_of(Stop stop);

/// Whether the two halves differ by more than the scatter within them explains: by more than twice the wanted precision
/// and three standard errors. Never below 16 samples, whose halves say too little.
bool drifting(const Summary& summary, const SamplingRule& rule);

/// Applies the rule to the samples so far.
Stop decide(std::span<const double> samples, double elapsed_seconds, const SamplingRule& rule);

}  // namespace normquant::bench
