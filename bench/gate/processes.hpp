// Processes of `normquant bench`, as the gate runs them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "bench/cases.hpp"
#include "bench/gate/interleaved.hpp"

namespace normquant::gate {

/// How the processes of both sides are run.
struct ProcessSettings {
  std::string programs[2];  ///< by Side: paths of normquant
  std::string device = "cuda";
  std::string variant = "auto";
  std::vector<bench::Case> cases;  ///< of the sweep, in order
  std::string folder;              ///< for sweep files, record files and what the programs print
  double seconds = 120;            ///< a process that runs longer is killed, and has failed
  bool lean = true;                ///< both programs know `bench --lean`; else `--quick`
};

/// Runs processes one at a time and reads what they recorded. A case's one statistic is its steady median. Cases are
/// named as the gate's comparisons are: "norm_quant_forward 16x4096 bfloat16 rms auto".
class Processes {
 public:
  explicit Processes(ProcessSettings settings);
  ProcessResult run(Side side, const std::vector<std::string>& names);
  /// One process on all cases that checks their outputs, which lean ones do not.
  ProcessResult check(Side side);
  /// Slows the candidate down on purpose, by case (bench --extra-work); the baseline then gets a share of 0, which makes
  /// its samples equally long. Empty: neither.
  void slow_candidate(std::map<std::string, double> shares) { shares_ = std::move(shares); }

 private:
  std::vector<std::string> arguments(Side side, const std::vector<const bench::Case*>& cases, bool lean) const;
  ProcessResult run(Side side, const std::vector<std::string>& names, bool lean);

  ProcessSettings settings_;
  std::map<std::string, double> shares_;
};

/// The case with that variant as comparisons name it.
std::string comparison_name(const bench::Case& timed, const std::string& variant);

/// The cases as the text of a sweep file.
std::string sweep_text(const std::vector<const bench::Case*>& cases);

/// Whether the program's `bench` has --lean; false also when it does not run.
bool knows_lean(const std::string& program, const std::string& folder);

}  // namespace normquant::gate
