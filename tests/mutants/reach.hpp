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
  std::vector<bool> sites;          ///< those that it came to, by number
};

/// The steps of a suite on the device, for all operations, each run in a process of its own; cheap ones first.
std::vector<Step> steps_of(const validate::DeviceChoice& device, validate::SuiteSize suite, std::uint64_t seed,
                           int side_by_side);

/// Activates a mechanical mutant and runs the steps that come to its place until one fails that did not fail without it, then
/// asks whether the suite as a whole does. A finding without a case: no step comes there. In a process of its own. Steps that
/// would take more than `most_seconds` of the processor in all are not begun; 0: all are. The check then says "cut short".
Finding find_reached(const Mutant& mutant, const validate::DeviceChoice& device, std::string_view suite,
                     const std::vector<Step>& steps, double most_seconds, const std::function<void()>& case_done);

}  // namespace normquant::mutants
