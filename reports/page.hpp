// The page: one self-contained HTML file. reports/page/ holds its sources, which are compiled in.
#pragma once

#include <string>
#include <nlohmann/json_fwd.hpp>

namespace normquant::reports {

/// What a page holds at most, so that it stays small.
struct PageLimits {
  std::size_t timings = 30'000, changes = 5'000;
};

/// The page of these facts (facts_as_json). It needs no network and no other file.
std::string page_of(const nlohmann::ordered_json& document);

/// The document as it is embedded. Each list of objects becomes {"count": n, "columns": {key: column}}; a column is a list
/// of values, or of texts {"texts": [distinct...], "at": [index...]}. Fractions keep 6 significant digits. Of
/// `timings` the fastest of every case are kept, at most `most.timings` in all and at least one a case, of `changes` the
/// most important; "timings_left_out" and "changes_left_out" are the numbers of the others. '<' is escaped, so that no text ends the script element it stands in.
std::string page_data(const nlohmann::ordered_json& document, const PageLimits& most = {});

}  // namespace normquant::reports
