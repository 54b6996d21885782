#include "tests/mutants/finding.hpp"

#include <algorithm>
#include <chrono>
#include <regex>
#include <thread>

#include "exit_status.hpp"
#include "tests/mutants/active.hpp"
#include "validate/operations/prepared_problem.hpp"
#include "validate/summary.hpp"

namespace normquant::mutants {

using validate::CaseResult;
using validate::Outcome;

std::string_view name_of(validate::SuiteSize suite) {
  return suite == validate::SuiteSize::smoke      ? "smoke"
         : suite == validate::SuiteSize::standard ? "standard"
                                                  : "exhaustive";
}

std::string check_of(const validate::Verdict& verdict) {
  if (verdict.outcome == Outcome::error) return "error";
  if (verdict.outcome == Outcome::hazard) return "hazard";
  if (verdict.mismatches.empty()) return "same bits again";
  const validate::Mismatch& first = verdict.mismatches.front();
  if (first.expected.starts_with("no byte outside")) {
    return (first.actual.ends_with("input was changed") ? "input changed: " : "guard bands of ") + first.tensor;
  }
  return first.actual == "never written" ? first.tensor + " not written" : first.tensor;
}

std::vector<validate::Job> jobs_of(const Mutant& mutant, const validate::DeviceChoice& device,
                                   validate::SuiteSize suite, std::uint64_t seed) {
  std::vector<validate::Job> jobs;
  for (const Shows& shows : mutant.shows) {
    const auto op = operation_named(shows.operation);
    if (!op) continue;  // plant.py knows the names
    std::vector<std::string> names;
    const std::regex wanted{std::string(shows.variants)};
    for (const validate::VariantEntry& variant : validate::catalogue(*op, device.kind)) {
      if (std::regex_search(variant.name.begin(), variant.name.end(), wanted)) names.emplace_back(variant.name);
    }
    for (const validate::Case& c : validate::suite_cases(*op, suite, seed, {})) {
      std::vector<std::string> of_case = names;
      std::erase_if(of_case, [&](const std::string& name) { return !is_for(c, name); });
      if (!of_case.empty() && !(c.gpu_only && device.kind == DeviceKind::host)) jobs.push_back({device, c, of_case});
    }
  }
  return jobs;
}

namespace {

/// The results of one job. Memory that other processes hold now is waited for: that it was short says nothing of the mutant.
std::vector<CaseResult> results_of(const validate::Job& job) {
  constexpr int most_tries = 60;
  for (int i = 1;; ++i) {
    auto results = validate::run_jobs({job}, {});
    const bool short_of_memory = std::any_of(results.begin(), results.end(), [](const CaseResult& result) {
      return result.verdict.outcome == Outcome::error && result.verdict.reason.starts_with("out of memory");
    });
    if (!short_of_memory || i == most_tries) return results;
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
}

/// The case of a hint comes first: as the suite has it, or by itself where `anyway`.
void begin_with(const Hint& hint, const validate::DeviceChoice& device, bool anyway, std::vector<validate::Job>& jobs) {
  for (const validate::Job& job : jobs) {
    const bool has_variant = std::find(job.variants.begin(), job.variants.end(), hint.variant) != job.variants.end();
    if (!has_variant || to_text(job.subject.problem) != hint.problem) continue;
    validate::Job first = job;
    first.variants = {hint.variant};
    jobs.insert(jobs.begin(), std::move(first));
    return;
  }
  std::string why;
  const auto problem = anyway ? validate::parse_problem(hint.problem, why) : std::nullopt;
  if (problem) jobs.insert(jobs.begin(), {device, {*problem}, {hint.variant}});
}

/// Whether the results as a whole fail though each case passes; how goes to the finding.
bool fails_as_a_whole(const std::vector<CaseResult>& results, Finding& finding) {
  const auto variants = validate::summarise(results);
  const validate::Totals all = validate::totals(variants);
  std::vector<std::string> never;
  for (const auto& variant : variants) {
    if (variant.passed == 0) never.push_back(variant.variant);
  }
  if (validate::exit_status_of(all, never) == exit_pass) return false;
  finding.check = all.too_loose() ? "share of ambiguous codes" : "never checked";
  if (!never.empty()) finding.variant = never.front();
  return true;
}

}  // namespace

Finding find(const Mutant& mutant, const validate::DeviceChoice& device, validate::SuiteSize suite, std::uint64_t seed,
             const Hint* hint, const std::function<void()>& case_done) {
  Finding finding;
  finding.mutant = mutant.name;
  finding.device = device.name();
  finding.suite = name_of(suite);
  if (!activate(mutant.identity)) {
    finding.check = "not activated: CUDA refused";
    return finding;
  }
  std::vector<validate::Job> jobs;
  if (hint == nullptr || !hint->alone) jobs = jobs_of(mutant, device, suite, seed);
  if (hint != nullptr) begin_with(*hint, device, hint->alone || mutant.site != 0, jobs);
  std::vector<CaseResult> results;
  for (const validate::Job& job : jobs) {
    for (CaseResult& result : results_of(job)) {
      const Outcome outcome = result.verdict.outcome;
      finding.elements += result.verdict.elements_checked;
      const bool no_memory = result.verdict.reason.starts_with("out of memory");
      if (outcome == Outcome::wrong || outcome == Outcome::hazard || (outcome == Outcome::error && !no_memory)) {
        finding.caught = true;
        finding.check = check_of(result.verdict);
        finding.variant = result.variant;
        finding.problem = to_text(result.problem);
        finding.reason = result.verdict.reason;
        break;
      }
      results.push_back(std::move(result));
    }
    ++finding.cases;
    case_done();
    if (finding.caught) return finding;
  }
  finding.caught = (hint == nullptr || !hint->alone) && fails_as_a_whole(results, finding);
  return finding;
}

}  // namespace normquant::mutants
