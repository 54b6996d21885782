// A verdict as JSON, complete: between a plugin's process and the one that asked it.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "validate/verdict.hpp"

namespace normquant::validate {

nlohmann::json to_json(const Verdict& verdict);

/// The inverse. Throws nlohmann::json::exception when it is none.
Verdict verdict_from_json(const nlohmann::json& document);

}  // namespace normquant::validate
