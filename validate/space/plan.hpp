// The suites, drawn from the model.
#pragma once

#include "validate/space/cells.hpp"
#include "validate/suite.hpp"

namespace normquant::validate::space {

/// The cases of a suite on a device. A smaller suite's are a larger one's too, problem by problem and variant by variant.
std::vector<Case> cases_of(Operation op, SuiteSize size, std::uint64_t seed, const DeviceInfo& device);

/// What the cells of all variants ask for, whatever the suite: what standard owes.
std::vector<Run> all_runs(Operation op, std::uint64_t seed, const DeviceInfo& device);

/// The rest of a suite: problems in which every two levels of the operation's table meet (exhaustive: every three too; smoke:
/// the first half of those, which have most).
std::vector<Problem> rest_of(Operation op, SuiteSize size, std::uint64_t seed);

/// What smoke owes of a problem: it counts as one what standard owes each variant in each form.
struct Shown {
  std::string by;  ///< a variant, an algorithm, a form, or an algorithm in a form
  std::string what;
  auto operator<=>(const Shown&) const = default;  // NOLINT(modernize-use-nullptr): clang-tidy 14 sees a 0 here
};
std::vector<Shown> shown_by(const VariantEntry& variant, const Problem& problem);

}  // namespace normquant::validate::space
