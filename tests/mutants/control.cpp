#include "tests/mutants/control.hpp"

#include "tests/mutants/active.hpp"
#include "validate/operations/prepared_problem.hpp"

namespace normquant::mutants {
namespace {

constexpr std::int64_t most_elements = std::int64_t{1} << 25;

std::vector<validate::Job> all_jobs(const validate::DeviceChoice& device, validate::SuiteSize suite,
                                    std::uint64_t seed) {
  std::vector<validate::Job> jobs;
  for (const Operation op : all_operations) {
    std::vector<std::string> names;
    for (const validate::VariantEntry& variant : validate::catalogue(op, device.kind)) {
      names.emplace_back(variant.name);
    }
    for (const validate::Case& c : validate::suite_cases(op, suite, seed, {})) {
      const bool too_large = c.problem.rows * (c.problem.columns + c.problem.row_padding) > most_elements;
      std::vector<std::string> of_case = names;
      std::erase_if(of_case, [&](const std::string& name) { return !validate::is_for(c, name); });
      if (too_large || of_case.empty() || (c.gpu_only && device.kind == DeviceKind::host)) continue;
      jobs.push_back({device, c, of_case});
    }
  }
  return jobs;
}

}  // namespace

Control run_control(const validate::DeviceChoice& device, validate::SuiteSize suite, std::uint64_t first_seed,
                    std::int64_t seeds, std::int64_t elements, int threads,
                    const std::function<void(const Control& so_far)>& seed_done) {
  Control control;
  if (!activate(0)) {
    control.alarms.push_back({device.name(), "", {}, {}});
    control.alarms.back().verdict.reason = "CUDA refused to say that no mutant is active";
    return control;
  }
  while (control.seeds < seeds || control.elements < elements) {
    const auto seed = first_seed + static_cast<std::uint64_t>(control.seeds);
    for (const validate::CaseResult& result : validate::run_jobs(all_jobs(device, suite, seed), {threads, {}})) {
      const validate::Outcome outcome = result.verdict.outcome;
      if (outcome == validate::Outcome::pass) ++control.passed;
      if (outcome != validate::Outcome::pass && outcome != validate::Outcome::skipped) control.alarms.push_back(result);
      control.elements += result.verdict.elements_checked;
    }
    ++control.seeds;
    seed_done(control);
  }
  return control;
}

}  // namespace normquant::mutants
