// Whether a timing record agrees with itself: what a file says twice is either the same twice, or the file was changed or damaged.
#pragma once

#include <string>
#include <nlohmann/json_fwd.hpp>

namespace normquant::reports {

/// The sentence that names the field which the samples or other fields of a passed timing record contradict: medians, quartiles
/// and the like that its samples do not have, a count of others, samples and times that are not positive numbers, rates that
/// do not follow from bytes and time. Of "cold" and "hot" as of the steady figure. Empty when there is none.
std::string contradiction_in(const nlohmann::json& record);

}  // namespace normquant::reports
