// Timing a sweep for tuning: the runner of `normquant bench`, with every variant that `auto` may take.
#pragma once

#include <string>
#include <vector>

#include "bench/plan.hpp"
#include "bench/session.hpp"
#include "bench/summary_table.hpp"
#include "output/output_file.hpp"
#include "reports/records.hpp"

namespace normquant::tune {

/// The cases of a sweep (name or file) with the candidates, on these operations only (empty: all). Throws a
/// bench::Refusal when there is no such sweep or nothing is left of it.
std::vector<bench::PlannedCase> plan_sweep(const std::string& sweep, const std::vector<std::string>& ops);

/// A file that takes the records too; none when its name is empty.
struct KeptRecords {
  std::string file;
  output::Existing existing = output::Existing::refuse;
};

/// Times the plan on the devices of a list, with the same results.
reports::RecordSet time_plan_on_many(const std::vector<validate::ListedDevice>& devices,
                                     const std::vector<bench::PlannedCase>& plan, bool quick, const KeptRecords& kept,
                                     bench::Tally& counts);

/// Times the plan. The result is what reading the records' file would give; `counts` is added to. Throws a bench::Refusal when
/// the file cannot be written.
reports::RecordSet time_plan(const bench::Session& session, const std::vector<bench::PlannedCase>& plan, bool quick,
                             const KeptRecords& kept, bench::Tally& counts);

}  // namespace normquant::tune
