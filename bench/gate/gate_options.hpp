// What the command line of `normquant gate` says.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "output/output_file.hpp"
#include "reports/comparison.hpp"

namespace normquant::gate {

struct GateOptions {
  // Two record files.
  std::string baseline, candidate;  ///< files; the baseline also a folder of them
  bool adopt = false;
  // Two programs.
  std::string against;            ///< program or commit
  std::string candidate_program;  ///< empty: this program
  std::string device = "cuda", sweep = "gate", variant = "auto";
  std::optional<int> blocks;
  bool time_all = false;  ///< also what has the same code
  int stages = 5;
  double process_seconds = 120;
  // The commit that made a case slower.
  std::vector<std::string> bisect;  ///< a good commit and a bad one
  std::string bisect_case;          ///< --case, as the gate names it
  // This gate itself.
  bool qualify = false;
  bool resume = false;
  int same_runs = 60, slowed_runs = 30;
  std::vector<double> slowdowns = {0.02, 0.03, 0.05, 0.10};  ///< of the cases of a slowed run, in turn; ascending
  double seconds = 0;
  std::string qualification;  ///< file; empty: that of this GPU and driver in state_folder()
  // All.
  double min_effect = 0.03;
  std::string effects_file;                     ///< --min-effects
  std::vector<reports::SpecialEffect> special;  ///< what is in it
  std::string junit, markdown;
  bool annotate = false;
  output::Existing existing = output::Existing::refuse;
};

}  // namespace normquant::gate
