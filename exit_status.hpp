// Exit statuses of normquant, the one place that lists them (docs/exit_statuses.md repeats this table for readers).
#pragma once

namespace normquant {

enum ExitStatus : int {
  exit_pass = 0,
  exit_wrong_results = 1,   ///< a variant's or a given file's output was wrong, or the checks are not to be trusted
  exit_usage = 2,           ///< bad arguments, unreadable or malformed files, nothing matched
  exit_regression = 3,      ///< the gate found something slower
  exit_inconclusive = 4,    ///< the gate, or the check of given files, could not decide
  exit_infrastructure = 5,  ///< CUDA, memory, or writing a result failed
  exit_gpu_absent = 77      ///< a GPU was asked for (--device cuda, --require-gpu), and it is not there
};

}  // namespace normquant
