// What a validation amounts to: counts by variant, and the verdict over all.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "validate/run.hpp"

namespace normquant::validate {

/// How many codes say something of their own. The variants of an operation, and the features of a suite at one shape, quantise the
/// same values over and over: codes of the same shape and seed count once, however often they were checked.
class DistinctCodes {
 public:
  void add(const Problem& problem, std::int64_t codes);
  void add(const DistinctCodes& other);
  std::int64_t count() const;

 private:
  using Key = std::tuple<std::int64_t, std::int64_t, std::uint64_t>;  ///< rows, columns, seed
  std::map<Key, std::int64_t> codes_;                                 ///< of the result with the fewest
};

/// Whether the bounds are too loose to be trusted: `loose` of `codes` codes have two admissible values without a tie, which is
/// more than most_ambiguous, and so much more that chance does not explain it, were the `distinct` codes among them drawn one by
/// one: by Chernoff's bound sound bounds come to that once in 10^9 runs. Few codes make no share: one of two says nothing.
bool too_many_ambiguous(std::int64_t codes, std::int64_t loose, std::int64_t distinct);

/// All results of one variant on one device.
struct VariantSummary {
  std::string device;
  Operation op;
  std::string variant;
  std::int64_t passed = 0, failed = 0, skipped = 0, errors = 0;
  std::int64_t hazards = 0;    ///< of those that failed
  bool watched = false;        ///< hazards were looked for
  bool row_invariant = false;  ///< it promises that a row keeps its bits, and served a case
  std::int64_t rows_compared = 0;
  std::string device_lacks = {};  ///< why the device skips every problem; empty when it does not
  std::int64_t elements = 0;
  std::int64_t codes = 0, ambiguous = 0;  ///< over the cases with random values
  std::int64_t on_ties = 0;               ///< of the ambiguous ones, see Verdict
  DistinctCodes distinct = {};            ///< of the same cases
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
  DistinctCodes distinct;
  std::int64_t row_invariant = 0,  ///< variants that served a case and promise to keep a row's bits,
      proved = 0;                  ///< and those of which rows were compared
  std::int64_t rows_compared = 0;
  double ambiguous_share() const {
    return codes == 0 ? 0.0 : static_cast<double>(ambiguous) / static_cast<double>(codes);
  }
  /// Of those that a tighter bound would decide.
  double loose_share() const {
    return codes == 0 ? 0.0 : static_cast<double>(ambiguous - on_ties) / static_cast<double>(codes);
  }
  bool too_loose() const { return too_many_ambiguous(codes, ambiguous - on_ties, distinct.count()); }
};
Totals totals(const std::vector<VariantSummary>& variants);

/// Variants that were skipped everywhere although the device has what they need, as "NAME on DEVICE": a full suite owes
/// each of them a check.
std::vector<std::string> never_checked(const std::vector<VariantSummary>& variants);

/// Variants that promise to keep a row's bits, and passed, and of which no row was compared, as never_checked names them: a full
/// suite owes each of them a proof.
std::vector<std::string> never_proved(const std::vector<VariantSummary>& variants);

/// The exit status: wrong results before infrastructure, nothing checked is a usage error. `never_checked` names
/// variants that were wanted but skipped everywhere.
int exit_status_of(const Totals& totals, const std::vector<std::string>& never_checked);

}  // namespace normquant::validate
