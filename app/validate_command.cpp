// `normquant validate`: every variant against the reference.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iterator>
#include <limits>
#include <memory>
#include <regex>
#include <thread>
#include <CLI/CLI.hpp>

#include "app/commands.hpp"
#include "exit_status.hpp"
#include "kernels/plugin/plugins.hpp"
#include "kernels/plugin/worker.hpp"
#include "validate/cost.hpp"
#include "validate/devices.hpp"
#include "validate/operations/prepared_problem.hpp"
#include "validate/repetition.hpp"
#include "validate/result_files.hpp"
#include "validate/run.hpp"
#include "validate/space/coverage.hpp"
#include "validate/suite.hpp"
#include "validate/summary.hpp"

namespace normquant::validate {
namespace {

struct ValidateOptions {
  std::string device = "host", variant, suite = "smoke", json, junit;
  std::vector<std::string> ops, shapes, dtypes, cases, plugins;
  std::uint64_t seed = 1, schedule_seed = 1;
  int jobs = 0;
  double plugin_timeout = plugins::default_seconds;
  bool warm = false;
  bool list = false, dry_run = false, require_gpu = false, after_others = false, no_limit = false, coverage = false;
  double most_minutes = 60;
};

/// A wish that cannot be met: the sentence and the exit status.
struct Refusal {
  int status;
  std::string sentence;
};

/// What the options mean.
struct Plan {
  struct OnDevice {
    DeviceChoice choice;
    DeviceInfo info;
    std::vector<Case> cases;  ///< drawn for this device
  };
  std::vector<OnDevice> devices;
  std::string left_out;
  std::string of_other_shapes;  ///< operations that have none of the shapes: a sentence each
};

std::vector<Operation> chosen_operations(const ValidateOptions& options) {
  if (options.ops.empty()) return {std::begin(all_operations), std::end(all_operations)};
  std::vector<Operation> chosen;
  for (const std::string& name : options.ops) {
    const std::vector<Operation> named = operations_named(name);
    if (named.empty()) {
      throw Refusal{exit_usage, fmt::format("there is no operation '{}'; there are {}", name, known_operations)};
    }
    chosen.insert(chosen.end(), named.begin(), named.end());
  }
  return chosen;
}

std::vector<DType> chosen_types(const ValidateOptions& options) {
  std::vector<DType> types;
  for (const std::string& name : options.dtypes) {
    const auto type = dtype_named(name);
    if (!type) {
      throw Refusal{exit_usage, fmt::format("there is no type '{}'; there are float32, float16 and bfloat16", name)};
    }
    types.push_back(*type);
  }
  return types;
}

/// Of the shapes those that the operation has: MxN, or MxK_inxK_out for the layer. One that was named must have some.
std::vector<Shape> shapes_for(Operation op, const std::vector<Shape>& shapes, const ValidateOptions& options) {
  std::vector<Shape> own;
  for (const Shape& shape : shapes) {
    if (is_layer(op) == (shape.k_out > 0)) own.push_back(shape);
  }
  if (own.empty() && !shapes.empty() && !options.ops.empty()) {
    throw Refusal{exit_usage,
                  fmt::format("{} has shapes {}, as in {}; none is given", name_of(op),
                              is_layer(op) ? "MxK_inxK_out" : "MxN", is_layer(op) ? "16x4096x4096" : "16x4096")};
  }
  return own;
}

SuiteSize chosen_suite(const ValidateOptions& options) {
  const auto suite = suite_named(options.suite);
  if (suite) return *suite;
  throw Refusal{exit_usage,
                fmt::format("there is no suite '{}'; there are smoke, standard and exhaustive", options.suite)};
}

std::vector<Case> chosen_cases(const ValidateOptions& options, const DeviceInfo& device, std::string& left_out) {
  std::string why;
  std::vector<Case> cases;
  for (const std::string& text : options.cases) {
    const auto problem = parse_problem(text, why);
    if (!problem) throw Refusal{exit_usage, why};
    cases.push_back({*problem, distinct_rows(*problem), false});
  }
  if (!cases.empty()) return cases;

  std::vector<Shape> shapes;
  for (const std::string& text : options.shapes) {
    const auto shape = parse_any_shape(text, why);
    if (!shape) throw Refusal{exit_usage, why};
    shapes.push_back(*shape);
  }
  const SuiteSize suite = chosen_suite(options);
  const std::vector<DType> types = chosen_types(options);
  for (Operation op : chosen_operations(options)) {
    const std::vector<Shape> own = shapes_for(op, shapes, options);
    if (own.empty() && !shapes.empty()) {
      left_out += fmt::format("{}left out: {}, whose shapes are {}", left_out.empty() ? "" : "\n", name_of(op),
                              is_layer(op) ? "MxK_inxK_out" : "MxN");
      continue;
    }
    for (const Case& c : suite_cases(op, suite, options.seed, own, &device)) {
      if (types.empty() || std::find(types.begin(), types.end(), c.problem.x) != types.end()) cases.push_back(c);
    }
  }
  return cases;
}

DeviceInfo info_of(const DeviceChoice& choice) {
  std::string why;
  const auto device = choice.open(1, why);
  if (device == nullptr) throw Refusal{exit_infrastructure, why};
  return device->info();
}

Plan plan_of(const ValidateOptions& options) {
  Plan plan;
  DeviceSelection selection = select_devices(options.device, options.require_gpu);
  if (selection.exit_status != 0) throw Refusal{selection.exit_status, selection.why};
  for (const DeviceChoice& choice : selection.devices) {
    const DeviceInfo info = info_of(choice);
    plan.of_other_shapes.clear();  // the same on every device
    std::vector<Case> cases = chosen_cases(options, info, plan.of_other_shapes);
    // A case list that was asked for by shape repeats rows when it is large, as the suites' large cases do.
    for (Case& c : cases) {
      c.after_others = c.after_others || options.after_others;
      if (c.problem.rows * c.problem.columns > (1 << 20)) c.distinct_rows = distinct_rows(c.problem);
    }
    plan.devices.push_back({choice, info, std::move(cases)});
  }
  plan.left_out = selection.left_out;
  return plan;
}

void refuse_plugins_of_other_devices(const Plan& plan) {
  std::vector<DeviceKind> kinds;
  for (const Plan::OnDevice& device : plan.devices) kinds.push_back(device.choice.kind);
  if (const std::string sentence = plugins::runs_elsewhere(kinds); !sentence.empty()) {
    throw Refusal{exit_usage, sentence};
  }
}

std::vector<Job> jobs_of(const Plan& plan, const ValidateOptions& options) {
  const std::string& pattern = options.variant;
  std::regex wanted;
  try {
    wanted = std::regex(pattern.empty() ? ".*" : pattern);
  } catch (const std::regex_error&) {
    throw Refusal{exit_usage, fmt::format("'{}' is not a regular expression", pattern)};
  }
  std::vector<Job> jobs;
  for (const Plan::OnDevice& device : plan.devices) {
    for (const Case& c : device.cases) {
      Job job{device.choice, c, {}, options.schedule_seed};
      for (const VariantEntry& v : catalogue(c.problem.op, device.choice.kind)) {
        if (is_for(c, v.name) && std::regex_search(v.name.begin(), v.name.end(), wanted))
          job.variants.emplace_back(v.name);
      }
      if (pattern == "auto") job.variants = {"auto"};
      if (!job.variants.empty()) jobs.push_back(job);
    }
  }
  if (jobs.empty()) {
    throw Refusal{exit_usage,
                  fmt::format("nothing matched: no variant is called like '{}' (try normquant list)", pattern)};
  }
  return jobs;
}

const char* word_of(Outcome bad) {
  return bad == Outcome::fail ? "WRONG" : bad == Outcome::hazard ? "HAZARD" : "ERROR";
}

void print_failure(const CaseResult& result) {
  const Verdict& v = result.verdict;
  fmt::print("\n{} {} on {}: {}\n  problem:   {}\n", word_of(v.outcome), result.variant, result.device, v.reason,
             to_text(result.problem));
  for (std::size_t i = 1; i < v.findings.size(); ++i) fmt::print("  {}\n", v.findings[i]);
  for (const Mismatch& m : v.mismatches) {
    fmt::print("  {}[{},{}]: expected {}, got {}\n", m.tensor, m.row, m.column, m.expected, m.actual);
  }
  if (v.elements_wrong > 0) fmt::print("  {} elements wrong of {}\n", v.elements_wrong, v.elements_checked);
  fmt::print("  reproduce: {}\n", reproducing_command(result));
}

void print_table(const std::vector<VariantSummary>& variants) {
  fmt::print("{:<8} {:<20} {:<36} {:>7} {:>6} {:>8} {:>7} {:>12} {:>10}\n", "device", "operation", "variant", "passed",
             "wrong", "skipped", "errors", "worst/bound", "ambiguous");
  for (const VariantSummary& s : variants) {
    const double share = s.codes == 0 ? 0 : 100.0 * static_cast<double>(s.ambiguous) / static_cast<double>(s.codes);
    fmt::print("{:<8} {:<20} {:<36} {:>7} {:>6} {:>8} {:>7} {:>12.3f} {:>9.4f}%\n", s.device, name_of(s.op), s.variant,
               s.passed, s.failed, s.skipped, s.errors, s.worst_error_over_bound, share);
  }
}

/// Whether it is a suite as it is, which owes every variant a check and every class of the model a problem; a narrower
/// question does not.
bool is_whole_suite(const ValidateOptions& options) {
  return options.shapes.empty() && options.dtypes.empty() && options.cases.empty();
}

/// Classes of the model that no problem of the suite met, as "BY WHOM: WHAT"; prints all with --coverage.
std::vector<std::string> unmet_classes(const Plan& plan, const std::vector<CaseResult>& results,
                                       const ValidateOptions& options) {
  std::vector<std::string> unmet;
  if (!is_whole_suite(options) || !options.variant.empty()) return unmet;
  for (const Plan::OnDevice& device : plan.devices) {
    std::vector<CaseResult> own;
    std::copy_if(results.begin(), results.end(), std::back_inserter(own),
                 [&](const CaseResult& result) { return result.device == device.choice.name(); });
    for (Operation op : chosen_operations(options)) {
      const auto coverage = space::coverage_of(op, chosen_suite(options), options.seed, device.info, own);
      for (const auto& [by, owed] : coverage) {
        if (options.coverage) {
          fmt::print("{} {} {}: {} classes met, {} not met\n", device.choice.name(), name_of(op), by, owed.met.size(),
                     owed.unmet.size());
          for (const std::string& one : owed.met) fmt::print("  met      {}\n", one);
        }
        for (const std::string& one : owed.unmet) {
          if (options.coverage) fmt::print("  NOT MET  {}\n", one);
          unmet.push_back(fmt::format("{} on {}: {}", by, device.choice.name(), one));
        }
      }
    }
  }
  return unmet;
}

int report(const std::vector<CaseResult>& results, const ValidateOptions& options, double seconds,
           std::vector<std::string>& never) {
  constexpr int most_shown = 10;
  int shown = 0;
  for (const CaseResult& result : results) {
    const bool bad = result.verdict.outcome != Outcome::pass && result.verdict.outcome != Outcome::skipped;
    if (bad && ++shown <= most_shown) print_failure(result);
  }
  if (shown > most_shown) fmt::print("\n... and {} more; --json FILE lists all.\n", shown - most_shown);
  const auto variants = summarise(results);
  const Totals all = totals(variants);
  fmt::print("\n");
  print_table(variants);
  fmt::print(
      "\n{} elements checked, {:.4f}% of the codes with two admissible values ({:.4f}% but for exact ties), {:.1f} s\n",
      all.elements, 100 * all.ambiguous_share(), 100 * all.loose_share(), seconds);
  if (all.too_loose()) {
    fmt::print(
        "WRONG: more than {}% of the codes have two admissible values without a tie, more than chance explains; the "
        "bounds are too loose to be trusted\n",
        100 * most_ambiguous);
  }
  if (is_whole_suite(options)) never = never_checked(variants);
  for (const VariantSummary& s : variants) {
    if (!s.device_lacks.empty())
      fmt::print("not for this device: {} on {}, it {}\n", s.variant, s.device, s.device_lacks);
  }
  for (const std::string& name : never) fmt::print("NEVER CHECKED: every case was skipped for {}\n", name);
  if (all.passed + all.failed + all.errors == 0) {
    fmt::print(stderr, "normquant: nothing was checked: all {} cases were skipped; --json FILE says why\n",
               all.skipped);
  }
  if (all.watched)
    fmt::print("every access of the kernels was watched: {} cases with hazards, which count as wrong\n", all.hazards);
  fmt::print("{} passed, {} wrong, {} errors, {} skipped\n", all.passed, all.failed, all.errors, all.skipped);
  return exit_status_of(all, never);
}

void show_progress(std::size_t done, std::size_t all) {
  if (isatty(STDERR_FILENO) == 0) return;
  fmt::print(stderr, "\r{}/{} cases{}", done, all, done == all ? "\r\033[K" : "");
  std::fflush(stderr);
}

void write_results(ResultFile& file, const std::string& path, const std::string& text) {
  std::string why;
  if (!path.empty() && !file.commit(text, why)) throw Refusal{exit_infrastructure, why};
}

/// Before anything runs: what shapes or cases ask for may be far more than was meant. A suite takes what it takes.
void refuse_what_is_too_large(const std::vector<Job>& jobs, int threads, const ValidateOptions& options) {
  if (options.no_limit) return;
  const bool asked_by_size = !options.shapes.empty() || !options.cases.empty();
  const double most_seconds = asked_by_size ? 60 * options.most_minutes : std::numeric_limits<double>::infinity();
  const std::string why = why_not_affordable(cost_of(jobs, threads), available_memory(), most_seconds);
  if (!why.empty()) throw Refusal{exit_usage, why};
}

int validate(const ValidateOptions& options) {
  if (std::string why; !plugins::open(options.plugins, options.plugin_timeout, why)) throw Refusal{exit_usage, why};
  const Plan plan = plan_of(options);
  refuse_plugins_of_other_devices(plan);
  const std::vector<Job> jobs = jobs_of(plan, options);
  if (options.list || options.dry_run) {
    for (const Job& job : jobs) {
      if (options.list) fmt::print("{} {}\n", job.device.name(), to_text(job.subject.problem));
      for (const std::string& variant : job.variants) {
        if (options.dry_run) fmt::print("{} {} {}\n", job.device.name(), variant, to_text(job.subject.problem));
      }
    }
    return exit_pass;
  }
  const int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  const int threads = options.jobs > 0 ? options.jobs : std::min(cores, 8);
  refuse_what_is_too_large(jobs, threads, options);
  ResultFile json_file, junit_file;
  std::string why;
  if ((!options.json.empty() && !json_file.open(options.json, why)) ||
      (!options.junit.empty() && !junit_file.open(options.junit, why))) {
    throw Refusal{exit_infrastructure, why};
  }
  for (const std::string& sentence : {plan.left_out, plan.of_other_shapes}) {
    if (!sentence.empty()) fmt::print("{}\n", sentence);
  }
  const auto start = std::chrono::steady_clock::now();
  const auto results = run_jobs(jobs, {threads, show_progress, options.warm, options.plugin_timeout});
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  LeftUndone undone{plan.left_out, {}};
  const std::vector<std::string> unmet = unmet_classes(plan, results, options);
  int status = report(results, options, seconds, undone.never_checked);
  constexpr std::size_t most_named = 10;
  for (std::size_t i = 0; i < std::min(unmet.size(), most_named); ++i) fmt::print("NOT MET: {}\n", unmet[i]);
  if (!unmet.empty()) {
    fmt::print("{} classes of the model are not met by this suite; --coverage lists all\n", unmet.size());
    if (status == exit_pass) status = exit_wrong_results;
  }
  write_results(json_file, options.json, as_json(results, undone));
  write_results(junit_file, options.junit, as_junit(results, undone));
  return status;
}

}  // namespace

void add_validate_command(CLI::App& app, int& status) {
  auto options = std::make_shared<ValidateOptions>();
  CLI::App* command = app.add_subcommand("validate", "Check every variant against the float64 reference");
  command->add_option("--device", options->device, "host, cuda, cuda:I or all")->capture_default_str();
  command->add_option("--op", options->ops, fmt::format("Only this operation: {}", known_operations));
  command->add_option("--variant", options->variant, "Only variants whose name matches this expression; or auto");
  command->add_option("--shape", options->shapes,
                      "These shapes instead of the suite's: MxN, or MxK_inxK_out for bit_linear (repeatable)");
  command
      ->add_option("--most-minutes", options->most_minutes,
                   "Shapes and cases that take longer here, by an estimate, are refused before they start")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_flag("--no-limit", options->no_limit, "Start whatever it takes in time and memory");
  command->add_option("--dtype", options->dtypes, "Only these types of x: float32, float16, bfloat16 (repeatable)");
  command->add_option("--suite", options->suite, "smoke, standard or exhaustive")->capture_default_str();
  command->add_option("--case", options->cases, "This problem alone, as a failure prints it (repeatable)");
  command->add_option("--plugin", options->plugins, "Shared library with variants of your own (repeatable)")
      ->allow_extra_args(false);
  command
      ->add_option("--plugin-timeout", options->plugin_timeout,
                   "Seconds that a plugin's variant may take over one case (docs/plugins.md)")
      ->capture_default_str()
      ->check(CLI::Range(0.1, 86400.0));
  command->add_option("--seed", options->seed, "Seed of inputs and drawn problems")->capture_default_str();
  command->add_flag("--after-others", options->after_others,
                    "Run each case also after 1,000 other launches on another stream (the suites do it for some)");
  command->add_option("--schedule-seed", options->schedule_seed, "Seed of the host device's order of threads")
      ->capture_default_str();
  command->add_option("--jobs", options->jobs, "Cases that run side by side (default: cores, 8 at most)");
  command->add_flag(
      "--warm", options->warm,
      "No cold caches and poisoned shared memory before second runs on a GPU: for compute-sanitizer, which "
      "would take long over them");
  command->add_option("--json", options->json, "Write the results to this file");
  command->add_option("--junit", options->junit, "Write the results to this file as JUnit XML");
  command->add_flag(
      "--coverage", options->coverage,
      "Print which classes of the problem space the suite met, and which not, for every variant and form");
  command->add_flag("--list", options->list, "Print the problems and stop");
  command->add_flag("--dry-run", options->dry_run, "Print problems and variants and stop");
  command->add_flag("--require-gpu", options->require_gpu, "Exit with status 77 when there is no GPU");
  command->callback([options, &status] {
    try {
      status = validate(*options);
    } catch (const Refusal& refusal) {
      fmt::print(stderr, "normquant: {}\n", refusal.sentence);
      status = refusal.status;
    }
  });
}

}  // namespace normquant::validate
