// Timing a sweep for tuning: the runner of `normquant bench`, with every variant that `auto` may take.
#pragma once

#include <string>
#include <vector>

#include "bench/plan.hpp"
#include "bench/session.hpp"
#include "bench/summary_table.hpp"
#include "reports/records.hpp"

namespace normquant::tune {

/// The cases of a sweep (name or file) with the candidates, on these operations only (empty: all). Throws a
/// bench::Refusal when there is no such sweep or nothing is left of it.
std::vector<bench::PlannedCase> plan_sweep(const std::string& sweep, const std::vector<std::string>& ops);

/// Times the plan; the records go to that file too when the path is not empty. The result is what reading the file would
/// give; `counts` is added to. Throws a bench::Refusal when the file cannot be written.
reports::RecordSet time_plan(const bench::Session& session, const std::vector<bench::PlannedCase>& plan, bool quick,
                             const std::string& records, bench::Tally& counts);

}  // namespace normquant::tune
