// Requests, tensors and answers of the oracle's C interface.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>

#include "python/native/oracle_interface.h"
#include "validate/check/given.hpp"
#include "validate/check/switches.hpp"

namespace normquant::python {

using Json = nlohmann::ordered_json;

/// The switches' words in a request.
check::SwitchWords words_of(const Json& request);

/// The tensors by role, dense copies. Throws a Refusal for an element type that has no use here.
check::Tensors tensors_of(const NormquantTensor* tensors, std::int32_t count);

/// {"outcome", "reason"}.
Json failure(const char* outcome, const std::string& reason);

/// Parses the request, calls `work`, and hands its answer out; what it throws is an answer, too. Null only without memory.
char* answered(const char* request, const std::function<Json(const Json&)>& work);

}  // namespace normquant::python
