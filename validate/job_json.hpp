// A job as one line, for a process that does it.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "validate/run.hpp"

namespace normquant::validate {

nlohmann::json to_json(const Job& job);

/// The inverse. Throws what nlohmann's at() and get() throw, or std::bad_optional_access, when the line is none.
Job job_from_json(const nlohmann::json& line);

}  // namespace normquant::validate
