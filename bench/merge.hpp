// Joining the record files of the shards of one sweep.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace normquant::bench {

/// What `allowed` of merge_shards may name: differences that somebody may take knowingly.
std::vector<std::string> allowable_differences();

/// The lines of all files in the order of the plan, behind the first shard's environment record,
/// whose plan then names no shard. These are the bytes that an undivided run writes, but for times.
/// Shards of several cards, or of machines that differ in what `allowed` names, follow one another:
/// an environment record, and its timings in the order of the plan.
/// Returns nothing, with a sentence in `why`, when a file cannot be read or is no record file of a
/// shard, when shards differ in machine, program or sweep and `allowed` does not name it, or when
/// shards or cases are missing (all are named) or there twice.
std::optional<std::string> merge_shards(const std::vector<std::string>& files, const std::vector<std::string>& allowed,
                                        std::string& why);

/// The lines of one record file of several cards in the same order: environment records, each with its timings.
std::string in_plan_order(const std::string& content);

}  // namespace normquant::bench
