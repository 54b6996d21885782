// The results of a validation as JSON and as JUnit XML.
#pragma once

#include <string>
#include <vector>

#include "validate/earlier_results.hpp"
#include "validate/run.hpp"
#include "validate/run_plan.hpp"

namespace normquant::validate {

/// What a run left undone as a whole.
struct LeftUndone {
  std::string left_out;                    ///< a sentence when `--device all` found no GPU
  std::vector<std::string> never_checked;  ///< variants that a full suite owed a check and skipped everywhere
  std::vector<std::string> never_proved =
      {};                        ///< variants whose row invariance a full suite owed a proof, and none was made
  std::int64_t not_run = 0;      ///< cases that were wanted and not begun or not finished
  std::string why_not_run = {};  ///< a clause: "interrupted", "stopped at the first that was wrong"
};

/// What the document says it is.
inline constexpr std::string_view results_schema = "normquant.validate/1";

/// {"schema": "normquant.validate/1", "run": {...}, "summary": {...}, "variants": [...], "skipped": [...], "results": [...], "cases": [...]}:
/// for each device, operation and variant the counts, the worst error over its bound and the share of ambiguous codes; what
/// was skipped, by reason; every result that is not a pass in full; and for every case that was checked how many codes have
/// two admissible values, how near it came to its bounds and how long it took. With a plan also "plan", and the place of every case
/// in it. read_earlier_results reads it back, and merge_results.
std::string as_json(const std::vector<CaseResult>& results, const LeftUndone& undone = {}, const RunIdentity& run = {},
                    const RunPlan* plan = nullptr);

/// One test case for each device, operation, variant and problem, and one for each thing left undone. Skipped ones carry
/// their reason, checked ones their share of ambiguous codes.
std::string as_junit(const std::vector<CaseResult>& results, const LeftUndone& undone = {});

}  // namespace normquant::validate
