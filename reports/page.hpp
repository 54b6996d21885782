// The page: one self-contained HTML file. reports/page/ holds its sources, which are compiled in.
#pragma once

#include <string>
#include <nlohmann/json_fwd.hpp>

namespace normquant::reports {

/// The page of these facts (facts_as_json). It needs no network and no other file.
std::string page_of(const nlohmann::ordered_json& document);

/// The document as it is embedded. Each list of objects becomes {"count": n, "columns": {key: column}}; a column is a list
/// of values, or of texts {"texts": [distinct...], "at": [index...]}. Fractions keep 6 significant digits. Of
/// `timings` the fastest of every case are kept, at most `most_timings` in all and at least one a case;
/// "timings_left_out" is the number of the others. '<' is escaped, so that no text ends the script element it stands in.
std::string page_data(const nlohmann::ordered_json& document, std::size_t most_timings = 30'000);

}  // namespace normquant::reports
