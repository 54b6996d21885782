// What `normquant bench` does around a plan, whether one device times it or several do.
#pragma once

#include <atomic>
#include <string>
#include <vector>
#include <nlohmann/json_fwd.hpp>

#include "bench/bench_options.hpp"
#include "bench/finished.hpp"
#include "bench/summary_table.hpp"
#include "bench/timing_record.hpp"
#include "output/interrupt.hpp"

namespace normquant::bench {

/// A first record (session.hpp) with what was planned.
nlohmann::ordered_json with_plan(nlohmann::ordered_json record, const BenchOptions& options,
                                 const std::vector<PlannedCase>& plan);

/// Opens the file of --out, and says what of the plan it holds already. Throws a Refusal.
Finished open_file(const BenchOptions& options, const nlohmann::ordered_json& first,
                   const std::vector<PlannedCase>& plan, RecordFile& file);

/// While it lives, an interruption says what was finished and how to go on.
output::OnInterrupt say_how_to_go_on(const BenchOptions& options, std::size_t planned,
                                     const std::atomic<std::size_t>& done);

/// The exit status of a sweep; throws a Refusal that names what was wrong.
int status_of(const Tally& counts);

/// Times the plan on the devices of a list, into one file.
int run_on_many(const BenchOptions& options, const std::vector<validate::ListedDevice>& devices,
                const std::vector<PlannedCase>& plan);

}  // namespace normquant::bench
