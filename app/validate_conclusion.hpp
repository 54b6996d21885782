// How a validation ends: its files, what is printed, its status. The same for a run and for the joined files of shards.
#pragma once

#include <string>
#include <vector>

#include "app/validate_plan.hpp"
#include "output/output_file.hpp"
#include "validate/result_files.hpp"

namespace normquant::validate {

/// The files of --json and --junit.
class ResultFiles {
 public:
  /// Makes sure that both can be written; an empty name is no file. Throws a Refusal.
  ResultFiles(const std::string& json, const std::string& junit, output::Existing existing, RunIdentity identity,
              RunPlan plan);
  void write(const std::vector<CaseResult>& results, const LeftUndone& undone);
  /// The file of --json, of a run that goes on, as far as it can be written. A pipe takes one document only.
  void keep(const std::vector<CaseResult>& results, const LeftUndone& undone);

 private:
  RunIdentity identity_;
  RunPlan plan_;
  output::OutputFile json_, junit_;
};

/// Writes and prints the results of all jobs, then throws a Refusal with the status and its reason when it is not exit_pass.
void conclude(const Plan& plan, const ValidateOptions& options, const std::vector<CaseResult>& results,
              LeftUndone undone, ResultFiles& files, double seconds);

}  // namespace normquant::validate
