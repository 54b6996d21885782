// What a suite owes of the model, and what its results met.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "validate/run.hpp"
#include "validate/space/plan.hpp"

namespace normquant::validate::space {

/// Classes of one variant in one form (smoke: of one variant, algorithm or form), or pairs of the table's levels.
struct Owed {
  std::set<std::string> met, unmet;
};

/// By whom they are owed: "one_pass_e8, layer". A class is met when a problem in it was checked: skipped is not met. Problems
/// and results are of one operation on one device.
std::map<std::string, Owed> coverage_of(Operation op, SuiteSize size, std::uint64_t seed, const DeviceInfo& device,
                                        const std::vector<CaseResult>& results);

/// How many classes are unmet.
std::size_t count_unmet(const std::map<std::string, Owed>& coverage);

}  // namespace normquant::validate::space
