#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "app/commands.hpp"
#include "app/options.hpp"
#include "bench/bench_options.hpp"
#include "bench/sweeps.hpp"

namespace normquant::bench {
namespace {

void add_texts(CLI::App& command, BenchOptions& options) {
  PlanRequest& request = options.request;
  const auto single = [&command](const char* name, std::string& value, const std::string& help) {
    command.add_option(name, value, help);
  };
  const auto repeatable = [&command](const char* name, std::vector<std::string>& values, const char* help) {
    command.add_option(name, values, help)->allow_extra_args(false);
  };
  single("--device", options.device,
         "host, cuda or cuda:I (default: cuda when usable, else host); cases shared by several: cuda:all, cuda:0,2, "
         "host:K");
  repeatable("--op", request.ops, "forward, backward, activation_quant, weight_quant or bit_linear; repeatable");
  single(
      "--variant", request.variant,
      "variants whose name matches this expression, or auto, invariant or auto,invariant (default: every variant that "
      "serves the case)");
  repeatable("--shape", request.shapes,
             "MxN in place of the sweep's shapes, or MxK_inxK_out of bit_linear; repeatable");
  repeatable("--dtype", request.dtypes, "float32, float16 or bfloat16 in place of the sweep's types; repeatable");
  std::string names;
  for (const Sweep& sweep : named_sweeps()) names += fmt::format("\n  {}: {}", sweep.name, sweep.about);
  single("--sweep", request.sweep, "file, or name of a sweep (default: quick; host on the host):" + names);
  single("--out", options.out, "write one JSON object a line to this file");
  repeatable("--plugin", options.plugins, "shared library with variants of your own (docs/plugins.md); repeatable");
  single("--table", options.table, "tuned table that `auto` follows in place of the compiled-in one");
  single("--shard", options.shard, "I/N: only the I-th of N parts of the cases; `normquant merge` joins the files");
}

}  // namespace

void add_bench_options(CLI::App& command, BenchOptions& options) {
  add_texts(command, options);
  command.add_flag("--resume", options.resume, "go on with the file of --out: what it holds is not timed again");
  command
      .add_option("--case-timeout", options.case_timeout,
                  "seconds after which a case is given up and becomes an error; the sweep goes on (needs --out)")
      ->check(app::number_between(0.1, 86400));
  command
      .add_option("--plugin-timeout", options.plugin_timeout,
                  "seconds that a plugin's variant may take over one case; it becomes an error then, the sweep goes on")
      ->capture_default_str()
      ->check(app::number_between(0.1, 86400));
  command.add_flag("--invariant", options.request.invariant,
                   "also the row-invariant choice, with what it costs beside auto (docs/row_invariance.md)");
  command.add_flag("--quick", options.quick, "fewer samples a case: enough to tell variants apart by a percent");
  command.add_flag("--no-cold", options.no_cold, "the steady figure only (a GPU also gives the cold one)");
  command.add_flag("--hot", options.hot, "also the hot figure: one and the same buffers, in the L2 as far as they fit");
  command
      .add_option(
          "--sustained", options.sustained_seconds,
          "also the sustained figure: so many seconds of launches a case, until power control has set the clock")
      ->check(app::number_between(0.2, 3600));
  command
      .add_option("--limit", options.limit,
                  "copy: a plain copy of as many bytes as the case (a GPU's records have it always); streams: also a "
                  "kernel that reads and writes the case's own matrices and computes nothing")
      ->capture_default_str()
      ->check(CLI::IsMember({"copy", "streams"}));
  command.add_flag(
      "--lean", options.lean,
      "as the gate's processes: few samples, no cold figure, no copy, and outputs UNCHECKED (the gate checks each "
      "program once)");
  command
      .add_option("--extra-work", options.extra_work,
                  "do this share of the launches twice (of the cases in turn when there are several): a slowdown on "
                  "purpose, to qualify the gate")
      ->delimiter(',')
      ->check(app::number_between(0, 1));
  command.add_flag("--profiled", options.profiled,
                   "launch every case a few times, one by one, for a profiler around this program; times mean little");
  command.add_flag("--self-test", options.self_test, "prove on this GPU that cold is cold, and stop");
  command.add_flag("--require-gpu", options.require_gpu, "exit with status 77 when there is no GPU");
  command.add_flag("--list", options.list, "print the names of the cases and stop");
  command.footer("Every --benchmark_* flag goes to Google Benchmark (--benchmark_filter=, --benchmark_out=, ...).");
}

}  // namespace normquant::bench
