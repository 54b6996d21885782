// `normquant bench`
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "app/bench_sweep.hpp"
#include "app/commands.hpp"
#include "app/options.hpp"
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
#include "output/escape.hpp"
#include "output/interrupt.hpp"
#include "output/words.hpp"

namespace normquant::bench {
namespace {

std::vector<PlannedCase> make_plan_or_refuse(const BenchOptions& options, DeviceKind kind) {
  PlanRequest request = options.request;
  request.default_sweep = kind == DeviceKind::cuda ? "quick" : "host";
  const VariantNames names = [kind](Operation op) {
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
  if (part.empty()) {
    fmt::print(stderr, "normquant bench: the shard {} holds no case: its file will merge, and has no times\n",
               options.shard);
  }
  return part;
}

/// Times what is left; the counts include what was finished before.
Tally time_the_rest(const BenchOptions& options, Session& session, const std::vector<PlannedCase>& left, Tally counts,
                    RecordFile& file, std::atomic<std::size_t>& done) {
  RunnerParts parts = session.parts(rule_for(session.choice.kind, options.quick || options.lean, options.profiled));
  parts.sustained_seconds = options.sustained_seconds;
  Runner runner(parts);
  PluginTimings plugin_timings(options, session.choice);
  std::vector<TimingRecord> records;
  const CaseInFlight in_flight(options.out);
  const auto finished = [&](TimingRecord record) {
    record.card = session.card;
    if (file.write(to_json(record))) ++done;
    record.samples = {};  // in the file; the table needs the summary only
    records.push_back(std::move(record));
  };
  const RunCase run = [&](const PlannedCase& planned, long long least_launches) {
    if (!file.failure().empty()) {  // nobody would see what is timed now
      TimingRecord record;
      record.timed = planned.timed;
      record.variant = planned.variant;
      record.reason = "not timed: " + file.failure();
      return record;
    }
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
  if (!file.failure().empty()) throw Refusal{exit_infrastructure, file.failure()};
  if (!records.empty()) {
    std::FILE* out = prints_for_people(options.benchmark_flags) ? stdout : stderr;
    fmt::print(out, "\n{}{}\n{}", summary_table(records), tally_text(counts), skipped_text(records));
  }
  return counts;
}

int run_plan(const BenchOptions& options, Session& session, const std::vector<PlannedCase>& plan) {
  const auto first = with_plan(first_record(session), options, plan);
  RecordFile file;
  const Finished before = open_file(options, first, plan, file);
  const bool new_card = before.cards.count(session.card) == 0;  // an interrupted sweep may go on on another of its kind
  if ((before.bytes == 0 || new_card) && !file.write(first)) {
    throw Refusal{exit_infrastructure, file.failure()};
  }
  if (session.choice.kind == DeviceKind::host && prints_for_people(options.benchmark_flags)) {
    fmt::print("host: CPU execution, not a GPU time\n");
    std::fflush(stdout);
  }
  const std::vector<PlannedCase> left = without(plan, before);
  if (!before.indices.empty())
    fmt::print(stderr, "{} of {} were finished before\n", before.indices.size(), plan.size());
  if (left.empty()) return status_of(before.counts);
  std::atomic<std::size_t> done = before.indices.size();
  const output::OnInterrupt how = say_how_to_go_on(options, plan.size(), done);
  return status_of(time_the_rest(options, session, left, before.counts, file, done));
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
  if (!test.passed())
    throw Refusal{exit_infrastructure, "the self-test failed: cold times of this GPU are not to be trusted"};
  return exit_pass;
}

/// What the command line holds beside our options must be Google Benchmark's.
void refuse_unknown(const std::vector<std::string>& words, const std::vector<std::string>& known) {
  std::vector<std::string> others;
  std::copy_if(words.begin(), words.end(), std::back_inserter(others),
               [](const std::string& word) { return !word.starts_with("--benchmark_"); });
  if (!others.empty()) throw Refusal{exit_usage, app::unexpected(others, known)};
}

int run_bench(const BenchOptions& options, const std::vector<std::string>& known) {
  const auto devices = validate::listed_devices(options.device, options.require_gpu);
  const validate::DeviceChoice choice =
      devices ? devices->front().choice : choose_device(options.device, options.require_gpu);
  if (options.self_test && !devices) return run_self_test(choice);
  std::string why;
  if (!plugins::open(options.plugins, options.plugin_timeout, why)) throw Refusal{exit_usage, why};
  if (const std::string sentence = plugins::runs_elsewhere({choice.kind}); !sentence.empty()) {
    throw Refusal{exit_usage, sentence};
  }
  const std::vector<PlannedCase> plan = make_plan_or_refuse(options, choice.kind);
  if (options.list) {
    for (const PlannedCase& planned : plan) fmt::print("{}\n", output::printable(planned.name()));
    return exit_pass;
  }
  if ((options.resume || options.case_timeout > 0) &&
      (options.out.empty() || !output::place_of(options.out).replaceable())) {
    throw Refusal{exit_usage, "--resume and --case-timeout need a file as --out, which says what is finished"};
  }
  refuse_unknown(options.benchmark_flags, known);
  if (devices) return run_on_many(options, *devices, plan);
  if (options.case_timeout > 0) return run_watched(options, plan);
  if (!take_benchmark_flags(options.benchmark_flags, options.existing, why)) throw Refusal{exit_usage, why};
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
  app::add_force(*command, options->existing);
  command->callback([options, command, &status] {
    options->benchmark_flags = command->remaining();
    // Kernels are loaded before anything is timed; who starts many processes (the gate) asks for LAZY, where each is loaded by
    // its first launch, which is not timed either.
    (void)setenv("CUDA_MODULE_LOADING", "EAGER", /*overwrite=*/0);
    status = run_bench(*options, app::option_names(*command));
  });
}

}  // namespace normquant::bench
