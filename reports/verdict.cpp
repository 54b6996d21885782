#include "reports/verdict.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace normquant::reports {
namespace {

/// `1 case`, `2 cases`.
std::string counted(std::int64_t count, const char* noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string counted(std::size_t count, const char* noun) { return counted(static_cast<std::int64_t>(count), noun); }

struct ValidationTotals {
  std::int64_t passed = 0, wrong = 0, skipped = 0, errors = 0;
};

ValidationTotals totals_of(const ValidationResults& validation) {
  ValidationTotals totals;
  for (const ValidatedVariant& variant : validation.variants) {
    totals.passed += variant.passed;
    totals.wrong += variant.wrong;
    totals.skipped += variant.skipped;
    totals.errors += variant.errors;
  }
  return totals;
}

std::string validation_text(const ValidationResults& validation) {
  if (!validation.given()) return "No validation results were given.";
  const ValidationTotals totals = totals_of(validation);
  const std::string not_run = validation.not_run > 0 ? fmt::format(", {} NOT RUN", validation.not_run) : "";
  return fmt::format("Validation: {} passed, {} wrong, {}, {} skipped{}.", counted(totals.passed, "case"), totals.wrong,
                     counted(totals.errors, "error"), totals.skipped, not_run);
}

std::string timings_text(const Facts& facts) {
  const Outcomes& outcomes = facts.outcomes;
  if (outcomes.passed == 0) return fmt::format("Nothing was timed ({} skipped).", outcomes.skipped);
  return fmt::format("{} of {}, {} skipped.", counted(outcomes.passed, "timing"), counted(facts.cases.size(), "case"),
                     outcomes.skipped);
}

std::size_t number_of(const Changes& changes, Change change) {
  return static_cast<std::size_t>(
      std::count_if(changes.cases.begin(), changes.cases.end(),
                    [change](const ChangedCase& changed) { return changed.comparison.change == change; }));
}

std::string changes_text(const Changes& changes) {
  if (!changes.result.refusal.empty()) return "Not compared: " + changes.result.refusal + ".";
  std::string text =
      fmt::format("Against the baseline: {} slower, {} inconclusive, {} faster, {} same, {} missing.",
                  number_of(changes, Change::slower), number_of(changes, Change::inconclusive),
                  number_of(changes, Change::faster), number_of(changes, Change::same), changes.result.missing.size());
  const auto& worst = changes.cases;
  if (!worst.empty() && worst.front().comparison.change == Change::slower) {
    text +=
        fmt::format(" Most: {}, {:.2f} times as long.", worst.front().comparison.name, worst.front().comparison.ratio);
  }
  return text;
}

std::string outcome_of_changes(const Changes& changes) {
  if (!changes.result.refusal.empty()) return "refused";
  if (number_of(changes, Change::slower) > 0) return "slower";
  if (number_of(changes, Change::inconclusive) > 0 || !changes.result.missing.empty()) return "inconclusive";
  return "passed";
}

std::string outcome_of(const Facts& facts) {
  const ValidationTotals totals = totals_of(facts.validation);
  if (facts.outcomes.wrong > 0 || totals.wrong > 0) return "wrong";
  if (facts.outcomes.error > 0 || totals.errors > 0) return "error";
  if (facts.validation.not_run > 0) return "inconclusive";
  if (facts.changes) return outcome_of_changes(*facts.changes);
  return facts.outcomes.passed == 0 && totals.passed == 0 ? "empty" : "passed";
}

}  // namespace

Verdict verdict_of(const Facts& facts) {
  Verdict verdict;
  verdict.outcome = outcome_of(facts);
  if (facts.outcomes.wrong > 0) verdict.sentence += counted(facts.outcomes.wrong, "timing") + " WRONG. ";
  if (facts.outcomes.error > 0) verdict.sentence += counted(facts.outcomes.error, "timing") + " ended in an error. ";
  if (facts.changes) verdict.sentence += changes_text(*facts.changes) + " ";
  verdict.sentence += timings_text(facts) + " " + validation_text(facts.validation);
  return verdict;
}

std::string outcome_title(const Verdict& verdict, bool compared) {
  if (verdict.outcome == "passed") return compared ? "NOTHING SLOWER" : "PASSED";
  if (verdict.outcome == "wrong") return "WRONG RESULTS";
  if (verdict.outcome == "error") return "ERRORS";
  if (verdict.outcome == "slower") return "SLOWER";
  if (verdict.outcome == "inconclusive") return "INCONCLUSIVE";
  if (verdict.outcome == "refused") return "NOT COMPARABLE";
  return "NOTHING TIMED";
}

std::string verdict_line(const Facts& facts) {
  return outcome_title(facts.verdict, facts.changes.has_value()) + ": " + facts.verdict.sentence;
}

}  // namespace normquant::reports
