// What a check found.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "validate/outcome.hpp"

namespace normquant::validate {

/// One wrong element: where, what was expected (codes as a set), what was there.
struct Mismatch {
  std::string tensor;  ///< "out", "codes", "dweight", ...
  std::int64_t row = 0, column = 0;
  std::string expected, actual;
};

/// What was found in one output tensor.
struct TensorScore {
  std::string tensor;
  std::int64_t checked = 0, wrong = 0;
  double worst_error_over_bound = 0;  ///< of values; codes have none
};

/// Result of checking one problem on one variant.
struct Verdict {
  Outcome outcome = Outcome::pass;
  bool for_other_devices = false;     ///< skipped, as every problem would be on this device
  std::string reason;                 ///< for skipped and error, and the first sentence of a failure or hazard
  std::int64_t elements_checked = 0;  ///< over all outputs
  std::int64_t elements_wrong = 0;
  std::int64_t like_poison =
      0;  ///< elements with the bits of what the outputs held before: given them, or never written
  std::int64_t codes_checked = 0;
  std::int64_t codes_ambiguous = 0;  ///< two admissible codes
  std::int64_t codes_on_ties = 0;  ///< of those, where the truth itself is a tie: no bound, however tight, decides them
  std::int64_t codes_open = 0;     ///< of the ambiguous ones, whose bound is 1 or more: not even decided to within one
  double ambiguous_expected = 0;   ///< how many would be ambiguous if the truths lay anywhere between two integers
  double worst_error_over_bound = 0;  ///< over all values that are not codes; > 1 is wrong
  std::string worst_tensor;           ///< where that was
  std::vector<Mismatch> mismatches;   ///< the first few
  std::vector<TensorScore> tensors;   ///< in the order in which they were checked
  bool row_invariant = false;         ///< the variant promises that a row keeps its bits
  std::int64_t rows_compared = 0;     ///< with the same row in other problems (row_invariance.hpp)
  bool watched = false;               ///< hazards were looked for
  std::vector<std::string> findings;  ///< of a hazard: a sentence each
};

}  // namespace normquant::validate
