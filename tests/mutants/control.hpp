// The control: the same build with no mutant active must pass everything.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "validate/run.hpp"

namespace normquant::mutants {

/// What the suites of many seeds amount to without a mutant.
struct Control {
  std::int64_t seeds = 0, passed = 0, elements = 0;
  std::vector<validate::CaseResult> alarms;  ///< cases that did not pass
};

/// Runs the suite of every operation with seeds first_seed, first_seed + 1, ... until `seeds` of them are done and `elements`
/// elements were checked. Cases of more than 2^25 elements are left out: most of theirs are repeated rows.
Control run_control(const validate::DeviceChoice& device, validate::SuiteSize suite, std::uint64_t first_seed,
                    std::int64_t seeds, std::int64_t elements, int threads,
                    const std::function<void(const Control& so_far)>& seed_done);

}  // namespace normquant::mutants
