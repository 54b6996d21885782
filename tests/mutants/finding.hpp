// What the suites of `normquant validate` find while one mutant is active.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "tests/mutants/mutant.hpp"
#include "validate/run.hpp"

namespace normquant::mutants {

/// The first case of a suite that did not pass, or that all did.
struct Finding {
  std::string mutant, device, suite;
  bool caught = false;
  std::string check;  ///< which check: a tensor, "guard bands of codes", "same bits again", "crash", "hang", ...
  std::string variant, problem, reason;
  std::int64_t cases = 0, elements = 0;  ///< that were run until then
  double seconds = 0;
};

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Finding, mutant, device, suite, caught, check, variant, problem, reason, cases,
                                   elements, seconds)

/// The check that a verdict other than pass and skipped comes from.
std::string check_of(const validate::Verdict& verdict);

/// A problem and a variant that caught a mutant before, and in which suite: tried first, or alone.
struct Hint {
  std::string variant, problem, suite;
  bool alone = false;
};

/// The jobs of a suite in which the mutant must show: a job a case, with the variants that contain its place.
std::vector<validate::Job> jobs_of(const Mutant& mutant, const validate::DeviceChoice& device,
                                   validate::SuiteSize suite, std::uint64_t seed);

/// Activates the mutant and runs the suite until a case fails. As in validate, a suite that skips a variant everywhere, or in
/// which too many codes are ambiguous, fails too. `case_done` is called after each case. In a process of its own: the mutant
/// may crash it, and stays active. `hint` may be null. Its case comes first where the suite still has it; of a mechanical mutant,
/// or alone, also where it has not.
Finding find(const Mutant& mutant, const validate::DeviceChoice& device, validate::SuiteSize suite, std::uint64_t seed,
             const Hint* hint, const std::function<void()>& case_done);

std::string_view name_of(validate::SuiteSize suite);

}  // namespace normquant::mutants
