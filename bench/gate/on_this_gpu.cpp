#include "bench/gate/on_this_gpu.hpp"

#include <fmt/format.h>
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): mkdtemp is POSIX's

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <system_error>

#include "bench/child_process.hpp"
#include "bench/gate/processes.hpp"
#include "bench/gate/qualify.hpp"
#include "bench/gate/reference_build.hpp"
#include "bench/progress.hpp"
#include "bench/session.hpp"
#include "bench/sweeps.hpp"
#include "exit_status.hpp"
#include "output/interrupt.hpp"
#include "output/output_file.hpp"
#include "reports/whole_file.hpp"

namespace normquant::gate {
namespace {

using bench::Refusal;

const std::vector<double> slowdowns = {0.02, 0.03, 0.05, 0.10};

constexpr double default_budget_seconds = 900;  ///< of --against

/// A folder of its own for the files of one call.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "normquant_gate_XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw Refusal{exit_infrastructure, "cannot make a folder like " + pattern};
    path_ = pattern;
    removal_ = std::make_unique<output::OnInterrupt>([path = path_] { remove(path); });
  }
  ~ScratchFolder() {
    removal_.reset();
    remove(path_);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  static void remove(const std::string& path) {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::string path_;
  std::unique_ptr<output::OnInterrupt> removal_;
};

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

std::string qualification_path(const GateOptions& options, const reports::Environment& machine) {
  if (!options.qualification.empty()) return options.qualification;
  return state_folder() + "/" + machine_name(machine) + ".json";
}

/// What is known of this machine; nothing when it was never qualified.
std::optional<Qualification> known_qualification(const GateOptions& options, const reports::Environment& machine) {
  const std::string path = qualification_path(options, machine);
  const std::optional<std::string> text = reports::read_whole(path);
  if (!text) {
    if (options.qualification.empty()) return std::nullopt;
    throw Refusal{exit_usage, "cannot read " + path};
  }
  std::string why;
  std::optional<Qualification> qualification = parse_qualification(*text, why);
  if (!qualification) throw Refusal{exit_usage, path + ": " + why};
  const std::string differ = reports::machines_differ(qualification->machine, machine);
  if (!differ.empty()) throw Refusal{exit_usage, fmt::format("{} is about another machine: {}", path, differ)};
  return qualification;
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
                    before->detections.size() == slowdowns.size();
  if (!same)
    throw Refusal{
        exit_usage,
        "--resume: the stored qualification has another protocol, sweep or variant, or other blocks, stages or effect"};
  return before;
}

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

AgainstResult compare_programs(const GateOptions& options) {
  const ScratchFolder folder;
  ProcessSettings settings = settings_of(options, folder);
  const ReferenceProgram reference = reference_program(options.against, folder.path());
  if (reference.path.empty()) throw Refusal{reference.status, reference.why};
  settings.programs[0] = reference.path;
  settings.lean = knows_lean(settings.programs[0], folder.path()) && knows_lean(settings.programs[1], folder.path());
  Processes processes(settings);
  const reports::Environment machine = checked_machine(processes, Side::candidate);
  const reports::Environment baseline_machine = checked_machine(processes, Side::baseline);
  AgainstResult answer;
  answer.report.result.refusal = reports::machines_differ(baseline_machine, machine);
  if (!answer.report.result.refusal.empty()) return answer;
  const std::optional<Qualification> known = known_qualification(options, machine);
  InterleavedRule rule;
  rule.stages = options.stages;
  rule.blocks = options.blocks.value_or(rule.blocks);
  rule.min_effect = options.min_effect;
  rule.special = options.special;
  rule.floor = known ? known->floor().value_or(0) : 0;
  rule.seconds = options.seconds > 0 ? options.seconds : default_budget_seconds;
  const std::string scatter_file = scatter_path(machine);
  std::vector<ObservedScatter> history = read_scatter_history(scatter_file);
  if (known) {
    for (const auto& [name, observed] : known->scatter()) history.push_back(observed);
  }
  const RunProcess run = [&](Side side, const std::vector<std::string>& cases) { return processes.run(side, cases); };
  const InterleavedResult result = run_interleaved(run, rule, history, seconds_now);
  if (!result.failure.empty()) throw Refusal{exit_infrastructure, result.failure};
  answer.wrong = result.wrong;
  answer.report.result = result.gate;
  answer.report.rule = {std::max(rule.min_effect, rule.floor), rule.confidence, rule.special};
  answer.report.notes.push_back(
      fmt::format("baseline {} ({}), candidate {}; {} processes, {} A B B A blocks in the first stage",
                  result.baseline_commit, options.against, result.candidate_commit, result.processes, rule.blocks));
  if (result.out_of_time) {
    answer.report.notes.push_back(
        fmt::format("--seconds {:.0f} ended it; what was undecided then is INCONCLUSIVE", rule.seconds));
  }
  if (const std::string why = add_to_scatter_history(scatter_file, result.observed); !why.empty()) {
    answer.report.notes.push_back("the scatter of this run is not remembered: " + why);
  }
  if (rule.floor > options.min_effect) {
    answer.report.notes.push_back(
        fmt::format("the floor of this machine, {:.2f}%, takes the place of --min-effect {:.2f}%", 100 * rule.floor,
                    100 * options.min_effect));
  }
  answer.report.notes.push_back(
      known ? qualification_line(*known)
            : "this gate was not qualified on this machine: `normquant gate --qualify` measures how "
              "often it is wrong");
  return answer;
}

int qualify_this_gpu(const GateOptions& options) {
  const ScratchFolder folder;
  const ProcessSettings settings = settings_of(options, folder);
  Processes processes(settings);
  const reports::Environment machine = checked_machine(processes, Side::candidate);
  const std::string path = qualification_path(options, machine);
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
  const QualifyPlan plan{options.same_runs, options.slowed_runs, slowdowns, options.seconds};
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
