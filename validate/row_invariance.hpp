// Whether a row keeps its bits wherever it stands: the same rows in other problems (docs/row_invariance.md).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <normquant/device.hpp>

#include "validate/operations/prepared_problem.hpp"
#include "validate/problem.hpp"
#include "validate/verdict.hpp"

namespace normquant::validate {

/// A problem whose rows are those of another: row r of a setting has the inputs of row r % distinct of every other with the same
/// `contents`.
struct Setting {
  Problem problem;
  std::int64_t distinct = 0;
  int contents = 0;
  std::string how = {};  ///< what is special, to follow "row 3 of 8": ", in tensors of other strides"; empty: nothing
  std::int64_t without = -1;     ///< a row of other inputs, which is not compared
  std::int64_t only = -1;        ///< the one row that is, where all others have other inputs
  bool other_alignment = false;  ///< a choice by the problem may be another one here
};

/// Where a problem's rows are looked at: one alone; first and last among 7, 129 and 4096 others, as far as the device takes no more
/// than a moment; beside a row with NaN; among zeros; in tensors of other strides, and of other alignment.
std::vector<Setting> settings_of(const Problem& problem, DeviceKind kind);

/// One problem's settings on a device, prepared when they are first needed and kept for further variants.
class RowInvariance {
 public:
  RowInvariance(const Problem& problem, Device& device);

  /// Launches the variant in every setting that it serves, and then, where its rows are to have the bits of another variant's, that
  /// one. The verdict gets the number of rows that were compared, and is wrong where one has other bits than elsewhere. `asked`: as
  /// the variant was asked for; `invariant` is chosen anew in every setting.
  Verdict prove(std::string_view asked, VariantHandle variant, Verdict verdict);

 private:
  struct Prepared {
    Setting setting;
    std::unique_ptr<PreparedProblem> problem = {};
  };
  PreparedProblem* prepared(Prepared& one, std::string& why);

  Device& device_;
  std::vector<Prepared> settings_;
};

}  // namespace normquant::validate
