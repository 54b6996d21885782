// Mutants by suites: each pair in a process of its own.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/mutants/reach.hpp"

namespace normquant::mutants {

struct Campaign {
  validate::DeviceChoice device;
  std::vector<validate::SuiteSize> suites;  ///< one after the other
  bool stop_when_caught = false;            ///< a later suite is run only for what the earlier ones missed
  std::uint64_t seed = 1;
  int side_by_side = 1;
  double most_silent = 0;      ///< seconds that a case may take; then the mutant counts as hanging
  bool measure_reach = false;  ///< run mechanical mutants where they are reached, which is measured first
  double most_seconds = 0;     ///< of the processor, for such a mutant in the last suite, a quarter before; 0: any
  double longest_case = 0;  ///< with measure_reach: cases of which more seconds are estimated are not run; 0: all are
  std::string reach_kept =
      {};  ///< where that is kept for the next run: a file for each suite, this before its name; or none
  std::vector<Finding> earlier = {};                    ///< of a run that was interrupted: not made again
  std::map<std::string, Hint, std::less<>> hints = {};  ///< by mutant
};

/// Whether the place of the mutant is compiled for devices of that kind and can show there.
bool runs_on(const Mutant& mutant, DeviceKind kind);

/// Runs the mutants, which all run on the device; `found` is called for every finding as it comes.
std::vector<Finding> run_campaign(const Campaign& campaign, std::vector<const Mutant*> mutants,
                                  const std::function<void(const Finding& finding)>& found);

}  // namespace normquant::mutants
