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
  std::set<std::string> cards;     ///< of the environment records: devices that the file is of already
  Tally counts;                    ///< how those ended
  std::size_t bytes = 0;           ///< of the file up to its last whole line; what follows was cut off by a kill
};

/// Reads the file at `path` and compares it with the plan and with the first record that a new file
/// would get.
/// Nothing is finished in a file that is absent, or that was killed before its first line was
/// whole. A case that is repeated (plan.repetitions) is finished when all its repetitions are there. Returns nothing, with a sentence in `why`, when the file is not a record file, is of
/// another machine, program or plan, or has a record that does not fit the plan.
std::optional<Finished> read_finished(const std::string& path, const nlohmann::ordered_json& first_record,
                                      const std::vector<PlannedCase>& plan, std::string& why);

/// The plan without what is finished.
std::vector<PlannedCase> without(const std::vector<PlannedCase>& plan, const Finished& finished);

/// What differs between two environment records that should be of one sweep on machines of one kind with one program.
struct Difference {
  std::string name;    ///< of the field, as `driver`
  std::string clause;  ///< `"gpu/driver" was "580.1" and is "581.2"`
};
std::vector<Difference> sweep_differences(const nlohmann::ordered_json& before, const nlohmann::ordered_json& now);

/// The clause of the first; empty when nothing differs.
std::string sweep_difference(const nlohmann::ordered_json& before, const nlohmann::ordered_json& now);

}  // namespace normquant::bench
