// The facts as one JSON document: what `--format json` prints and what the page is drawn from.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "reports/facts.hpp"

namespace normquant::reports {

/// {"schema": "normquant.report/1", "verdict": {...}, "environments": [...], "cases": [...], "timings": [...], ...}; every
/// list holds flat objects of one and the same set of keys, explained in docs/reports.md. Unknown values are null.
nlohmann::ordered_json facts_as_json(const Facts& facts);

}  // namespace normquant::reports
