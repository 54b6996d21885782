// A sweep in a child process that is watched: a case that takes too long, or takes the program down with it, becomes an
// error, and a new child goes on with the next one.
#pragma once

#include <string>
#include <vector>

#include "bench/bench_options.hpp"
#include "bench/plan.hpp"
#include "output/interrupt.hpp"

namespace normquant::bench {

/// Beside the record file FILE, FILE.running holds the index of the case that is being timed; gone when none is. Does
/// nothing for an empty path, or beside a stream.
class CaseInFlight {
 public:
  explicit CaseInFlight(const std::string& record_file);
  ~CaseInFlight();
  CaseInFlight(const CaseInFlight&) = delete;
  CaseInFlight& operator=(const CaseInFlight&) = delete;
  void begin(const PlannedCase& planned) const;

 private:
  std::string path_;
  output::OnInterrupt removal_;
};

/// Runs `normquant bench` with these options in children, with --resume from the second on, until the plan is done. A
/// child of which a case runs longer than options.case_timeout seconds is killed; it, and one that a signal ended, leave
/// an error record of the case that was under way. Returns the exit status of the whole. Throws a Refusal when children
/// cannot be started, or end without having begun a case.
int run_watched(const BenchOptions& options, const std::vector<PlannedCase>& plan);

}  // namespace normquant::bench
