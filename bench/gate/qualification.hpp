// What the gate found out about itself on a machine: how often it raises a false alarm, and what it
// misses. Stored by GPU and driver, and shown with every later verdict.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bench/gate/interleaved.hpp"

namespace normquant::gate {

/// The way in which stages are judged: a rate that was measured with another says little of this one. 1: every stage by itself,
/// and a change when two in a row said so. 2: run_interleaved as it is.
inline constexpr int gate_protocol = 2;

/// Runs with both programs the same.
struct FalseAlarms {
  int runs = 0;
  int alarms = 0;        ///< runs with a case that was called SLOWER or FASTER
  int cases = 0;         ///< over all runs
  int inconclusive = 0;  ///< cases of those
};

/// Cases of a candidate that did so much more work on purpose.
struct Detection {
  double slowdown = 0;   ///< share of the launches that was done twice
  int trials = 0;        ///< cases
  int caught = 0;        ///< called SLOWER
  double ratio_sum = 0;  ///< of the measured ratios; over `trials` it is their mean
};

struct Qualification {
  reports::Environment machine;  ///< gpu, driver, ecc, power limit, commit, time
  InterleavedRule rule;
  std::string sweep, variant;
  FalseAlarms false_alarms;
  std::vector<Detection> detections;                 ///< by slowdown, ascending
  std::map<std::string, std::vector<double>> pairs;  ///< by case: log-ratios of all A/A pairs of first stages
  std::map<std::string, double> microseconds;        ///< by case: of a launch; empty in files of protocol 1
  int protocol = gate_protocol;                      ///< whose rates these are
  int processes = 0;
  double seconds = 0;

  /// By case, from `pairs`; without a time where `microseconds` has none.
  std::map<std::string, ObservedScatter> scatter() const;
  /// The machine's floor: no smaller change is judged here. It is twice what 95% of the estimates
  /// of runs against itself stay below, as a change of the ratio. An estimate is the mean log-ratio
  /// of a case's pairs in one stage. Nothing with fewer than 20 estimates.
  std::optional<double> floor() const;
};

/// One JSON document; the inverse gives nothing and a sentence in `why` when it is not one.
std::string qualification_json(const Qualification& qualification);
std::optional<Qualification> parse_qualification(const std::string& text, std::string& why);

/// Some sentences: rates with their 95% intervals, the scatter, the floor.
std::string qualification_text(const Qualification& qualification);
/// The same as one sentence, for verdicts.
std::string qualification_line(const Qualification& qualification);

/// `nvidia_h100_80gb_hbm3_580.159.04`: how files are named after a GPU and its driver.
std::string machine_name(const reports::Environment& machine);

/// Where a machine's qualification for a sweep, named or a file, is kept: `nvidia_h100_80gb_hbm3_580.159.04.json` for the sweep
/// `gate`, `nvidia_h100_80gb_hbm3_580.159.04.standing.json` for another.
std::string qualification_path(const reports::Environment& machine, const std::string& sweep);

/// The file of earlier scatter beside a qualification's (scatter_prior.hpp).
std::string scatter_path(const reports::Environment& machine);

/// Where qualifications are kept unless a file is named: $XDG_STATE_HOME/normquant, or ~/.local/state/normquant.
std::string state_folder();

}  // namespace normquant::gate
