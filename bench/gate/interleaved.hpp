// The protocol of the gate: processes of two programs in turn, in stages, until every case is decided. It knows nothing
// of how a process is run.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bench/gate/paired.hpp"
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
  double confidence = 0.95;  ///< that all intervals of a stage hold together
  int blocks = 2;            ///< A B B A in a stage
  int stages = 3;            ///< at most
};

struct InterleavedResult {
  reports::GateResult gate;
  std::map<std::string, std::vector<double>> first_pairs;  ///< by case: the log-ratios of the first stage
  std::string failure;                                     ///< of a process: then nothing was decided
  bool wrong = false;                                      ///< the candidate's output was wrong in some case
  int processes = 0;                                       ///< that ran
  std::string baseline_commit, candidate_commit;
};

/// Stage 1 runs all cases. Every further stage runs, with fresh processes, the cases that are not
/// decided yet, and judges them by its own pairs alone.
/// - SAME decides a case at once.
/// - SLOWER and FASTER decide it when two stages in a row say so.
/// - What is undecided after the last stage is INCONCLUSIVE.
/// Every interval of a stage holds with probability 1 - (1 - confidence) / cases of stage 1.
/// `known` is the scatter by case, from qualification. Processes that ran on different machines
/// (machines_differ) are refused.
InterleavedResult run_interleaved(const RunProcess& run, const InterleavedRule& rule,
                                  const std::map<std::string, PairScatter>& known);

}  // namespace normquant::gate
