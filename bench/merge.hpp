// Joining the record files of the shards of one sweep.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace normquant::bench {

/// The lines of all files in the order of the plan, behind the first shard's environment record (its plan without a
/// shard): but for times the bytes that an undivided run writes. Nothing, and a sentence in `why`, when a file cannot be
/// read or is no record file of a shard, when shards are of different machines, programs or sweeps, or when a shard or a
/// case is missing or there twice.
std::optional<std::string> merge_shards(const std::vector<std::string>& files, std::string& why);

}  // namespace normquant::bench
