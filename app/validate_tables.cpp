#include "app/validate_tables.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "output/escape.hpp"
#include "output/reasons.hpp"
#include "output/standard_streams.hpp"
#include "output/words.hpp"

namespace normquant::validate {
namespace {

const char* word_of(Outcome bad) {
  return bad == Outcome::wrong ? "WRONG" : bad == Outcome::hazard ? "HAZARD" : "ERROR";
}

void print_failure(const CaseResult& result) {
  const auto line = [](const std::string& text) { fmt::print("{}\n", output::printable(text)); };
  const Verdict& v = result.verdict;
  fmt::print("\n");
  line(fmt::format("{} {} on {}: {}", word_of(v.outcome), result.variant, result.device, v.reason));
  line(fmt::format("  problem:   {}", to_text(result.problem)));
  for (std::size_t i = 1; i < v.findings.size(); ++i) line("  " + v.findings[i]);
  for (const Mismatch& m : v.mismatches) {
    line(fmt::format("  {}[{},{}]: expected {}, got {}", m.tensor, m.row, m.column, m.expected, m.actual));
  }
  if (v.elements_wrong > 0) {
    fmt::print("  {} wrong of {}\n", output::counted(v.elements_wrong, "element", "elements"), v.elements_checked);
  }
  line(fmt::format("  reproduce: {}", reproducing_command(result)));
}

/// A name of the table's first column; one that is wider stands on a line of its own.
std::string first_cell(const std::string& name, std::size_t width) {
  if (name.size() <= width) return fmt::format("  {:<{}}", name, width);
  return fmt::format("  {}\n  {:<{}}", name, "", width);
}

/// reports/validation_results.cpp reads it back.
void print_table(const std::vector<VariantSummary>& variants) {
  constexpr int other_columns = 55;
  const auto width = static_cast<std::size_t>(std::clamp(output::terminal_columns() - other_columns, 25, 40));
  const VariantSummary* before = nullptr;
  for (const VariantSummary& s : variants) {
    if (before == nullptr || before->device != s.device || before->op != s.op) {
      fmt::print("{}{} {}\n  {:<{}} {:>6} {:>6} {:>7} {:>6} {:>11} {:>10}\n", before == nullptr ? "" : "\n", s.device,
                 name_of(s.op), "variant", width, "passed", "wrong", "skipped", "errors", "worst/bound", "ambiguous");
    }
    before = &s;
    const double share = s.codes == 0 ? 0 : 100.0 * static_cast<double>(s.ambiguous) / static_cast<double>(s.codes);
    fmt::print("{} {:>6} {:>6} {:>7} {:>6} {:>11} {:>9.4f}%\n", first_cell(output::printable(s.variant), width),
               s.passed, s.failed, s.skipped, s.errors, output::short_figure(s.worst_error_over_bound), share);
  }
}

/// Why cases were skipped; what the device lacks is said by variant below.
void print_skipped(const std::vector<CaseResult>& results) {
  output::Reasons reasons;
  for (const CaseResult& result : results) {
    const Verdict& v = result.verdict;
    if (v.outcome == Outcome::skipped && !v.for_other_devices) reasons.add(v.reason, result.variant);
  }
  constexpr std::size_t most_reasons = 8;
  const std::string text = reasons.text(most_reasons);
  if (!text.empty()) fmt::print("skipped (--json FILE lists each):\n{}", text);
}

}  // namespace

void print_results(const std::vector<CaseResult>& results, const std::vector<VariantSummary>& variants,
                   const Totals& all, const LeftUndone& undone, double seconds) {
  constexpr int most_shown = 10;
  int shown = 0;
  for (const CaseResult& result : results) {
    const bool bad = result.verdict.outcome != Outcome::pass && result.verdict.outcome != Outcome::skipped;
    if (bad && ++shown <= most_shown) print_failure(result);
  }
  if (shown > most_shown) fmt::print("\n... and {} more; --json FILE lists all.\n", shown - most_shown);
  fmt::print("\n");
  print_table(variants);
  fmt::print(
      "\n{} elements checked, {:.1f} s;\n{:.4f}% of the codes with two admissible values ({:.4f}% but for exact "
      "ties)\n",
      all.elements, seconds, 100 * all.ambiguous_share(), 100 * all.loose_share());
  if (all.row_invariant > 0) {
    fmt::print("row invariance: promised by {}, looked at in {}: {} with the bits of the same row in other problems\n",
               output::counted(all.row_invariant, "variant", "variants"), all.proved,
               output::counted(all.rows_compared, "row", "rows"));
  }
  print_skipped(results);
  for (const VariantSummary& s : variants) {
    if (s.device_lacks.empty()) continue;
    fmt::print("not for this device: {} on {}, it {}\n", output::printable(s.variant), s.device,
               output::printable(s.device_lacks));
  }
  for (const std::string& name : undone.never_checked) {
    fmt::print("NEVER CHECKED: every case was skipped for {}\n", output::printable(name));
  }
  for (const std::string& name : undone.never_proved) {
    fmt::print("NEVER PROVED: {} promises to keep a row's bits, and no row was compared\n", output::printable(name));
  }
  if (undone.not_run > 0) {
    fmt::print("NOT RUN: {}, {}\n", output::counted(undone.not_run, "case", "cases"), undone.why_not_run);
  }
  if (all.watched) {
    fmt::print("every access of the kernels was watched: {}\n",
               output::counted(all.hazards, "case with hazards, which counts as wrong",
                               "cases with hazards, which count as wrong"));
  }
  fmt::print("{} passed, {} wrong, {}, {} skipped\n", all.passed, all.failed,
             output::counted(all.errors, "error", "errors"), all.skipped);
}

void print_slowest(std::vector<CaseResult> results, std::size_t most) {
  std::stable_sort(results.begin(), results.end(),
                   [](const CaseResult& a, const CaseResult& b) { return a.seconds > b.seconds; });
  results.resize(std::min(most, results.size()));
  fmt::print("\nslowest:\n");
  for (const CaseResult& result : results) {
    fmt::print("{:>9.3f} s  {} {}\n             {}\n", result.seconds, result.device, output::printable(result.variant),
               to_text(result.problem));
  }
}

}  // namespace normquant::validate
