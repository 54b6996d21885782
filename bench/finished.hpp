// What a record file of an interrupted sweep holds already, so that the sweep goes on where it ended.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>
#include <nlohmann/json_fwd.hpp>

#include "bench/plan.hpp"
#include "bench/summary_table.hpp"

namespace normquant::bench {

struct Finished {
  std::set<std::int64_t> indices;  ///< of planned cases that have a record
  Tally counts;                    ///< how those ended
  std::size_t bytes = 0;           ///< of the file up to its last whole line; what follows was cut off by a kill
};

/// Reads the file at `path` and compares it with the plan and with the first record that a new file
/// would get.
/// Nothing is finished in a file that is absent, or that was killed before its first line was
/// whole. Returns nothing, with a sentence in `why`, when the file is not a record file, is of
/// another machine, program or plan, or has a record that does not fit the plan.
std::optional<Finished> read_finished(const std::string& path, const nlohmann::ordered_json& first_record,
                                      const std::vector<PlannedCase>& plan, std::string& why);

/// The plan without what is finished.
std::vector<PlannedCase> without(const std::vector<PlannedCase>& plan, const Finished& finished);

/// A clause that names what differs when two environment records are not of one sweep on one machine with one program;
/// empty when they are.
std::string sweep_difference(const nlohmann::ordered_json& before, const nlohmann::ordered_json& now);

}  // namespace normquant::bench
