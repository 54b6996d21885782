// Runs a problem on every variant of every device of this machine.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "validate/operations/prepared_problem.hpp"
#include "validate/run.hpp"

namespace normquant::tests {

/// The host device, and the first GPU where there is one.
inline std::vector<validate::DeviceChoice> devices_here() {
  std::string why;
  std::vector<validate::DeviceChoice> devices = {{DeviceKind::host, 0}};
  if (cuda_device_count(why) > 0) devices.push_back({DeviceKind::cuda, 0});
  return devices;
}

/// Expects every variant to pass or to say why it does not serve the problem, and at least one to pass on each device.
inline void expect_all_variants_pass(const validate::Problem& problem, std::int64_t distinct_rows = 0) {
  for (const validate::DeviceChoice& device : devices_here()) {
    validate::Job job{device, {problem, distinct_rows, false}, {}};
    for (const auto& entry : validate::catalogue(problem.op, device.kind)) job.variants.emplace_back(entry.name);
    int passed = 0;
    for (const validate::CaseResult& result : validate::run_jobs({job}, {})) {
      passed += result.verdict.outcome == validate::Outcome::pass ? 1 : 0;
      const bool fine = result.verdict.outcome == validate::Outcome::pass ||
                        (result.verdict.outcome == validate::Outcome::skipped && !result.verdict.reason.empty());
      EXPECT_TRUE(fine) << result.variant << ": " << result.verdict.reason << "\n"
                        << validate::reproducing_command(result);
    }
    EXPECT_GT(passed, 0) << "no variant serves " << validate::to_text(problem) << " on " << device.name();
  }
}

}  // namespace normquant::tests
