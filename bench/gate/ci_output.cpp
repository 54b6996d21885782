#include "bench/gate/ci_output.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "output/escape.hpp"
#include "reports/table.hpp"

namespace normquant::gate {
namespace {

using output::escaped_for_xml;
using reports::Change;
using reports::Comparison;

/// Data of a workflow command: '%' and line ends are what ends or changes it.
std::string escaped_for_command(const std::string& text) {
  std::string escaped;
  for (char c : output::valid_utf8(text)) {
    switch (c) {
      case '%': escaped += "%25"; break;
      case '\r': escaped += "%0D"; break;
      case '\n': escaped += "%0A"; break;
      default: escaped += c;
    }
  }
  return escaped;
}

/// `1.0512 times as long, interval 1.0431 to 1.0594 (12.1 to 12.7 us)`
std::string change_text(const Comparison& c) {
  if (c.unchanged) return "same machine code, not timed";
  const std::string interval = c.interval ? fmt::format("interval {:.4f} to {:.4f}", c.interval->low, c.interval->high)
                                          : "too little for an interval";
  return fmt::format("{:.4f} times as long, {} ({:.4g} to {:.4g} us)", c.ratio, interval, c.baseline_us,
                     c.candidate_us);
}

std::string junit_case(const std::string& name, const std::string& inside) {
  return fmt::format("  <testcase classname=\"normquant.gate\" name=\"{}\">{}</testcase>\n", escaped_for_xml(name),
                     inside);
}

std::string junit_inside(const Comparison& c) {
  const std::string text = escaped_for_xml(change_text(c));
  if (c.change == Change::slower) return fmt::format("<failure message=\"SLOWER: {}\"/>", text);
  if (c.change == Change::inconclusive) return fmt::format("<error message=\"INCONCLUSIVE: {}\"/>", text);
  return fmt::format("<system-out>{}: {}</system-out>", reports::name_of(c.change), text);
}

std::string heading(const reports::GateResult& result) {
  if (!result.refusal.empty()) return "not compared";
  if (const auto slower = reports::count(result, Change::slower); slower > 0) return fmt::format("{} SLOWER", slower);
  const auto open = reports::count(result, Change::inconclusive) + result.missing.size();
  if (open > 0) return fmt::format("{} inconclusive or missing", open);
  return "nothing slower";
}

std::string markdown_table(const std::vector<const Comparison*>& rows) {
  reports::Table table;
  table.columns = {{"verdict"}, {"ratio", true}, {"interval"}, {"baseline us", true}, {"candidate us", true}, {"case"}};
  for (const Comparison* c : rows) {
    if (c->unchanged) {
      table.rows.push_back({"SAME", "-", "same machine code", "-", "-", c->name});
      continue;
    }
    table.rows.push_back({std::string(reports::name_of(c->change)), fmt::format("{:.4f}", c->ratio),
                          c->interval ? fmt::format("{:.4f} to {:.4f}", c->interval->low, c->interval->high) : "-",
                          fmt::format("{:.2f}", c->baseline_us), fmt::format("{:.2f}", c->candidate_us), c->name});
  }
  return reports::to_markdown(table);
}

}  // namespace

std::string junit_xml(const GateReport& report) {
  const reports::GateResult& result = report.result;
  std::string cases;
  for (const Comparison& c : result.comparisons) cases += junit_case(c.name, junit_inside(c));
  for (const std::string& name : result.missing) {
    cases += junit_case(name, "<error message=\"missing in the candidate\"/>");
  }
  std::size_t errors = reports::count(result, Change::inconclusive) + result.missing.size();
  std::size_t tests = result.comparisons.size() + result.missing.size();
  if (!result.refusal.empty()) {
    cases += junit_case("comparison", fmt::format("<error message=\"refused: {}\"/>", escaped_for_xml(result.refusal)));
    ++errors;
    ++tests;
  }
  std::string notes;
  for (const std::string& note : report.notes) notes += escaped_for_xml(note) + "\n";
  return fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<testsuite name=\"normquant gate\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"0\">\n{}"
      "  <system-out>{}</system-out>\n</testsuite>\n",
      tests, reports::count(result, Change::slower), errors, cases, notes);
}

std::string markdown_summary(const GateReport& report) {
  const reports::GateResult& result = report.result;
  std::string text = fmt::format("### normquant gate: {}\n\n", heading(result));
  if (!result.refusal.empty()) return text + "Refused: " + reports::escaped_for_markdown(result.refusal) + "\n";
  std::vector<const Comparison*> changed, same;
  for (const Comparison& c : result.comparisons) (c.change == Change::same ? same : changed).push_back(&c);
  if (!changed.empty()) text += markdown_table(changed) + "\n";
  for (const std::string& name : result.missing) {
    text += fmt::format("- missing in the candidate: {}\n", reports::escaped_for_markdown(name));
  }
  if (!same.empty()) {
    text += fmt::format("\n<details><summary>{} SAME</summary>\n\n{}\n</details>\n", same.size(), markdown_table(same));
  }
  text += fmt::format("\nSmallest change to be caught: {:.1f}%; all intervals together at {:.0f}%.\n",
                      report.rule.min_effect * 100, report.rule.confidence * 100);
  for (const std::string& note : report.notes) text += "\n" + reports::escaped_for_markdown(note) + "\n";
  return text;
}

std::string annotations(const GateReport& report) {
  constexpr int most = 10;
  std::string text;
  int errors = 0, warnings = 0;
  const auto add = [&text](const char* kind, int& shown, const std::string& title, const std::string& message) {
    if (++shown > most) return;
    text += fmt::format("::{} title={}::{}\n", kind, title, escaped_for_command(message));
  };
  if (!report.result.refusal.empty()) add("error", errors, "normquant gate refused", report.result.refusal);
  for (const Comparison& c : report.result.comparisons) {
    const std::string message = c.name + ": " + change_text(c);
    if (c.change == Change::slower) add("error", errors, "SLOWER", message);
    if (c.change == Change::inconclusive) add("warning", warnings, "INCONCLUSIVE", message);
  }
  for (const std::string& name : report.result.missing) add("warning", warnings, "missing in the candidate", name);
  return text;
}

}  // namespace normquant::gate
