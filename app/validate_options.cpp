#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "app/commands.hpp"
#include "app/options.hpp"
#include "app/validate_plan.hpp"

namespace normquant::validate {

void add_validate_options(CLI::App& command, ValidateOptions& options) {
  command
      .add_option("--device", options.device,
                  "host, cuda, cuda:I or all; cases shared by several: cuda:all, cuda:0,2, host:K")
      ->capture_default_str();
  command.add_option("--op", options.ops, fmt::format("Only this operation: {}", known_operations));
  command.add_option(
      "--variant", options.variant,
      "Only variants whose name matches this expression; or auto; or invariant, the row-invariant choice");
  command.add_option("--shape", options.shapes,
                     "These shapes instead of the suite's: MxN, or MxK_inxK_out for bit_linear (repeatable)");
  command
      .add_option("--most-minutes", options.most_minutes,
                  "Shapes and cases that take longer here, by an estimate, are refused before they start")
      ->check(app::number_between(1e-6, 1e6))
      ->capture_default_str();
  command.add_flag("--no-limit", options.no_limit, "Start whatever it takes in time and memory");
  command.add_option("--dtype", options.dtypes, "Only these types of x: float32, float16, bfloat16 (repeatable)");
  command.add_option("--suite", options.suite, "smoke, standard or exhaustive")->capture_default_str();
  command.add_option("--case", options.cases, "This problem alone, as a failure prints it (repeatable)");
  command.add_option("--plugin", options.plugins, "Shared library with variants of your own (repeatable)")
      ->allow_extra_args(false);
  command
      .add_option("--plugin-timeout", options.plugin_timeout,
                  "Seconds that a plugin's variant may take over one case (docs/plugins.md)")
      ->check(app::number_between(0.1, 86400))
      ->capture_default_str();
  command.add_option("--seed", options.seed, "Seed of inputs and drawn problems")->capture_default_str();
  command.add_flag("--after-others", options.after_others,
                   "Run each case also after 1,000 other launches on another stream (the suites do it for some)");
  command.add_option("--schedule-seed", options.schedule_seed, "Seed of the host device's order of threads")
      ->capture_default_str();
  command.add_option("--jobs", options.jobs, "Cases that run side by side (default: cores, 8 at most)")
      ->check(app::jobs_range());
  command.add_flag(
      "--warm", options.warm,
      "No cold caches and poisoned shared memory before second runs on a GPU: for compute-sanitizer, which "
      "would take long over them");
  command.add_option("--json", options.json, "Write the results to this file");
  command.add_option("--junit", options.junit, "Write the results to this file as JUnit XML");
  command.add_option("--shard", options.shard, "I/N: only the I-th of N parts of the cases");
  command.add_flag("--resume", options.resume, "Go on with the file of --json: what it holds is not run again");
  command.add_flag("--fail-fast", options.fail_fast, "Begin no further case after the first that is wrong or an error");
  command.add_option("--slowest", options.slowest, "Print so many of the cases that took longest")
      ->check(app::count_between(1, 100000));
  command.add_flag("--coverage", options.coverage,
                   "Print which classes of the problem space the suite met, and which not, for every variant and form");
  command.add_flag("--list", options.list, "Print the problems and stop");
  command.add_flag("--dry-run", options.dry_run, "Print problems and variants and stop");
  command.add_flag("--require-gpu", options.require_gpu, "Exit with status 77 when there is no GPU");
  app::add_force(command, options.existing);
}

}  // namespace normquant::validate
