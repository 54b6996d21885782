// Joining the files of the shards of one validation.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "validate/earlier_results.hpp"
#include "validate/run_plan.hpp"

namespace normquant::validate {

/// The results of all shards, in the order of an undivided run.
struct MergedResults {
  RunIdentity run;  ///< of programs that differ knowingly none, so that no run goes on with them
  RunPlan plan;     ///< names no shard
  std::string left_out;
  std::vector<CaseResult> results;
};

/// What `allowed` of merge_results may name: differences that somebody may take knowingly.
std::vector<std::string> allowable_result_differences();

/// Reads files of `validate --shard I/N --json`. Nothing, and a sentence in `why` that names the file, when one cannot be read, is
/// malformed or no file of a shard, when shards differ in what they were asked for, in device or program and `allowed` does not
/// name it, or when shards or cases are missing (all are named) or there twice.
std::optional<MergedResults> merge_results(const std::vector<std::string>& files,
                                           const std::vector<std::string>& allowed, std::string& why);

}  // namespace normquant::validate
