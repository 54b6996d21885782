#include "bench/gate/on_this_gpu.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <system_error>
#include <thread>

#include "bench/child_process.hpp"
#include "bench/gate/code_comparison.hpp"
#include "bench/gate/processes.hpp"
#include "bench/gate/qualify.hpp"
#include "bench/gate/reference_build.hpp"
#include "bench/gate/scratch_folder.hpp"
#include "bench/progress.hpp"
#include "bench/session.hpp"
#include "bench/sweeps.hpp"
#include "exit_status.hpp"
#include "output/interrupt.hpp"
#include "output/output_file.hpp"
#include "reports/whole_file.hpp"
#include "validate/devices.hpp"

namespace normquant::gate {
namespace {

using bench::Refusal;

constexpr double default_budget_seconds = 900;  ///< of --against

ProcessSettings settings_of(const GateOptions& options, const ScratchFolder& folder) {
  std::string why;
  const std::optional<bench::Sweep> sweep = bench::find_sweep(options.sweep, why);
  if (!sweep) throw Refusal{exit_usage, why};
  ProcessSettings settings;
  settings.device = options.device;
  settings.variant = options.variant;
  settings.cases = bench::expand(*sweep);
  settings.folder = folder.path();
  settings.seconds = options.process_seconds;
  settings.programs[1] = options.candidate_program.empty() ? bench::own_program() : options.candidate_program;
  settings.programs[0] = settings.programs[1];
  return settings;
}

/// Where --qualify stores what it finds.
std::string stored_at(const GateOptions& options, const reports::Environment& machine) {
  return options.qualification.empty() ? qualification_path(machine, options.sweep) : options.qualification;
}

/// The qualification in that file; nothing when there is no such file. One of another machine is refused.
std::optional<Qualification> read_qualification(const std::string& path, const reports::Environment& machine) {
  const std::optional<std::string> text = reports::read_whole(path);
  if (!text) return std::nullopt;
  std::string why;
  std::optional<Qualification> qualification = parse_qualification(*text, why);
  if (!qualification) throw Refusal{exit_usage, path + ": " + why};
  const std::string differ = reports::machines_differ(qualification->machine, machine);
  if (!differ.empty()) throw Refusal{exit_usage, fmt::format("{} is about another machine: {}", path, differ)};
  return qualification;
}

/// What is known of this machine: by the sweep that is asked for, else by the sweep `gate`; nothing when it was never qualified.
std::optional<Qualification> known_qualification(const GateOptions& options, const reports::Environment& machine) {
  const std::string path = stored_at(options, machine);
  if (auto known = read_qualification(path, machine)) return known;
  if (!options.qualification.empty()) throw Refusal{exit_usage, "cannot read " + path};
  return options.qualify ? std::nullopt : read_qualification(qualification_path(machine, "gate"), machine);
}

/// What a verdict says of it: the rates that apply to it, or that none do.
std::string known_line(const GateOptions& options, const std::optional<Qualification>& known) {
  const std::string command = "normquant gate --qualify" + (options.sweep == "gate" ? "" : " --sweep " + options.sweep);
  if (!known) {
    return fmt::format("this gate was not qualified on this machine: `{}` measures how often it is wrong", command);
  }
  const auto stem = [](const std::string& sweep) { return std::filesystem::path(sweep).stem(); };
  if (stem(known->sweep) == stem(options.sweep)) return qualification_line(*known);
  return fmt::format(
      "this gate was not qualified on this machine for the sweep {}: `{}` measures how often it is wrong; {}",
      options.sweep, command, qualification_line(*known));
}

/// Checks the outputs of a program; the machine as it sees it. Wrong results are refused: what they cost says nothing.
reports::Environment checked_machine(Processes& processes, Side side) {
  const char* which = side == Side::baseline ? "the baseline" : "the program to judge";
  const ProcessResult checked = processes.check(side);
  if (!checked.failure.empty()) {
    throw Refusal{checked.gpu_absent ? exit_gpu_absent : exit_infrastructure,
                  fmt::format("{} does not run: {}", which, checked.failure)};
  }
  for (const auto& [name, reason] : checked.untimed) {
    if (reason.starts_with("wrong")) throw Refusal{exit_wrong_results, fmt::format("{}: {}: {}", which, name, reason)};
  }
  return *checked.machine;
}

/// What --resume goes on with; nothing without it. Runs of another rule or sweep cannot be added up.
std::optional<Qualification> earlier_runs(const GateOptions& options, const reports::Environment& machine,
                                          const InterleavedRule& rule) {
  if (!options.resume) return std::nullopt;
  std::optional<Qualification> before = known_qualification(options, machine);
  if (!before) throw Refusal{exit_usage, "--resume: this machine has no qualification to go on with"};
  const bool same = before->rule.blocks == rule.blocks && before->rule.stages == rule.stages &&
                    before->rule.min_effect == rule.min_effect && before->sweep == options.sweep &&
                    before->protocol == gate_protocol && before->variant == options.variant &&
                    std::equal(before->detections.begin(), before->detections.end(), options.slowdowns.begin(),
                               options.slowdowns.end(),
                               [](const Detection& one, double slowdown) { return one.slowdown == slowdown; });
  if (!same)
    throw Refusal{
        exit_usage,
        "--resume: the stored qualification has another protocol, sweep or variant, or other blocks, stages, effect or "
        "slowdowns"};
  return before;
}

/// The cases of each device of --device; a case's A and B runs are all on one.
std::vector<ProcessSettings> parts_of(const GateOptions& options, const ProcessSettings& settings) {
  const auto devices = validate::listed_devices(options.device, false, validate::Listed::as_named);
  if (!devices) return {settings};
  std::vector<ProcessSettings> parts(std::min(devices->size(), settings.cases.size()), settings);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    parts[i].device = (*devices)[i].choice.name();
    parts[i].folder = fmt::format("{}/{}", settings.folder, i);
    std::filesystem::create_directory(parts[i].folder);
    parts[i].cases.clear();
    for (std::size_t k = i; k < settings.cases.size(); k += parts.size()) parts[i].cases.push_back(settings.cases[k]);
  }
  return parts;
}

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// What one device found of its cases.
struct Compared {
  std::string refusal;
  reports::Environment machine;
  InterleavedRule rule;
  InterleavedResult result;
  std::optional<Qualification> known;
};

/// One of `parts` devices: their chances of an error add up to that of one.
Compared compare_part(const GateOptions& options, const ProcessSettings& settings, std::size_t parts) {
  Processes processes(settings);
  Compared compared;
  compared.machine = checked_machine(processes, Side::candidate);
  const reports::Environment baseline_machine = checked_machine(processes, Side::baseline);
  compared.refusal = reports::machines_differ(baseline_machine, compared.machine);
  if (!compared.refusal.empty()) return compared;
  const std::optional<Qualification>& known = compared.known = known_qualification(options, compared.machine);
  InterleavedRule& rule = compared.rule;
  rule.stages = options.stages;
  rule.blocks = options.blocks.value_or(rule.blocks);
  rule.min_effect = options.min_effect;
  rule.special = options.special;
  rule.floor = known ? known->floor().value_or(0) : 0;
  rule.seconds = options.seconds > 0 ? options.seconds : default_budget_seconds;
  rule.confidence = 1 - (1 - rule.confidence) / static_cast<double>(parts);
  std::vector<ObservedScatter> history = read_scatter_history(scatter_path(compared.machine));
  if (known) {
    for (const auto& [name, observed] : known->scatter()) history.push_back(observed);
  }
  const RunProcess run = [&](Side side, const std::vector<std::string>& cases) { return processes.run(side, cases); };
  compared.result = run_interleaved(run, rule, history, seconds_now);
  if (!compared.result.failure.empty()) throw Refusal{exit_infrastructure, compared.result.failure};
  return compared;
}

/// What is said beside the verdict.
std::vector<std::string> notes_of(const GateOptions& options, const std::vector<ProcessSettings>& parts,
                                  const std::vector<Compared>& compared) {
  const Compared& first = compared.front();
  int processes = 0;
  for (const Compared& one : compared) processes += one.result.processes;
  std::vector<std::string> notes = {fmt::format(
      "baseline {} ({}), candidate {}; {} processes, {} A B B A blocks in the first stage",
      first.result.baseline_commit, options.against, first.result.candidate_commit, processes, first.rule.blocks)};
  for (std::size_t i = 0; parts.size() > 1 && i < parts.size(); ++i) {
    notes.push_back(fmt::format("{}: {} cases", parts[i].device, parts[i].cases.size()));
  }
  for (const Compared& one : compared) {
    if (!one.result.out_of_time) continue;
    notes.push_back(
        fmt::format("--seconds {:.0f} ended it; what was undecided then is INCONCLUSIVE", first.rule.seconds));
    break;
  }
  for (const Compared& one : compared) {
    if (const std::string why = add_to_scatter_history(scatter_path(one.machine), one.result.observed); !why.empty()) {
      notes.push_back("the scatter of this run is not remembered: " + why);
    }
  }
  if (first.rule.floor > options.min_effect) {
    notes.push_back(fmt::format("the floor of this machine, {:.2f}%, takes the place of --min-effect {:.2f}%",
                                100 * first.rule.floor, 100 * options.min_effect));
  }
  notes.push_back(known_line(options, first.known));
  return notes;
}

/// The verdict of all devices together.
AgainstResult joined(const GateOptions& options, const std::vector<ProcessSettings>& parts,
                     const std::vector<Compared>& compared) {
  AgainstResult answer;
  reports::GateResult& all = answer.report.result;
  for (const Compared& one : compared) {
    if (!one.refusal.empty()) {
      all = {};
      all.refusal = one.refusal;
      return answer;
    }
    const reports::GateResult& gate = one.result.gate;
    all.comparisons.insert(all.comparisons.end(), gate.comparisons.begin(), gate.comparisons.end());
    all.missing.insert(all.missing.end(), gate.missing.begin(), gate.missing.end());
    all.added += gate.added;
    answer.wrong = answer.wrong || one.result.wrong;
  }
  reports::sort_by_importance(all);
  const InterleavedRule& rule = compared.front().rule;
  answer.report.rule = {std::max(rule.min_effect, rule.floor), InterleavedRule{}.confidence, rule.special};
  answer.report.notes = notes_of(options, parts, compared);
  return answer;
}

/// The cases that needed no timing, beside those that were timed.
void add_unchanged(SetAside aside, GateReport& report) {
  report.notes.insert(report.notes.begin(), std::move(aside.note));
  if (!report.result.refusal.empty()) return;
  auto& all = report.result.comparisons;
  all.insert(all.end(), aside.unchanged.begin(), aside.unchanged.end());
  reports::sort_by_importance(report.result);
}

AgainstResult nothing_to_time(const GateOptions& options, SetAside aside) {
  AgainstResult answer;
  answer.report.rule = {options.min_effect, InterleavedRule{}.confidence, options.special};
  add_unchanged(std::move(aside), answer.report);
  return answer;
}

}  // namespace

AgainstResult compare_programs(const GateOptions& options) {
  const ScratchFolder folder;
  ProcessSettings settings = settings_of(options, folder);
  const ReferenceProgram reference = reference_program(options.against, folder.path());
  if (reference.path.empty()) throw Refusal{reference.status, reference.why};
  settings.programs[0] = reference.path;
  SetAside aside;
  if (options.time_all) {
    aside.note = "--time-all: every case was timed, whatever its code";
  } else {
    aside = set_unchanged_aside(settings, parts_of(options, settings).front().device);
    std::fprintf(stderr, "normquant gate: %s\n", aside.note.c_str());
  }
  if (settings.cases.empty()) return nothing_to_time(options, std::move(aside));
  const output::OnInterrupt how([] {
    std::fprintf(stderr, "normquant gate: there is no verdict yet; --seconds N ends it after N seconds with one\n");
  });
  settings.lean = knows_lean(settings.programs[0], folder.path()) && knows_lean(settings.programs[1], folder.path());
  const std::vector<ProcessSettings> parts = parts_of(options, settings);
  std::vector<Compared> compared(parts.size());
  std::vector<std::exception_ptr> failures(parts.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    threads.emplace_back([&, i] {
      try {
        compared[i] = compare_part(options, parts[i], parts.size());
      } catch (...) {
        failures[i] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  AgainstResult answer = joined(options, parts, compared);
  add_unchanged(std::move(aside), answer.report);
  return answer;
}

int qualify_this_gpu(const GateOptions& options) {
  if (validate::listed_devices(options.device, false, validate::Listed::as_named)) {
    throw Refusal{exit_usage, fmt::format("--qualify is about one GPU, not about {}", options.device)};
  }
  const ScratchFolder folder;
  const ProcessSettings settings = settings_of(options, folder);
  Processes processes(settings);
  const reports::Environment machine = checked_machine(processes, Side::candidate);
  const std::string path = stored_at(options, machine);
  InterleavedRule rule;
  rule.min_effect = options.min_effect;
  rule.stages = options.stages;
  rule.blocks = options.blocks.value_or(2);
  const std::optional<Qualification> before = earlier_runs(options, machine, rule);
  output::OutputFile stored;
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
  stored.open(path, options.resume ? output::Existing::replace : options.existing);
  const output::OnInterrupt how([&path] {
    std::fprintf(stderr,
                 "normquant gate: %s holds the runs that were finished; the same command with --resume goes on\n",
                 path.c_str());
  });
  const QualifyPlan plan{options.same_runs, options.slowed_runs, options.slowdowns, options.seconds};
  bench::Progress progress(plan.same_runs + plan.slowed_runs);
  bool begun = false;
  const auto named = [&](Qualification qualification) {
    qualification.sweep = options.sweep;
    qualification.variant = options.variant;
    return qualification;
  };
  QualifyWorld world;
  world.run = [&](Side side, const std::vector<std::string>& cases) { return processes.run(side, cases); };
  world.slow_candidate = [&](std::map<std::string, double> shares) { processes.slow_candidate(std::move(shares)); };
  world.now = seconds_now;
  world.keep = [&](const Qualification& qualification) { stored.commit(qualification_json(named(qualification))); };
  world.progress = [&](int, int) {
    if (begun) progress.end();
    progress.begin("gate --qualify");
    begun = true;
  };
  std::string failure;
  const Qualification found = named(qualify(world, plan, rule, before, failure));
  if (begun) progress.end();
  if (failure.empty()) stored.commit(qualification_json(found));
  fmt::print("{}", qualification_text(found));
  if (!failure.empty()) throw Refusal{exit_infrastructure, failure};
  const int runs = found.false_alarms.runs;
  fmt::print("stored in {}\n", path);
  if (runs < plan.same_runs) {
    throw Refusal{exit_inconclusive,
                  fmt::format("--seconds {} ended it after {} of {} A/A runs", options.seconds, runs, plan.same_runs)};
  }
  return exit_pass;
}

}  // namespace normquant::gate
