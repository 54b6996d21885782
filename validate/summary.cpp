#include "validate/summary.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "exit_status.hpp"

namespace normquant::validate {

void DistinctCodes::add(const Problem& problem, std::int64_t codes) {
  if (codes == 0) return;
  const auto [place, added] = codes_.try_emplace(Key{problem.rows, problem.columns, problem.seed}, codes);
  if (!added) place->second = std::min(place->second, codes);
}

void DistinctCodes::add(const DistinctCodes& other) {
  for (const auto& [key, codes] : other.codes_) {
    const auto [place, added] = codes_.try_emplace(key, codes);
    if (!added) place->second = std::min(place->second, codes);
  }
}

std::int64_t DistinctCodes::count() const {
  std::int64_t all = 0;
  for (const auto& [key, codes] : codes_) all += codes;
  return all;
}

bool too_many_ambiguous(std::int64_t codes, std::int64_t loose, std::int64_t distinct) {
  if (codes == 0) return false;
  const double share = static_cast<double>(loose) / static_cast<double>(codes);
  if (share <= most_ambiguous) return false;
  // The probability of such a share of n codes, or a larger one, is at most exp(-n D), D the relative entropy of the two shares.
  constexpr double least_probability = 1e-9;
  const double others = share < 1 ? (1 - share) * std::log((1 - share) / (1 - most_ambiguous)) : 0.0;
  const double entropy = share * std::log(share / most_ambiguous) + others;
  return static_cast<double>(distinct) * entropy > -std::log(least_probability);
}

std::vector<VariantSummary> summarise(const std::vector<CaseResult>& results) {
  std::vector<VariantSummary> all;
  for (const CaseResult& result : results) {
    auto found = std::find_if(all.begin(), all.end(), [&](const VariantSummary& s) {
      return s.device == result.device && s.op == result.problem.op && s.variant == result.variant;
    });
    if (found == all.end()) {
      found = all.insert(all.end(), VariantSummary{result.device, result.problem.op, result.variant});
    }
    const Verdict& verdict = result.verdict;
    switch (verdict.outcome) {
      case Outcome::pass: ++found->passed; break;
      case Outcome::hazard: ++found->hazards; [[fallthrough]];
      case Outcome::wrong: ++found->failed; break;
      case Outcome::skipped: ++found->skipped; break;
      case Outcome::error: ++found->errors; break;
    }
    found->watched = found->watched || verdict.watched;
    const bool judged = verdict.outcome != Outcome::skipped && verdict.outcome != Outcome::error;
    found->row_invariant = found->row_invariant || (judged && verdict.row_invariant);
    found->rows_compared += verdict.rows_compared;
    if (verdict.for_other_devices) found->device_lacks = verdict.reason;
    found->elements += verdict.elements_checked;
    if (result.problem.values == Values::normal || result.problem.values == Values::outlier_columns) {
      found->codes += verdict.codes_checked;
      found->ambiguous += verdict.codes_ambiguous;
      found->on_ties += verdict.codes_on_ties;
      found->distinct.add(result.problem, verdict.codes_checked);
    }
    found->worst_error_over_bound = std::max(found->worst_error_over_bound, verdict.worst_error_over_bound);
  }
  return all;
}

Totals totals(const std::vector<VariantSummary>& variants) {
  Totals all;
  for (const VariantSummary& v : variants) {
    all.passed += v.passed;
    all.failed += v.failed;
    all.hazards += v.hazards;
    all.watched = all.watched || v.watched;
    all.skipped += v.skipped;
    all.errors += v.errors;
    all.elements += v.elements;
    all.codes += v.codes;
    all.ambiguous += v.ambiguous;
    all.on_ties += v.on_ties;
    all.distinct.add(v.distinct);
    all.row_invariant += v.row_invariant ? 1 : 0;
    all.proved += v.rows_compared > 0 ? 1 : 0;
    all.rows_compared += v.rows_compared;
  }
  return all;
}

std::vector<std::string> never_checked(const std::vector<VariantSummary>& variants) {
  std::vector<std::string> names;
  for (const VariantSummary& s : variants) {
    if (s.passed + s.failed + s.errors == 0 && s.device_lacks.empty()) {
      names.push_back(fmt::format("{} on {}", s.variant, s.device));
    }
  }
  return names;
}

std::vector<std::string> never_proved(const std::vector<VariantSummary>& variants) {
  std::vector<std::string> names;
  for (const VariantSummary& s : variants) {
    if (s.row_invariant && s.passed > 0 && s.rows_compared == 0) {
      names.push_back(fmt::format("{} on {}", s.variant, s.device));
    }
  }
  return names;
}

int exit_status_of(const Totals& totals, const std::vector<std::string>& never_checked) {
  if (totals.failed > 0 || totals.too_loose()) return exit_wrong_results;
  if (totals.errors > 0) return exit_infrastructure;
  if (totals.passed == 0) return exit_usage;
  return never_checked.empty() ? exit_pass : exit_wrong_results;
}

}  // namespace normquant::validate
