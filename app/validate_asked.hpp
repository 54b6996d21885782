// What a validation was asked for, between its command line and its file.
#pragma once

#include "app/validate_plan.hpp"
#include "validate/run_plan.hpp"

namespace normquant::validate {

/// As the file of --json says it.
RunPlan asked_of(const ValidateOptions& options, const Plan& plan);

/// The inverse, as far as results are judged by it: the options of an undivided run, and its devices without their cases. Throws a
/// Refusal for a device that the results cannot be of.
ValidateOptions options_of(const RunPlan& asked);
std::vector<Plan::OnDevice> devices_of(const RunPlan& asked);

}  // namespace normquant::validate
