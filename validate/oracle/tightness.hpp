// How near honest float32 evaluations come to the bounds, and whether any leaves them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "validate/problem.hpp"

namespace normquant::oracle {

/// One tensor of one case, over all styles.
struct Nearest {
  Operation op;
  std::string tensor;   ///< "mean", "t" (what is rounded to a code), ...; "mean, welford" of that family's bounds
  std::string problem;  ///< as text
  std::int64_t columns = 0;
  double worst = 0;  ///< largest error / bound; above 1 the bound does not hold
  std::string worst_style;
  std::int64_t evaluated = 0;  ///< elements, times styles
  std::int64_t outside = 0;    ///< of them with error > bound, or NaN
};

/// The evaluation of a problem of norm_quant_forward, norm_quant_backward, activation_quant or weight_quant in every style:
/// float32 tensors, values and norm as it says.
std::vector<Nearest> nearest_of(const validate::Problem& problem);

/// The problems that are looked at: lengths below, at and above where the sums change, both norms, several kinds of values.
std::vector<validate::Problem> tightness_problems(std::uint64_t seed);

/// One tensor of an operation over all cases.
struct Tightness {
  Operation op;
  std::string tensor;
  std::int64_t lengths = 0, evaluated = 0, outside = 0;
  double worst = 0;   ///< largest error / bound of all cases
  double median = 0;  ///< over the lengths N at which there was an error: of bound / worst error at that length
};

/// A bound counts as tight when the median over the lengths of bound / worst error is at most this.
inline constexpr double most_loose = 30;

/// In the order of the first case of each.
std::vector<Tightness> tightness_of(const std::vector<Nearest>& cases);

}  // namespace normquant::oracle
