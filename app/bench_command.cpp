// `normquant bench`
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "bench/bench_options.hpp"
#include "bench/finished.hpp"
#include "bench/google_benchmark.hpp"
#include "bench/plugin_timings.hpp"
#include "bench/runner.hpp"
#include "bench/self_test.hpp"
#include "bench/summary_table.hpp"
#include "bench/watchdog.hpp"
#include "exit_status.hpp"
#include "kernels/plugin/plugins.hpp"
#include "kernels/plugin/worker.hpp"

namespace normquant::bench {
namespace {

std::vector<PlannedCase> make_plan_or_refuse(const BenchOptions& options, DeviceKind kind) {
  PlanRequest request = options.request;
  request.default_sweep = kind == DeviceKind::cuda ? "quick" : "host";
  const VariantNames names = [kind](validate::Operation op) {
    std::vector<std::string> variants;
    for (const validate::VariantEntry& entry : validate::catalogue(op, kind)) variants.emplace_back(entry.name);
    return variants;
  };
  std::string why;
  auto plan = make_plan(request, names, why);
  if (!plan) throw Refusal{exit_usage, why};
  if (options.shard.empty()) return std::move(*plan);
  const std::optional<Shard> shard = parse_shard(options.shard, why);
  if (!shard) throw Refusal{exit_usage, why};
  std::vector<PlannedCase> part = part_of(*plan, *shard);
  if (part.empty()) throw Refusal{exit_usage, fmt::format("the shard {} holds no case", options.shard)};
  return part;
}

/// The first record of this sweep's file: the session's, and what was planned.
nlohmann::ordered_json first_record_of(const Session& session, const BenchOptions& options,
                                       const std::vector<PlannedCase>& plan) {
  auto record = first_record(session);
  const std::string sweep = std::filesystem::path(options.request.sweep).filename().string();  // no path in a record
  record["plan"] = {{"sweep", sweep}, {"shard", options.shard}, {"cases", plan.size()}};
  return record;
}

/// Opens the file of --out, and says what of the plan it holds already.
Finished open_file(const BenchOptions& options, const nlohmann::ordered_json& first,
                   const std::vector<PlannedCase>& plan, RecordFile& file) {
  std::string why;
  Finished finished;
  if (options.out.empty()) return finished;
  if (options.resume) {
    auto found = read_finished(options.out, first, plan, why);
    if (!found) throw Refusal{exit_usage, why};
    finished = std::move(*found);
  }
  const bool opened =
      finished.bytes > 0 ? file.open_behind(options.out, finished.bytes, why) : file.open(options.out, why);
  if (!opened) throw Refusal{exit_infrastructure, why};
  return finished;
}

/// Times what is left; the counts include what was finished before.
Tally time_the_rest(const BenchOptions& options, Session& session, const std::vector<PlannedCase>& left, Tally counts,
                    RecordFile& file) {
  Runner runner(session.parts(rule_for(session.choice.kind, options.quick || options.lean, options.profiled)));
  PluginTimings plugin_timings(options, session.choice);
  std::vector<TimingRecord> records;
  bool written = true;
  const CaseInFlight in_flight(options.out);
  const auto finished = [&](TimingRecord record) {
    written = file.write(to_json(record)) && written;
    record.samples = {};  // in the file; the table needs the summary only
    records.push_back(std::move(record));
  };
  const RunCase run = [&](const PlannedCase& planned, long long least_launches) {
    in_flight.begin(planned);
    if (!plugins::file_of(planned.variant).empty()) {
      runner.unload();  // memory that the plugin's process needs
      TimingRecord record = plugin_timings.run(planned, least_launches);
      record.index = planned.index;
      return record;
    }
    plugin_timings.end();
    const auto& shares = options.extra_work;
    if (!shares.empty()) runner.set_extra_work(shares[static_cast<std::size_t>(planned.index) % shares.size()]);
    TimingRecord record = runner.run(planned.timed, planned.variant, least_launches);
    record.index = planned.index;
    return record;
  };
  const std::size_t matched = run_through_google_benchmark(left, options.benchmark_flags, run, finished);
  if (matched == 0) throw Refusal{exit_usage, "--benchmark_filter matches no case; --list shows the names"};
  add(counts, tally(records));
  if (!records.empty()) {
    std::FILE* out = prints_for_people(options.benchmark_flags) ? stdout : stderr;
    fmt::print(out, "\n{}{}\n", summary_table(records), tally_text(counts));
  }
  if (!written) throw Refusal{exit_infrastructure, fmt::format("writing {} failed; it is incomplete", options.out)};
  return counts;
}

int status_of(const Tally& counts) {
  if (counts.pass + counts.skipped + counts.wrong + counts.error == 0) return exit_pass;  // --benchmark_list_tests
  if (counts.pass + counts.wrong + counts.error == 0) {
    throw Refusal{exit_usage,
                  "nothing was timed: no variant asked for serves any of these cases (see --out for reasons)"};
  }
  return exit_status_of(counts);
}

int run_plan(const BenchOptions& options, Session& session, const std::vector<PlannedCase>& plan) {
  const auto first = first_record_of(session, options, plan);
  RecordFile file;
  const Finished before = open_file(options, first, plan, file);
  if (before.bytes == 0 && !file.write(first)) {
    throw Refusal{exit_infrastructure, fmt::format("writing {} failed; it is incomplete", options.out)};
  }
  if (session.choice.kind == DeviceKind::host && prints_for_people(options.benchmark_flags)) {
    fmt::print("host: CPU execution, not a GPU time\n");
    std::fflush(stdout);
  }
  const std::vector<PlannedCase> left = without(plan, before);
  if (!before.indices.empty())
    fmt::print(stderr, "{} of {} were finished before\n", before.indices.size(), plan.size());
  if (left.empty()) return status_of(before.counts);
  return status_of(time_the_rest(options, session, left, before.counts, file));
}

int run_self_test(const validate::DeviceChoice& choice) {
  if (choice.kind != DeviceKind::cuda)
    throw Refusal{exit_gpu_absent, "--self-test is about GPU times: there is no GPU"};
  std::string why;
  const std::unique_ptr<Device> device = choice.open(1, why);
  if (device == nullptr) throw Refusal{exit_infrastructure, why};
  SelfTest test;
  LoadLatencies latencies;
  if (const Status status = measure_load_latencies(*device, latencies); !status.ok()) {
    throw Refusal{exit_infrastructure, status.message};
  }
  test.cold = judge_latencies(latencies);
  if (const Status status = prove_cold_timer(*device, test.timer); !status.ok()) {
    throw Refusal{exit_infrastructure, status.message};
  }
  fmt::print("{}", self_test_text(test));
  return test.passed() ? exit_pass : exit_infrastructure;
}

int run_bench(const BenchOptions& options) {
  const validate::DeviceChoice choice = choose_device(options.device, options.require_gpu);
  if (options.self_test) return run_self_test(choice);
  std::string why;
  if (!plugins::open(options.plugins, options.plugin_timeout, why)) throw Refusal{exit_usage, why};
  if (const std::string sentence = plugins::runs_elsewhere({choice.kind}); !sentence.empty()) {
    throw Refusal{exit_usage, sentence};
  }
  const std::vector<PlannedCase> plan = make_plan_or_refuse(options, choice.kind);
  if (options.list) {
    for (const PlannedCase& planned : plan) fmt::print("{}\n", planned.name());
    return exit_pass;
  }
  if ((options.resume || options.case_timeout > 0) && options.out.empty()) {
    throw Refusal{exit_usage, "--resume and --case-timeout need the file of --out, which says what is finished"};
  }
  int status = exit_usage;
  if (!take_benchmark_flags(options.benchmark_flags, why, status)) throw Refusal{status, why};
  if (options.case_timeout > 0) return run_watched(options, plan);
  if (!options.table.empty()) use_tuned_table(options.table);
  Session session = open_session(choice, options.figures());
  return run_plan(options, session, plan);
}

}  // namespace

void add_bench_command(CLI::App& app, int& status) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command = app.add_subcommand("bench", "time variants that are right, against a plain copy");
  command->allow_extras();
  add_bench_options(*command, *options);
  command->callback([options, command, &status] {
    options->benchmark_flags = command->remaining();
    try {
      // Kernels are loaded before anything is timed; who starts many processes (the gate) asks for LAZY, where each
      // is loaded by its first launch, which is not timed either.
      (void)setenv("CUDA_MODULE_LOADING", "EAGER", /*overwrite=*/0);
      status = run_bench(*options);
    } catch (const Refusal& refusal) {
      fmt::print(stderr, "normquant bench: {}\n", refusal.sentence);
      status = refusal.status;
    }
  });
}

}  // namespace normquant::bench
