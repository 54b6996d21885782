// `normquant bench`
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "bench/commands.hpp"
#include "bench/google_benchmark.hpp"
#include "bench/plan.hpp"
#include "bench/runner.hpp"
#include "bench/session.hpp"
#include "bench/summary_table.hpp"
#include "bench/sweeps.hpp"
#include "exit_status.hpp"
#include "plugin/plugins.hpp"

namespace normquant::bench {
namespace {

struct BenchOptions {
  PlanRequest request;
  std::string device;  ///< empty: cuda when usable, else host
  std::string out;
  std::string table;  ///< file of a tuned table for `auto`
  bool quick = false;
  bool require_gpu = false;
  bool list = false;
  std::vector<std::string> plugins;
  std::vector<std::string> benchmark_flags;
};

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
  return std::move(*plan);
}

int run_plan(const BenchOptions& options, Session& session, const std::vector<PlannedCase>& plan, RecordFile& file) {
  Runner runner(session.parts(rule_for(session.choice.kind, options.quick)));
  std::vector<TimingRecord> records;
  bool written = file.write(first_record(session));
  const auto finished = [&](TimingRecord record) {
    written = file.write(to_json(record)) && written;
    record.samples = {};  // in the file; the table needs the summary only
    records.push_back(std::move(record));
  };
  const RunCase run = [&](const PlannedCase& planned, long long least_launches) {
    return runner.run(planned.timed, planned.variant, least_launches);
  };
  const std::size_t matched = run_through_google_benchmark(plan, options.benchmark_flags, run, finished);
  if (matched == 0) throw Refusal{exit_usage, "--benchmark_filter matches no case; --list shows the names"};
  if (records.empty()) return exit_pass;  // --benchmark_list_tests
  std::FILE* out = prints_for_people(options.benchmark_flags) ? stdout : stderr;
  fmt::print(out, "\n{}{}\n", summary_table(records), tally_text(tally(records)));
  if (!written) throw Refusal{exit_infrastructure, fmt::format("writing {} failed; it is incomplete", options.out)};
  const Tally counts = tally(records);
  if (counts.skipped == static_cast<int>(records.size())) {
    throw Refusal{exit_usage,
                  "nothing was timed: no variant asked for serves any of these cases (see --out for reasons)"};
  }
  return exit_status_of(counts);
}

int run_bench(const BenchOptions& options) {
  const validate::DeviceChoice choice = choose_device(options.device, options.require_gpu);
  if (std::string why; !plugins::load(options.plugins, why)) throw Refusal{exit_usage, why};
  const std::vector<PlannedCase> plan = make_plan_or_refuse(options, choice.kind);
  if (options.list) {
    for (const PlannedCase& planned : plan) fmt::print("{}\n", planned.name());
    return exit_pass;
  }
  std::string why;
  int status = exit_usage;
  if (!take_benchmark_flags(options.benchmark_flags, why, status)) throw Refusal{status, why};
  if (!options.table.empty()) use_tuned_table(options.table);
  Session session = open_session(choice);
  RecordFile file;
  if (!options.out.empty() && !file.open(options.out, why)) throw Refusal{exit_infrastructure, why};
  if (choice.kind == DeviceKind::host && prints_for_people(options.benchmark_flags)) {
    fmt::print("host: CPU execution, not a GPU time\n");
    std::fflush(stdout);
  }
  return run_plan(options, session, plan, file);
}

/// An empty value is a script's unset variable, not a wish.
std::string refuse_empty(const std::string& value) { return value.empty() ? "the value is empty" : ""; }

void add_options(CLI::App& command, BenchOptions& options) {
  PlanRequest& request = options.request;
  const auto single = [&command](const char* name, std::string& value, const std::string& help) {
    command.add_option(name, value, help)->check(refuse_empty);
  };
  const auto repeatable = [&command](const char* name, std::vector<std::string>& values, const char* help) {
    command.add_option(name, values, help)->allow_extra_args(false)->check(refuse_empty);
  };
  single("--device", options.device, "host, cuda or cuda:I (default: cuda when usable, else host)");
  repeatable("--op", request.ops, "forward, backward, activation_quant, weight_quant or bit_linear; repeatable");
  single("--variant", request.variant,
         "variants whose name matches this expression, or auto (default: every variant that serves the case)");
  repeatable("--shape", request.shapes, "MxN in place of the sweep's shapes; repeatable");
  repeatable("--dtype", request.dtypes, "float32, float16 or bfloat16 in place of the sweep's types; repeatable");
  std::string names;
  for (const Sweep& sweep : named_sweeps()) names += fmt::format("\n  {}: {}", sweep.name, sweep.about);
  single("--sweep", request.sweep, "file, or name of a sweep (default: quick; host on the host):" + names);
  single("--out", options.out, "write one JSON object a line to this file");
  repeatable("--plugin", options.plugins, "shared library with variants of your own (docs/plugins.md); repeatable");
  single("--table", options.table, "tuned table that `auto` follows in place of the compiled-in one");
  command.add_flag("--quick", options.quick, "fewer samples a case: enough to tell variants apart by a percent");
  command.add_flag("--require-gpu", options.require_gpu, "exit with status 77 when there is no GPU");
  command.add_flag("--list", options.list, "print the names of the cases and stop");
  command.footer("Every --benchmark_* flag goes to Google Benchmark (--benchmark_filter=, --benchmark_out=, ...).");
}

}  // namespace

void add_bench_command(CLI::App& app, int& status) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command = app.add_subcommand("bench", "time variants that are right, against a plain copy");
  command->allow_extras();
  add_options(*command, *options);
  command->callback([options, command, &status] {
    options->benchmark_flags = command->remaining();
    try {
      status = run_bench(*options);
    } catch (const Refusal& refusal) {
      fmt::print(stderr, "normquant bench: {}\n", refusal.sentence);
      status = refusal.status;
    }
  });
}

}  // namespace normquant::bench
