#include "bench/gate/processes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "bench/child_process.hpp"
#include "exit_status.hpp"
#include "output/output_file.hpp"
#include "refusal.hpp"
#include "reports/whole_file.hpp"

namespace normquant::gate {
namespace {

std::string sweep_file(const ProcessSettings& settings) { return settings.folder + "/sweep.json"; }
std::string record_file(const ProcessSettings& settings) { return settings.folder + "/process.jsonl"; }
std::string printed_file(const ProcessSettings& settings) { return settings.folder + "/printed.txt"; }

/// The last lines of what a process printed, for the sentence about its failure.
std::string last_line(const std::string& path) {
  const std::string content = reports::read_whole(path).value_or("");
  const std::size_t end = content.find_last_not_of(" \n\r\t");
  if (end == std::string::npos) return "it printed nothing";
  const std::size_t start = content.rfind('\n', end);
  return content.substr(start == std::string::npos ? 0 : start + 1,
                        end - (start == std::string::npos ? 0 : start + 1) + 1);
}

ProcessResult failed(std::string why) {
  ProcessResult result;
  result.failure = std::move(why);
  return result;
}

ProcessResult result_of(const reports::RecordSet& set, const std::string& variant) {
  ProcessResult result;
  result.machine = set.environments.front();
  for (const reports::Timing& timing : set.timings) {
    const std::string name = timing.case_text() + " " + timing.variant;
    if (timing.passed()) {
      result.microseconds[name] = timing.median_us;
    } else if (timing.verdict != "skipped" || variant == "auto") {
      result.untimed[name] = fmt::format("{}: {}", timing.verdict, timing.reason);
    }
  }
  return result;
}

}  // namespace

std::string comparison_name(const bench::Case& timed, const std::string& variant) {
  return fmt::format("{} {} {} {} {}", name_of(timed.problem.op), bench::shape_text(timed.problem),
                     normquant::name_of(timed.problem.x), timed.form, variant);
}

std::string sweep_text(const std::vector<const bench::Case*>& cases) {
  nlohmann::ordered_json sweep = {{"name", "gate"}, {"about", "cases of the gate"}};
  sweep["cases"] = nlohmann::ordered_json::array();
  for (const bench::Case* timed : cases) {
    const validate::Problem& problem = timed->problem;
    nlohmann::ordered_json group;
    group["op"] = name_of(problem.op);
    group["shapes"] = {bench::shape_text(problem)};
    group["dtypes"] = {normquant::name_of(problem.x)};
    group["forms"] = {timed->form};
    sweep["cases"].push_back(std::move(group));
  }
  return sweep.dump(2) + "\n";
}

Processes::Processes(ProcessSettings settings) : settings_(std::move(settings)) {}

std::vector<std::string> Processes::arguments(Side side, const std::vector<const bench::Case*>& cases,
                                              bool lean) const {
  std::vector<std::string> list = {settings_.programs[side == Side::candidate ? 1 : 0],
                                   "bench",
                                   "--device",
                                   settings_.device,
                                   "--sweep",
                                   sweep_file(settings_),
                                   "--variant",
                                   settings_.variant,
                                   lean ? "--lean" : "--quick",
                                   "--out",
                                   record_file(settings_)};
  // Nobody reads the cold figures of the check. Whoever knows --lean knows --no-cold.
  if (!lean && settings_.lean) list.emplace_back("--no-cold");
  if (shares_.empty() || !lean) return list;
  std::string shares;
  for (const bench::Case* timed : cases) {
    const auto found = shares_.find(comparison_name(*timed, settings_.variant));
    const double share = side == Side::candidate && found != shares_.end() ? found->second : 0;
    shares += fmt::format("{}{}", shares.empty() ? "" : ",", share);
  }
  list.insert(list.end(), {"--extra-work", shares});
  return list;
}

ProcessResult Processes::check(Side side) { return run(side, {}, false); }

ProcessResult Processes::run(Side side, const std::vector<std::string>& names) {
  return run(side, names, settings_.lean);
}

ProcessResult Processes::run(Side side, const std::vector<std::string>& names, bool lean) {
  std::vector<const bench::Case*> cases;
  for (const bench::Case& timed : settings_.cases) {
    // A name holds the variant at its end, which an expression stands for here.
    const std::string start = comparison_name(timed, "");
    const bool named =
        std::any_of(names.begin(), names.end(), [&start](const std::string& name) { return name.starts_with(start); });
    if (names.empty() || named) cases.push_back(&timed);
  }
  try {
    output::write_document(sweep_file(settings_), sweep_text(cases), output::Existing::replace);
  } catch (const Refusal& refusal) {
    return failed(refusal.sentence);
  }
  (void)std::remove(record_file(settings_).c_str());
  bench::ChildRequest request;
  request.arguments = arguments(side, cases, lean);
  request.environment = {"CUDA_MODULE_LOADING=LAZY"};  // each kernel is loaded by its first launch, which is not timed
  request.output = printed_file(settings_);
  request.seconds = settings_.seconds;
  std::string why;
  const auto end = bench::run_child(request, why);
  if (!end) return failed(why);
  if (end->killed) return failed(fmt::format("it ran longer than {:.0f} s", settings_.seconds));
  if (end->status != exit_pass && end->status != exit_wrong_results) {
    ProcessResult result = failed(fmt::format("status {}: {}", end->status, last_line(printed_file(settings_))));
    result.gpu_absent = end->status == exit_gpu_absent;
    return result;
  }
  const auto set = reports::read_records({record_file(settings_)}, why);
  if (!set) return failed(why);
  return result_of(*set, settings_.variant);
}

bool knows_lean(const std::string& program, const std::string& folder) {
  bench::ChildRequest request;
  request.arguments = {program, "bench", "--help"};
  request.output = folder + "/help.txt";
  request.seconds = 30;
  std::string why;
  const auto end = bench::run_child(request, why);
  return end && end->status == 0 &&
         reports::read_whole(request.output).value_or("").find("--lean") != std::string::npos;
}

}  // namespace normquant::gate
