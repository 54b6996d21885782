// The protocol of the gate: processes of two programs in turn, in stages, until every case is decided. It knows nothing
// of how a process is run.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bench/gate/paired.hpp"
#include "bench/gate/scatter_prior.hpp"
#include "reports/comparison.hpp"
#include "reports/records.hpp"

namespace normquant::gate {

enum class Side { baseline, candidate };

/// What one process found.
struct ProcessResult {
  std::string failure;                         ///< why there is nothing; empty when there is
  bool gpu_absent = false;                     ///< that is why
  std::map<std::string, double> microseconds;  ///< by case: its one statistic
  std::map<std::string, std::string> untimed;  ///< by case: "wrong: ...", "skipped: ...", "error: ..."
  std::optional<reports::Environment> machine;
};

/// Runs one process of a side on these cases (empty: on all of them).
using RunProcess = std::function<ProcessResult(Side side, const std::vector<std::string>& cases)>;

struct InterleavedRule {
  double min_effect = 0.03;  ///< smallest change to be caught; see limit_of
  double confidence = 0.95;  ///< that all intervals of all stages hold together
  int blocks = 2;            ///< A B B A in the first stage; every further one doubles the pairs
  int stages = 5;            ///< at most
  double seconds = 0;        ///< no block begins after so many; 0: no limit
  std::vector<reports::SpecialEffect> special = {};
  double floor = 0;  ///< no smaller effect is judged

  double effect_of(const std::string& name) const {
    return std::max(floor, reports::effect_for(name, min_effect, special));
  }
};

struct InterleavedResult {
  reports::GateResult gate;
  std::map<std::string, std::vector<double>> first_pairs;  ///< by case: the log-ratios of the first stage
  std::vector<ObservedScatter> observed;                   ///< of every case
  std::string failure;                                     ///< of a process: then nothing was decided
  bool wrong = false;                                      ///< the candidate's output was wrong in some case
  int processes = 0;                                       ///< that ran
  bool out_of_time = false;                                ///< rule.seconds ended it
  std::string baseline_commit, candidate_commit;
};

/// Stage 1 runs all cases, every further stage those that are not decided yet, with fresh processes. After each a case is judged
/// by all its pairs so far (classify_pairs):
/// - SAME, SLOWER and FASTER decide it.
/// - What is undecided in the end is INCONCLUSIVE, and its advice says what it would take.
/// Looking at the data several times costs nothing of the confidence: every interval of every stage holds with probability
/// 1 - (1 - confidence) / (cases * stages), so that all hold together with `confidence`, however they depend on each other.
/// The scatter of a case is pooled with that of cases of like length, of this run and of `history`
/// (scatter_prior.hpp). Processes that ran on different machines (machines_differ) are refused. `now` gives seconds;
/// without it there is no limit of time.
InterleavedResult run_interleaved(const RunProcess& run, const InterleavedRule& rule,
                                  const std::vector<ObservedScatter>& history,
                                  const std::function<double()>& now = nullptr);

}  // namespace normquant::gate
