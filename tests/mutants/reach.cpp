#include "tests/mutants/reach.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <ctime>
#include <fstream>
#include <map>
#include <set>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "exit_status.hpp"
#include "tests/mutants/active.hpp"
#include "tests/mutants/processes.hpp"
#include "validate/cost.hpp"
#include "validate/operations/prepared_problem.hpp"
#include "validate/space/coverage.hpp"
#include "validate/summary.hpp"

namespace normquant::mutants {

using validate::CaseResult;
using validate::Outcome;

namespace {

/// A mutant may ask for any amount of memory, and the machine's is for others too: where it runs short, this process ends first.
void yield_memory() { std::ofstream("/proc/self/oom_score_adj") << 1000; }

/// The next step may take this much of the processor's time; then the process is ended by SIGXCPU. Unlike the time that passes,
/// it does not depend on what else the machine does.
void limit_time(double seconds) {
  const double spent = static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  rlimit limit{};
  if (getrlimit(RLIMIT_CPU, &limit) != 0) return;
  limit.rlim_cur = static_cast<rlim_t>(std::ceil(spent + seconds));
  (void)setrlimit(RLIMIT_CPU, &limit);
}

std::vector<validate::Job> single_jobs(const validate::DeviceChoice& device, validate::SuiteSize suite,
                                       std::uint64_t seed) {
  std::vector<validate::Job> jobs;
  for (const Operation op : all_operations) {
    for (const validate::Case& c : validate::suite_cases(op, suite, seed, {})) {
      if (c.gpu_only && device.kind == DeviceKind::host) continue;
      std::vector<std::string> names;
      for (const validate::VariantEntry& variant : validate::catalogue(op, device.kind)) {
        names.emplace_back(variant.name);
      }
      for (const std::string& name : names) {
        if (validate::is_for(c, name)) jobs.push_back({device, c, {name}});
      }
    }
  }
  return jobs;
}

/// A job by its place in the suite and its text, in a file of what was measured.
std::string key_of(std::size_t index, const validate::Job& job) {
  return std::to_string(index) + " " + job.variants.front() + " " + to_text(job.subject.problem);
}

std::vector<std::uint32_t> sites_asked() {
  std::vector<std::uint32_t> sites;
  for (std::uint32_t site = 0; site < most_mechanical; ++site) {
    if (asked[site] != 0) sites.push_back(site);
  }
  return sites;
}

std::vector<bool> as_flags(const std::vector<std::uint32_t>& sites) {
  std::vector<bool> flags(most_mechanical);
  for (const std::uint32_t site : sites) flags[site] = true;
  return flags;
}

nlohmann::json measured(std::size_t index, const validate::Job& job) {
  std::memset(asked, 0, sizeof asked);
  const std::clock_t start = std::clock();
  const auto results = validate::run_jobs({job}, {});
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  const validate::Verdict& verdict = results.front().verdict;
  return {
      {"job", key_of(index, job)},
      {"seconds", seconds},
      {"sites", sites_asked()},
      {"outcome", static_cast<int>(verdict.outcome)},
      {"counts", {verdict.codes_checked, verdict.codes_ambiguous, verdict.codes_on_ties, verdict.elements_checked}}};
}

/// What measured() said of the job.
Step step_of(const validate::Job& job, const nlohmann::json& said) {
  Step step{job, {job.device.name(), job.variants.front(), job.subject.problem, {}}, said.at("seconds")};
  step.sites = as_flags(said.at("sites"));
  validate::Verdict& verdict = step.production.verdict;
  verdict.outcome = static_cast<Outcome>(said.at("outcome").get<int>());
  const auto& counts = said.at("counts");
  verdict.codes_checked = counts[0];
  verdict.codes_ambiguous = counts[1];
  verdict.codes_on_ties = counts[2];
  verdict.elements_checked = counts[3];
  return step;
}

/// The order that measure_reach promises.
void put_in_order(std::vector<Step>& steps) {
  const auto by_cost = [](const Step& a, const Step& b) {
    return std::tuple(!a.measured, a.round, a.seconds) < std::tuple(!b.measured, b.round, b.seconds);
  };
  std::stable_sort(steps.begin(), steps.end(), by_cost);
  std::map<std::pair<std::string, std::size_t>, unsigned>
      alike;  // by a hash of the sites: comparing them all takes minutes
  for (Step& step : steps) {
    if (!step.measured) break;
    const unsigned before = alike[{step.production.variant, std::hash<std::vector<bool>>{}(step.sites)}]++;
    while ((1U << step.round) < before + 1) ++step.round;
  }
  std::stable_sort(steps.begin(), steps.end(), by_cost);
}

std::string name_of(const Step& step) { return step.production.variant + " " + to_text(step.production.problem); }

/// The steps that come to a mutant's place, as many as its seconds allow; `cut_short` tells whether there are more.
std::vector<const Step*> steps_there(const Mutant& mutant, const Reach& reach, const std::set<std::string>& passed,
                                     bool& cut_short) {
  std::vector<const Step*> there;
  std::set<std::pair<Operation, std::string>> variants;
  double planned = 0;
  for (const Step& step : reach.steps) {
    const std::pair variant(step.production.problem.op, step.production.variant);
    if (!step.measured) {
      cut_short |= variants.contains(variant);
      continue;
    }
    if (!step.sites[mutant.site]) continue;
    variants.insert(variant);
    if (!passed.empty() && passed.contains(name_of(step))) continue;
    planned += step.seconds;
    if (reach.most_seconds > 0 && planned > reach.most_seconds && !there.empty()) {
      cut_short = true;
      break;
    }
    there.push_back(&step);
  }
  return there;
}

/// What an earlier run measured, by job; its last line may be a part of one.
std::map<std::string, nlohmann::json> measured_before(const std::string& path) {
  std::map<std::string, nlohmann::json> kept;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    nlohmann::json said = nlohmann::json::parse(line, nullptr, false);
    if (said.is_discarded()) continue;
    const std::string job = said.at("job");
    kept[job] = std::move(said);
  }
  return kept;
}

/// Classes of the model that the results of an operation do not meet.
std::size_t unmet(const Reach& reach, Operation op, const std::vector<CaseResult>& results) {
  std::string why;
  const auto device = reach.device.open(1, why);
  if (device == nullptr) return 0;
  return validate::space::count_unmet(
      validate::space::coverage_of(op, reach.suite, reach.seed, device->info(), results));
}

/// Whether the suite's results as a whole fail though no step does: a variant that production serves is served no more, a class
/// of problems is met no more, or more codes are ambiguous than a suite may have.
bool whole_fails(const Mutant& mutant, const std::vector<CaseResult>& with_mutant, const Reach& reach,
                 Finding& finding) {
  std::vector<CaseResult> production;
  std::set<Operation> lost;  // a problem that was served
  for (std::size_t i = 0; i < reach.steps.size(); ++i) {
    production.push_back(reach.steps[i].production);
    if (production.back().verdict.outcome == Outcome::pass && with_mutant[i].verdict.outcome == Outcome::skipped) {
      lost.insert(production.back().problem.op);
    }
  }
  const auto before = validate::summarise(production), after = validate::summarise(with_mutant);
  for (const auto& was : before) {
    for (const auto& is : after) {
      if (was.variant != is.variant || was.op != is.op || was.passed == 0 || is.passed > 0) continue;
      finding.check = "never checked";
      finding.variant = is.variant;
      return true;
    }
  }
  for (const Operation op : lost) {
    limit_time(600);
    const std::size_t now = unmet(reach, op, with_mutant);
    (void)activate(0);
    const std::size_t otherwise = unmet(reach, op, production);
    (void)activate(mutant.identity);
    if (now <= otherwise) continue;
    finding.check = "classes not met";
    return true;
  }
  if (validate::totals(after).loose_share() <= validate::most_ambiguous ||
      validate::totals(before).loose_share() > validate::most_ambiguous) {
    return false;
  }
  finding.check = "share of ambiguous codes";
  return true;
}

}  // namespace

Reach measure_reach(const validate::DeviceChoice& device, validate::SuiteSize suite, std::uint64_t seed,
                    const ReachOptions& options) {
  Reach reach{device, suite, seed, {}, {}, 0};
  std::memset(asked, 0, sizeof asked);
  const std::vector<validate::Job> jobs = single_jobs(device, suite, seed);
  reach.planning = as_flags(sites_asked());
  std::map<std::string, nlohmann::json> known;
  if (!options.kept.empty()) known = measured_before(options.kept);
  std::vector<std::size_t> left;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const double estimate = validate::cost_of(jobs[i]).seconds;
    if (const auto before = known.find(key_of(i, jobs[i])); before != known.end()) {
      reach.steps.push_back(step_of(jobs[i], before->second));
    } else if (options.longest_case > 0 && estimate > options.longest_case) {
      reach.steps.push_back(
          {jobs[i], {device.name(), jobs[i].variants.front(), jobs[i].subject.problem, {}}, estimate});
      reach.steps.back().measured = false;
    } else {
      left.push_back(i);
    }
  }
  known.clear();
  // A process for some jobs together: most take milliseconds.
  constexpr std::size_t together = 64;
  std::vector<Work> work;
  for (std::size_t first = 0; first < left.size(); first += together) {
    work.emplace_back([&jobs, &left, first](const std::function<void()>& alive) {
      (void)activate(0);
      nlohmann::json all = nlohmann::json::array();
      for (std::size_t i = first; i < std::min(first + together, left.size()); ++i) {
        all.push_back(measured(left[i], jobs[left[i]]));
        alive();
      }
      return all.dump();
    });
  }
  std::ofstream kept;
  if (!options.kept.empty()) kept.open(options.kept, std::ios::app);
  constexpr double most_silent = 600;
  run_processes(work, options.side_by_side, most_silent, [&](std::size_t index, const Ended& ended) {
    if (ended.text.empty()) {
      const validate::Job& job = jobs[left[index * together]];
      throw std::runtime_error("without a mutant " + job.variants.front() + " or one after it ended by signal " +
                               std::to_string(ended.signal) + ": " + to_text(job.subject.problem));
    }
    const auto all = nlohmann::json::parse(ended.text);
    for (std::size_t i = 0; i < all.size(); ++i) {
      reach.steps.push_back(step_of(jobs[left[index * together + i]], all[i]));
      if (kept.is_open()) kept << all[i].dump() << "\n";
    }
    kept.flush();
  });
  put_in_order(reach.steps);
  return reach;
}

Finding find_reached(const Mutant& mutant, const Reach& reach, const Reach* passed,
                     const std::function<void()>& case_done) {
  Finding finding;
  finding.mutant = mutant.name;
  finding.device = reach.device.name();
  finding.suite = name_of(reach.suite);
  if (!activate(mutant.identity)) {
    finding.check = "not activated: CUDA refused";
    return finding;
  }
  constexpr double least_limit = 1;
  yield_memory();
  bool cut_short = false, passed_in_part = false;
  std::set<std::string> names;
  if (passed != nullptr) {
    for (const Step* step : steps_there(mutant, *passed, {}, passed_in_part)) names.insert(name_of(*step));
  }
  const std::vector<const Step*> there = steps_there(mutant, reach, names, cut_short);
  std::map<const Step*, CaseResult> results;
  for (const Step* step : there) {
    limit_time(least_limit + 10 * step->seconds);
    CaseResult result = validate::run_jobs({step->job}, {}).front();
    const Outcome outcome = result.verdict.outcome;
    finding.elements += result.verdict.elements_checked;
    ++finding.cases;
    case_done();
    const bool failed = outcome == Outcome::wrong || outcome == Outcome::hazard || outcome == Outcome::error;
    if (failed && step->production.verdict.outcome != outcome) {
      finding.caught = true;
      finding.check = check_of(result.verdict);
      finding.variant = result.variant;
      finding.problem = to_text(result.problem);
      finding.reason = result.verdict.reason;
      return finding;
    }
    if (failed) result.verdict.outcome = Outcome::skipped;  // production fails there too, which says nothing
    results.emplace(step, std::move(result));
  }
  std::vector<CaseResult> all;
  for (const Step& step : reach.steps) {
    const auto here = results.find(&step);
    all.push_back(here == results.end() ? step.production : here->second);
  }
  finding.caught = finding.cases > 0 && whole_fails(mutant, all, reach, finding);
  if (finding.caught) return finding;
  if (cut_short) finding.check = "cut short";
  if (there.empty() && names.empty() && !cut_short) {
    finding.check = reach.planning[mutant.site] ? "planning only" : "not reached";
  }
  return finding;
}

}  // namespace normquant::mutants
