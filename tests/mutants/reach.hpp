// Which cases come to the places of mechanical mutants: measured once, without a mutant, so that a mutant is run where it can show.
#pragma once

#include <vector>

#include "tests/mutants/finding.hpp"

namespace normquant::mutants {

/// One case on one variant, and what it did without a mutant.
struct Step {
  validate::Job job;
  validate::CaseResult production;  ///< its verdict's counts; no mismatches
  double seconds = 0;               ///< of the processor
  std::vector<bool> sites = {};     ///< those that it came to, by number
  unsigned round = 0;               ///< in the order of the suite
  bool measured = true;             ///< false: it would take too long, and is taken to pass and to come nowhere
};

/// A suite on a device, for all operations.
struct Reach {
  validate::DeviceChoice device;
  validate::SuiteSize suite;
  std::uint64_t seed = 1;
  std::vector<Step> steps;     ///< see measure_reach; those that are not measured last
  std::vector<bool> planning;  ///< sites to which drawing the suite itself comes
  double most_seconds = 0;     ///< of the processor, that a mutant may take with its steps; 0: all that come there
};

/// How a suite is measured.
struct ReachOptions {
  int side_by_side = 1;
  double longest_case = 0;  ///< seconds; steps of which more are estimated are not measured; 0: all are
  std::string
      kept;  ///< a file that keeps what was measured, line by line, and that an earlier run may have left; or none
};

/// Runs each step of the suite without a mutant, in processes of their own. The steps come in an order in which few show much:
/// of those of a variant that come to the very same places first one, then another, then two, four and so on; cheap ones first.
Reach measure_reach(const validate::DeviceChoice& device, validate::SuiteSize suite, std::uint64_t seed,
                    const ReachOptions& options);

/// Activates a mechanical mutant and runs the steps that come to its place until one fails that did not fail without it, then
/// asks whether the suite as a whole does. A finding without a case: no step comes there. In a process of its own. The check
/// says "cut short" where there are more steps than its seconds allow. `passed` is null, or a suite that the mutant passed: the
/// steps that it shares are not run again.
Finding find_reached(const Mutant& mutant, const Reach& reach, const Reach* passed,
                     const std::function<void()>& case_done);

}  // namespace normquant::mutants
