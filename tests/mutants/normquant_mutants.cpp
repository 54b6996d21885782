// normquant-mutants: shows that the suites of `normquant validate` catch planted bugs (docs/mutants.md).
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <thread>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "exit_status.hpp"
#include "tests/mutants/campaign.hpp"
#include "tests/mutants/control.hpp"
#include "tests/mutants/finding_files.hpp"
#include "tests/mutants/matrix.hpp"

namespace normquant::mutants {
namespace {

using validate::SuiteSize;

struct Options {
  std::string device = "host", names = ".*", suite = "first", out;
  std::vector<std::string> files;
  int jobs = 0;
  std::uint64_t seed = 1;
  double most_silent = 120, most_seconds = 0, longest_case = 0;
  bool measure_reach = false, resume = false, only_hints = false;
  std::vector<std::string> hints;
  std::string names_file, reach_kept;
  std::int64_t seeds = 1, elements = 0;
};

validate::DeviceChoice device_of(const Options& options) {
  const validate::DeviceSelection selection = validate::select_devices(options.device, false);
  if (selection.exit_status != 0) throw Refusal{selection.exit_status, selection.why};
  if (selection.devices.size() != 1) throw Refusal{exit_usage, "name one device: host, cuda or cuda:I"};
#if !defined(NORMQUANT_MUTANTS_ON_GPU)
  if (selection.devices.front().kind == DeviceKind::cuda) {
    throw Refusal{exit_usage, "this program has no mutants for GPUs; normquant-mutants-gpu has"};
  }
#endif
  return selection.devices.front();
}

/// The same without asking CUDA, which must not have been used in this process when others are forked off it: they ask.
validate::DeviceChoice device_for_processes(const Options& options) {
  if (!options.device.starts_with("cuda")) return device_of(options);
#if !defined(NORMQUANT_MUTANTS_ON_GPU)
  throw Refusal{exit_usage, "this program has no mutants for GPUs; normquant-mutants-gpu has"};
#endif
  if (options.device == "cuda") return {DeviceKind::cuda, 0};
  const std::string digits = options.device.size() > 5 ? options.device.substr(5) : "";
  if (options.device[4] == ':' && digits.size() == 1 && digits[0] >= '0' && digits[0] <= '9') {
    return {DeviceKind::cuda, digits[0] - '0'};
  }
  throw Refusal{exit_usage, fmt::format("'{}' is not a device; write host, cuda or cuda:I", options.device)};
}

int side_by_side(const Options& options) {
  return options.jobs > 0 ? options.jobs : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

std::vector<SuiteSize> suites_of(const Options& options) {
  if (options.suite == "first" || options.suite == "both") return {SuiteSize::smoke, SuiteSize::standard};
  const auto one = validate::suite_named(options.suite);
  if (one) return {*one};
  throw Refusal{exit_usage, fmt::format("there is no suite '{}'; there are first, both, smoke, standard and exhaustive",
                                        options.suite)};
}

std::vector<const Mutant*> named(const Options& options) {
  std::vector<const Mutant*> some;
  try {
    const std::regex wanted(options.names);
    for (const Mutant& mutant : all_mutants()) {
      if (std::regex_search(mutant.name.begin(), mutant.name.end(), wanted)) some.push_back(&mutant);
    }
  } catch (const std::regex_error&) {
    throw Refusal{exit_usage, fmt::format("'{}' is not a regular expression", options.names)};
  }
  if (!options.names_file.empty()) {
    std::ifstream file(options.names_file);
    const std::set<std::string, std::less<>> wanted{std::istream_iterator<std::string>(file), {}};
    some.erase(std::remove_if(some.begin(), some.end(), [&](const Mutant* m) { return wanted.count(m->name) == 0; }),
               some.end());
  }
  if (some.empty()) throw Refusal{exit_usage, fmt::format("no mutant is called like '{}'", options.names)};
  return some;
}

/// What caught mutants in earlier runs: their findings, a record a line.
void add_hints(const std::string& path, bool alone, std::map<std::string, Hint, std::less<>>& hints) {
  std::ifstream file(path);
  if (!file) throw Refusal{exit_usage, fmt::format("cannot read {}", path)};
  std::string line;
  while (std::getline(file, line)) {
    const auto finding = nlohmann::json::parse(line, nullptr, false).get<Finding>();
    const Hint hint{finding.variant, finding.problem, finding.suite, alone};
    if (!finding.problem.empty()) hints.try_emplace(finding.mutant, hint);  // smoke comes before standard
  }
}

int run(const Options& options) {
  Campaign campaign;
  campaign.device = device_for_processes(options);
  campaign.suites = suites_of(options);
  campaign.stop_when_caught = options.suite == "first";
  campaign.seed = options.seed;
  campaign.side_by_side = side_by_side(options);
  campaign.most_silent = options.most_silent;
  campaign.measure_reach = options.measure_reach;
  campaign.most_seconds = options.most_seconds;
  campaign.longest_case = options.longest_case;
  campaign.reach_kept = options.reach_kept;
  for (const std::string& path : options.hints) add_hints(path, options.only_hints, campaign.hints);
  if (options.resume && options.out.empty())
    throw Refusal{exit_usage, "--resume needs --out, the findings to go on from"};
  if (options.resume) campaign.earlier = found_before(options.out);
  std::vector<const Mutant*> mutants;
  int elsewhere = 0, equivalent = 0;
  for (const Mutant* mutant : named(options)) {
    if (!runs_on(*mutant, campaign.device.kind)) {
      ++elsewhere;
    } else if (!mutant->equivalent.empty()) {
      ++equivalent;
    } else if (!options.only_hints || campaign.hints.contains(mutant->name)) {
      mutants.push_back(mutant);
    }
  }
  FindingFile records(options.out, options.resume);
  std::set<std::pair<std::string, std::string>> in_file;
  for (const Finding& finding : campaign.earlier) in_file.emplace(finding.mutant, finding.suite);
  const bool terminal = isatty(STDERR_FILENO) != 0;
  const auto start = std::chrono::steady_clock::now();
  std::size_t count = 0;
  std::set<std::string> caught_at_all;
  std::map<std::string, std::pair<int, int>> shares;  // of a suite: caught, run
  run_campaign(campaign, mutants, [&](const Finding& finding) {
    if (finding.check.starts_with("not activated")) {
      throw Refusal{exit_infrastructure, fmt::format("{}: {}", finding.mutant, finding.check)};
    }
    const bool is_new = !in_file.contains({finding.mutant, finding.suite});
    if (is_new) records.add(finding);
    auto& [caught, all] = shares[finding.suite];
    caught += finding.caught ? 1 : 0;
    ++all;
    if (finding.caught) caught_at_all.insert(finding.mutant);
    if (!finding.caught && is_new) {
      fmt::print("{} passes {}: {} cases, {} elements, {:.1f} s\n", finding.mutant, finding.suite, finding.cases,
                 finding.elements, finding.seconds);
      std::fflush(stdout);
    }
    if (terminal) fmt::print(stderr, "\r{} findings\033[K\r", ++count);
  });
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  for (const auto& [suite, share] : shares) fmt::print("{}: {} of {} caught\n", suite, share.first, share.second);
  for (const Mutant* mutant : mutants) {
    if (caught_at_all.count(std::string(mutant->name)) == 0) fmt::print("MISSED: {}\n", mutant->name);
  }
  fmt::print(
      "{} of {} mutants caught on {} in {:.0f} s; {} that cannot show on it and {} equivalent ones were not run\n",
      caught_at_all.size(), mutants.size(), campaign.device.name(), seconds, elsewhere, equivalent);
  if (mutants.empty()) throw Refusal{exit_usage, "nothing was run: no mutant of these shows on this device"};
  return caught_at_all.size() == mutants.size() ? exit_pass : exit_wrong_results;
}

void print_alarm(const validate::CaseResult& alarm) {
  fmt::print("FALSE ALARM: {} on {}: {}: {}\n", alarm.variant, alarm.device, to_text(alarm.problem),
             alarm.verdict.reason);
}

int control(const Options& options) {
  const validate::DeviceChoice device = device_of(options);
  const std::vector<SuiteSize> suites = suites_of(options);
  if (suites.size() != 1) throw Refusal{exit_usage, "name one suite: smoke, standard or exhaustive"};
  const auto start = std::chrono::steady_clock::now();
  std::size_t shown = 0;  // alarms
  const Control result = run_control(device, suites.front(), options.seed, options.seeds, options.elements,
                                     side_by_side(options), [&](const Control& so_far) {
                                       for (; shown < so_far.alarms.size(); ++shown) print_alarm(so_far.alarms[shown]);
                                       fmt::print("{} seeds: {} passed, {} alarms, {} elements\n", so_far.seeds,
                                                  so_far.passed, so_far.alarms.size(), so_far.elements);
                                       std::fflush(stdout);
                                     });
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  fmt::print("{} false alarms in {} passed cases, {} elements, {} seeds of {} on {}, {:.0f} s\n", result.alarms.size(),
             result.passed, result.elements, result.seeds, name_of(suites.front()), device.name(), seconds);
  return result.alarms.empty() && result.passed > 0 ? exit_pass : exit_wrong_results;
}

int report(const Options& options) {
  std::vector<Finding> findings;
  for (const std::string& path : options.files) {
    std::ifstream file(path);
    if (!file) throw Refusal{exit_usage, fmt::format("cannot read {}", path)};
    std::string line;
    for (int number = 1; std::getline(file, line); ++number) {
      try {
        findings.push_back(nlohmann::json::parse(line).get<Finding>());
      } catch (const nlohmann::json::exception&) {
        throw Refusal{exit_usage, fmt::format("{}:{} is no finding of normquant-mutants run", path, number)};
      }
    }
  }
  const std::string text = matrix(findings);
  if (options.out.empty()) {
    std::cout << text;
    return exit_pass;
  }
  std::ofstream file(options.out);
  file << text;
  file.close();
  if (!file) throw Refusal{exit_infrastructure, fmt::format("cannot write {}", options.out)};
  return exit_pass;
}

int list(const Options& options) {
  for (const Mutant* mutant : named(options)) {
    fmt::print("{}  {}:{}  {}\n", mutant->name, mutant->file, mutant->line, mutant->kind);
  }
  return exit_pass;
}

int main(int argc, char** argv) {
  CLI::App app("Planted bugs, and whether the suites of normquant validate catch them (docs/mutants.md)");
  app.require_subcommand(1);
  Options options;
  int status = exit_pass;
  const auto command = [&](const char* name, const char* what, int (*work)(const Options&)) {
    CLI::App* sub = app.add_subcommand(name, what);
    sub->callback([&, work] { status = work(options); });
    return sub;
  };
  CLI::App* run_command = command("run", "Run the mutants, each in a process of its own, until a case fails", run);
  CLI::App* control_command = command("control", "Run the suites without a mutant: all must pass", control);
  CLI::App* report_command = command("report", "The matrix of findings as Markdown", report);
  CLI::App* list_command = command("list", "Name the mutants", list);
  for (CLI::App* sub : {run_command, list_command}) {
    sub->add_option("--mutant", options.names, "Only those whose name matches this expression");
    sub->add_option("--names", options.names_file, "Only those that this file names, one a line");
  }
  for (CLI::App* sub : {run_command, control_command}) {
    sub->add_option("--device", options.device, "host, cuda or cuda:I")->capture_default_str();
    sub->add_option("--seed", options.seed, "Seed of inputs and drawn problems")->capture_default_str();
    sub->add_option("--jobs", options.jobs, "Processes (control: threads) side by side; default: cores");
    sub->add_option("--suite", options.suite,
                    "smoke, standard or exhaustive; run also: both, or first (smoke, then standard for what it misses)")
        ->capture_default_str();
  }
  run_command->add_option("--out", options.out, "Write the findings to this file, a JSON record a line");
  run_command->add_option("--most-silent", options.most_silent, "Seconds a case may take; then the mutant hangs")
      ->capture_default_str();
  run_command->add_flag("--reach", options.measure_reach,
                        "Measure which cases come to which place first, and run mechanical mutants there alone");
  run_command->add_option(
      "--most-seconds", options.most_seconds,
      "With --reach: what no case catches in so much of the processor's time is cut short; a quarter in smoke");
  run_command->add_option("--longest-case", options.longest_case,
                          "With --reach: cases of which more seconds are estimated are left out; 0: none");
  run_command->add_option(
      "--keep-reach", options.reach_kept,
      "With --reach: keep what was measured in files that begin so, and take what is there already");
  run_command->add_flag("--resume", options.resume, "Go on where an interrupted run's --out ends");
  run_command->add_option("--hints", options.hints,
                          "Findings of earlier runs, whose cases are tried first, and the suite that caught it");
  run_command->add_flag("--only-hints", options.only_hints,
                        "Run nothing but these cases, of the mutants that have one");
  control_command->add_option("--seeds", options.seeds, "Seeds to run, at least")->capture_default_str();
  control_command->add_option("--elements", options.elements, "Elements to check, at least");
  report_command->add_option("files", options.files, "Findings of normquant-mutants run")->required();
  report_command->add_option("--out", options.out, "Write to this file");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? exit_pass : exit_usage;
  } catch (const Refusal& refusal) {
    fmt::print(stderr, "normquant-mutants: {}\n", refusal.sentence);
    return refusal.status;
  }
  return status;
}

}  // namespace
}  // namespace normquant::mutants

int main(int argc, char** argv) { return normquant::mutants::main(argc, argv); }
