// The entries of a file of results, read back (result_files.hpp writes them).
#pragma once

#include <cstdint>
#include <vector>
#include <nlohmann/json_fwd.hpp>

#include "validate/run.hpp"

namespace normquant::validate {

/// All results that a document of as_json holds, those that were checked first, in the order in which they stand. The host device's
/// `schedule_seed` is that of the document's run. Throws what nlohmann's at() and get() throw, or std::invalid_argument, when an
/// entry is malformed, or a case with a place in a plan ("index") is there twice.
std::vector<CaseResult> results_in(const nlohmann::json& document, std::uint64_t schedule_seed);

}  // namespace normquant::validate
