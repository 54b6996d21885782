// What `normquant validate` found, read back: the file of its `--json`, or the table that it prints.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "reports/skipped.hpp"

namespace normquant::reports {

/// All results of one variant on one device.
struct ValidatedVariant {
  std::string device, op, variant;
  std::int64_t passed = 0, wrong = 0, skipped = 0, errors = 0;  ///< cases
  double worst_error_over_bound = 0;                            ///< 1 is the bound
  std::optional<double> ambiguous_share;  ///< of the codes with random input; nothing when there were none
};

/// A case that was wrong or ended in an error.
struct FailedCase {
  std::string device, op, variant, problem, outcome, reason;
};

struct ValidationResults {
  std::vector<std::string> files;  ///< where they are from; empty when there are none
  std::vector<ValidatedVariant> variants;
  std::vector<SkippedCases> skipped;  ///< most cases first
  std::vector<FailedCase> failed;
  std::int64_t not_run = 0;   ///< cases that were wanted: an interruption or --fail-fast left them out
  bool details_known = true;  ///< false when a file was a printed table, which has neither reasons nor failed cases

  bool given() const { return !files.empty(); }
};

/// Whether the text begins as a file of `validate --json`, or holds the table that validate prints.
bool looks_like_validation(std::string_view content);

/// Appends the results in `content`. False, and in `why` a sentence that names `file`, when the text is neither.
bool parse_validation(std::string_view content, const std::string& file, ValidationResults& results, std::string& why);

}  // namespace normquant::reports
