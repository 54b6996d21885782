// The lists of the facts as tables for people: times to a hundredth of a microsecond, shares in percent.
#pragma once

#include <string>
#include <nlohmann/json_fwd.hpp>

#include "reports/table.hpp"

namespace normquant::reports {

/// That list of the document of facts_as_json. `name` is that of a section (facts_csv.hpp).
Table section_table(const nlohmann::ordered_json& document, const std::string& name);

}  // namespace normquant::reports
