// How far mean and variance of a row may stray, by the family of the algorithm (docs/numerics.md, "Other algorithms").
#pragma once

#include "validate/bounds.hpp"

namespace normquant::validate {

/// Most elements that one thread puts into its running mean and squares by Welford's update: its own, or a row of up to 96.
double welford_chain(std::int64_t columns);
/// Most merges of such parts that a term goes through afterwards: a tree over 1024 threads.
inline constexpr int most_welford_merges = 10;

/// What the errors of one row's mean and variance depend on.
struct RowMoments {
  std::int64_t columns = 0;
  bool layer = false;
  double magnitudes = 0;                ///< sum of |h|
  double mean = 0, var = 0, power = 0;  ///< power: var + eps
};
struct MomentErrors {
  double mean = 0;  ///< absolute
  double var = 0;   ///< of var + eps, relatively
};

/// Errors of one row, whose mean is 0 for RMS norm.
MomentErrors moment_errors(const RowMoments& row, Algorithm algorithm);

}  // namespace normquant::validate
