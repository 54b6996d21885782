// What a validation amounts to: counts by variant, and the verdict over all.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "validate/run.hpp"

namespace normquant::validate {

/// All results of one variant on one device.
struct VariantSummary {
  std::string device;
  Operation op;
  std::string variant;
  std::int64_t passed = 0, failed = 0, skipped = 0, errors = 0;
  std::int64_t hazards = 0;       ///< of those that failed
  bool watched = false;           ///< hazards were looked for
  std::string device_lacks = {};  ///< why the device skips every problem; empty when it does not
  std::int64_t elements = 0;
  std::int64_t codes = 0, ambiguous = 0;  ///< over the cases with random values
  std::int64_t on_ties = 0;               ///< of the ambiguous ones, see Verdict
  double worst_error_over_bound = 0;
};

/// In the order of the first result of each.
std::vector<VariantSummary> summarise(const std::vector<CaseResult>& results);

/// Share of codes with two admissible values that random input may have, those on exact ties apart, where values of 16 bits
/// lie every few hundred; more means that a bound is too loose to trust.
inline constexpr double most_ambiguous = 1e-3;

/// Counts over all variants.
struct Totals {
  std::int64_t passed = 0, failed = 0, skipped = 0, errors = 0, elements = 0, codes = 0, ambiguous = 0;
  std::int64_t hazards = 0;  ///< of those that failed
  bool watched = false;      ///< hazards were looked for, in some
  std::int64_t on_ties = 0;  ///< of the ambiguous ones
  double ambiguous_share() const {
    return codes == 0 ? 0.0 : static_cast<double>(ambiguous) / static_cast<double>(codes);
  }
  /// Of those that a tighter bound would decide.
  double loose_share() const {
    return codes == 0 ? 0.0 : static_cast<double>(ambiguous - on_ties) / static_cast<double>(codes);
  }
};
Totals totals(const std::vector<VariantSummary>& variants);

/// Variants that were skipped everywhere although the device has what they need, as "NAME on DEVICE": a full suite owes
/// each of them a check.
std::vector<std::string> never_checked(const std::vector<VariantSummary>& variants);

/// The exit status: wrong results before infrastructure, nothing checked is a usage error. `never_checked` names
/// variants that were wanted but skipped everywhere.
int exit_status_of(const Totals& totals, const std::vector<std::string>& never_checked);

}  // namespace normquant::validate
