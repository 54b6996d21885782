// The plan through Google Benchmark: its console, JSON, CSV, filters and repetitions, our figures as its counters.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bench/plan.hpp"
#include "bench/timing_record.hpp"
#include "output/output_file.hpp"

namespace normquant::bench {

/// Times one planned case; at least so many launches.
using RunCase = std::function<TimingRecord(const PlannedCase& planned, long long least_launches)>;

/// Takes over the --benchmark_* flags. False, with a sentence in `why`, when one is unknown or malformed (the library itself
/// would exit with statuses of its own). Throws a Refusal when the file of --benchmark_out cannot be written, or is there
/// already and is to stay.
bool take_benchmark_flags(const std::vector<std::string>& flags, output::Existing existing, std::string& why);

/// Of --benchmark_repetitions; 1 where it is not there.
int repetitions_asked_for(const std::vector<std::string>& flags);

/// Whether the library prints for people (console) rather than for programs (json, csv) on stdout.
bool prints_for_people(const std::vector<std::string>& flags);

/// Runs what --benchmark_filter leaves of the plan; every record goes to `finished` as soon as it is there. Returns how
/// many cases matched the filter. Cases that a variant does not serve stay off the console.
std::size_t run_through_google_benchmark(const std::vector<PlannedCase>& plan, const std::vector<std::string>& flags,
                                         const RunCase& run, const std::function<void(TimingRecord)>& finished);

}  // namespace normquant::bench
