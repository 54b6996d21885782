// Which classes of the problem space a suite met.
#pragma once

#include <string>
#include <vector>

#include "app/validate_plan.hpp"

namespace normquant::validate {

/// Classes of the model that no problem of the suite met, as "BY WHOM: WHAT"; prints all with --coverage. A narrower question
/// than a whole suite owes none.
std::vector<std::string> unmet_classes(const Plan& plan, const std::vector<CaseResult>& results,
                                       const ValidateOptions& options);

}  // namespace normquant::validate
