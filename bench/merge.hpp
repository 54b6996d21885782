// Joining the record files of the shards of one sweep.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace normquant::bench {

/// The lines of all files in the order of the plan, behind the first shard's environment record,
/// whose plan then names no shard. These are the bytes that an undivided run writes, but for times.
/// Returns nothing, with a sentence in `why`, when a file cannot be read or is no record file of a
/// shard, when shards are of different machines, programs or sweeps, or when a shard or a case is
/// missing or there twice.
std::optional<std::string> merge_shards(const std::vector<std::string>& files, std::string& why);

}  // namespace normquant::bench
