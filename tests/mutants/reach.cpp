#include "tests/mutants/reach.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <ctime>
#include <fstream>

#include "exit_status.hpp"
#include "tests/mutants/active.hpp"
#include "tests/mutants/processes.hpp"
#include "validate/operations/prepared_problem.hpp"
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

nlohmann::json measured(const validate::Job& job) {
  std::memset(asked, 0, sizeof asked);
  const std::clock_t start = std::clock();
  const auto results = validate::run_jobs({job}, {});
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  std::vector<std::uint32_t> sites;
  for (std::uint32_t site = 0; site < most_mechanical; ++site) {
    if (asked[site] != 0) sites.push_back(site);
  }
  const validate::Verdict& verdict = results.front().verdict;
  return {
      {"seconds", seconds},
      {"sites", sites},
      {"outcome", static_cast<int>(verdict.outcome)},
      {"counts", {verdict.codes_checked, verdict.codes_ambiguous, verdict.codes_on_ties, verdict.elements_checked}}};
}

/// What measured() said of jobs[index].
Step step_of(const validate::Job& job, const nlohmann::json& said) {
  Step step{job, {job.device.name(), job.variants.front(), job.subject.problem, {}}, said.at("seconds"), {}};
  step.sites.resize(most_mechanical);
  for (const std::uint32_t site : said.at("sites")) step.sites[site] = true;
  validate::Verdict& verdict = step.production.verdict;
  verdict.outcome = static_cast<Outcome>(said.at("outcome").get<int>());
  const auto& counts = said.at("counts");
  verdict.codes_checked = counts[0];
  verdict.codes_ambiguous = counts[1];
  verdict.codes_on_ties = counts[2];
  verdict.elements_checked = counts[3];
  return step;
}

/// Whether the suite's results as a whole fail though no step does: a variant that production serves is served no more, or more
/// codes are ambiguous than a suite may have.
bool whole_fails(const std::vector<CaseResult>& with_mutant, const std::vector<Step>& steps, Finding& finding) {
  std::vector<CaseResult> production;
  for (const Step& step : steps) production.push_back(step.production);
  const auto before = validate::summarise(production), after = validate::summarise(with_mutant);
  for (const auto& was : before) {
    for (const auto& is : after) {
      if (was.variant != is.variant || was.op != is.op || was.passed == 0 || is.passed > 0) continue;
      finding.check = "never checked";
      finding.variant = is.variant;
      return true;
    }
  }
  if (validate::totals(after).loose_share() <= validate::most_ambiguous ||
      validate::totals(before).loose_share() > validate::most_ambiguous) {
    return false;
  }
  finding.check = "share of ambiguous codes";
  return true;
}

}  // namespace

std::vector<Step> steps_of(const validate::DeviceChoice& device, validate::SuiteSize suite, std::uint64_t seed,
                           int side_by_side) {
  const std::vector<validate::Job> jobs = single_jobs(device, suite, seed);
  // Whole processes for a hundredth of the jobs each: most take milliseconds.
  constexpr std::size_t together = 64;
  std::vector<Work> work;
  for (std::size_t first = 0; first < jobs.size(); first += together) {
    work.emplace_back([&jobs, first](const std::function<void()>& alive) {
      (void)activate(0);
      nlohmann::json all = nlohmann::json::array();
      for (std::size_t i = first; i < std::min(first + together, jobs.size()); ++i) {
        all.push_back(measured(jobs[i]));
        alive();
      }
      return all.dump();
    });
  }
  std::vector<Step> steps;
  constexpr double most_silent = 600;
  run_processes(work, side_by_side, most_silent, [&](std::size_t index, const Ended& ended) {
    if (ended.text.empty()) {
      throw std::runtime_error("without a mutant " + jobs[index * together].variants.front() +
                               " or one after it ended by signal " + std::to_string(ended.signal) + ": " +
                               to_text(jobs[index * together].subject.problem));
    }
    const auto all = nlohmann::json::parse(ended.text);
    for (std::size_t i = 0; i < all.size(); ++i) steps.push_back(step_of(jobs[index * together + i], all[i]));
  });
  std::sort(steps.begin(), steps.end(), [](const Step& a, const Step& b) { return a.seconds < b.seconds; });
  return steps;
}

Finding find_reached(const Mutant& mutant, const validate::DeviceChoice& device, std::string_view suite,
                     const std::vector<Step>& steps, double most_seconds, const std::function<void()>& case_done) {
  Finding finding;
  finding.mutant = mutant.name;
  finding.device = device.name();
  finding.suite = suite;
  if (!activate(mutant.identity)) {
    finding.check = "not activated: CUDA refused";
    return finding;
  }
  constexpr double least_limit = 1;
  double planned = 0;
  yield_memory();
  std::vector<CaseResult> results;
  for (const Step& step : steps) {
    if (!step.sites[mutant.site]) {
      results.push_back(step.production);
      continue;
    }
    planned += step.seconds;
    if (most_seconds > 0 && planned > most_seconds) {
      finding.check = "cut short";
      return finding;
    }
    limit_time(least_limit + 10 * step.seconds);
    CaseResult result = validate::run_jobs({step.job}, {}).front();
    const Outcome outcome = result.verdict.outcome;
    finding.elements += result.verdict.elements_checked;
    ++finding.cases;
    case_done();
    const bool failed = outcome == Outcome::wrong || outcome == Outcome::hazard || outcome == Outcome::error;
    if (failed && step.production.verdict.outcome != outcome) {
      finding.caught = true;
      finding.check = check_of(result.verdict);
      finding.variant = result.variant;
      finding.problem = to_text(result.problem);
      finding.reason = result.verdict.reason;
      return finding;
    }
    if (failed) result.verdict.outcome = Outcome::skipped;  // production fails there too, which says nothing
    results.push_back(std::move(result));
  }
  finding.caught = finding.cases > 0 && whole_fails(results, steps, finding);
  if (finding.cases == 0) finding.check = "not reached";
  return finding;
}

}  // namespace normquant::mutants
