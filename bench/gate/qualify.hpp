// `normquant gate --qualify`: the gate measured by itself, with runs of which the right answer is known.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "bench/gate/interleaved.hpp"
#include "bench/gate/qualification.hpp"

namespace normquant::gate {

struct QualifyPlan {
  int same_runs = 60;    ///< A/A
  int slowed_runs = 30;  ///< every case slowed by one of `slowdowns` in turn
  std::vector<double> slowdowns = {0.02, 0.03, 0.05, 0.10};
  double seconds = 0;  ///< no run begins after so many; 0: no limit
};

/// What qualification needs from the world. Tests pass their own.
struct QualifyWorld {
  RunProcess run;  ///< both sides the same program
  /// From now on the candidate's cases do so much more work; empty: neither side does anything on purpose.
  std::function<void(std::map<std::string, double>)> slow_candidate;
  std::function<double()> now;                     ///< seconds
  std::function<void(const Qualification&)> keep;  ///< after every run, so that a kill loses one run at most
  std::function<void(int done, int total)> progress;
};

/// The program is first run against itself, to learn the scatter of pairs; these blocks do not
/// count as runs. Then come the runs, the slowed ones spread among those against itself.
/// With a qualification `before` of the same rule nothing is learnt, and its runs count as the
/// first of the plan.
/// `failure` is filled when a process failed or machines differed.
Qualification qualify(const QualifyWorld& world, const QualifyPlan& plan, const InterleavedRule& rule,
                      const std::optional<Qualification>& before, std::string& failure);

}  // namespace normquant::gate
