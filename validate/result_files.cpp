#include "validate/result_files.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "output/escape.hpp"
#include "validate/summary.hpp"

namespace normquant::validate {
namespace {

using nlohmann::json;
using output::escaped_for_xml;

json result_as_json(const CaseResult& result) {
  const Verdict& v = result.verdict;
  json entry = {{"device", result.device},       {"op", name_of(result.problem.op)},
                {"variant", result.variant},     {"problem", to_text(result.problem)},
                {"outcome", name_of(v.outcome)}, {"reason", v.reason}};
  if (result.index >= 0) entry["index"] = result.index;
  if (v.outcome == Outcome::hazard) entry["findings"] = v.findings;
  if (v.for_other_devices) entry["for_other_devices"] = true;
  if (v.watched) entry["watched"] = true;
  if (!result.card.empty()) entry["card"] = result.card;
  if (v.outcome == Outcome::wrong || v.outcome == Outcome::hazard) {
    entry["reproduce"] = reproducing_command(result);
    entry["elements_wrong"] = v.elements_wrong;
    for (const Mismatch& m : v.mismatches) {
      entry["mismatches"].push_back(
          {{"tensor", m.tensor}, {"row", m.row}, {"column", m.column}, {"expected", m.expected}, {"actual", m.actual}});
    }
  }
  return entry;
}

json summary_as_json(const VariantSummary& s) {
  return {{"device", s.device},
          {"op", name_of(s.op)},
          {"variant", s.variant},
          {"passed", s.passed},
          {"failed", s.failed},
          {"skipped", s.skipped},
          {"errors", s.errors},
          {"elements_checked", s.elements},
          {"codes_checked", s.codes},
          {"codes_ambiguous", s.ambiguous},
          {"codes_on_ties", s.on_ties},
          {"worst_error_over_bound", s.worst_error_over_bound},
          {"row_invariant", s.row_invariant},
          {"rows_compared", s.rows_compared}};
}

json case_as_json(const CaseResult& result) {
  const Verdict& v = result.verdict;
  json entry = {{"device", result.device},
                {"variant", result.variant},
                {"problem", to_text(result.problem)},
                {"elements_checked", v.elements_checked},
                {"codes_checked", v.codes_checked},
                {"codes_ambiguous", v.codes_ambiguous},
                {"codes_on_ties", v.codes_on_ties},
                {"worst_error_over_bound", v.worst_error_over_bound},
                {"worst_tensor", v.worst_tensor},
                {"seconds", std::round(result.seconds * 1e6) / 1e6}};
  if (result.index >= 0) entry["index"] = result.index;
  if (v.row_invariant) entry["rows_compared"] = v.rows_compared;
  if (v.watched) entry["watched"] = true;
  if (!result.card.empty()) entry["card"] = result.card;
  return entry;
}

bool was_judged(const CaseResult& result) {
  return result.verdict.outcome != Outcome::skipped && result.verdict.outcome != Outcome::error;
}

/// Skipped cases by device, operation, variant and reason.
json skipped_as_json(const std::vector<CaseResult>& results) {
  std::map<std::array<std::string, 4>, std::int64_t> groups;
  for (const CaseResult& r : results) {
    if (r.verdict.outcome != Outcome::skipped) continue;
    ++groups[{r.device, std::string(name_of(r.problem.op)), r.variant, r.verdict.reason}];
  }
  json list = json::array();
  for (const auto& [key, cases] : groups) {
    list.push_back({{"device", key[0]}, {"op", key[1]}, {"variant", key[2]}, {"reason", key[3]}, {"cases", cases}});
  }
  return list;
}

/// How many of a case's codes have two admissible values, for who reads the file by eye.
std::string ambiguity_as_xml(const Verdict& v) {
  if (v.codes_checked == 0) return {};
  return fmt::format(
      "<properties><property name=\"codes\" value=\"{}\"/><property name=\"two_admissible\" "
      "value=\"{}\"/></properties>",
      v.codes_checked, v.codes_ambiguous);
}

std::string undone_as_xml(const LeftUndone& undone) {
  std::string xml;
  if (!undone.left_out.empty()) {
    xml += fmt::format("  <testcase classname=\"cuda\" name=\"every case\"><skipped message=\"{}\"/></testcase>\n",
                       escaped_for_xml(undone.left_out));
  }
  if (undone.not_run > 0) {
    xml +=
        fmt::format("  <testcase classname=\"the rest\" name=\"is run\"><error message=\"{} cases: {}\"/></testcase>\n",
                    undone.not_run, escaped_for_xml(undone.why_not_run));
  }
  for (const std::string& name : undone.never_checked) {
    xml += fmt::format(
        "  <testcase classname=\"{}\" name=\"is checked at all\"><failure message=\"every case was "
        "skipped\"/></testcase>\n",
        escaped_for_xml(name));
  }
  for (const std::string& name : undone.never_proved) {
    xml += fmt::format(
        "  <testcase classname=\"{}\" name=\"keeps a row's bits\"><failure message=\"no row was compared with the "
        "same row of other problems\"/></testcase>\n",
        escaped_for_xml(name));
  }
  return xml;
}

}  // namespace

std::string as_json(const std::vector<CaseResult>& results, const LeftUndone& undone, const RunIdentity& run,
                    const RunPlan* plan) {
  const auto variants = summarise(results);
  const Totals all = totals(variants);
  json document = {{"schema", results_schema},
                   {"summary",
                    {{"passed", all.passed},
                     {"failed", all.failed},
                     {"skipped", all.skipped},
                     {"errors", all.errors},
                     {"elements_checked", all.elements},
                     {"ambiguous_share", all.ambiguous_share()},
                     {"left_out", undone.left_out},
                     {"never_checked", undone.never_checked},
                     {"row_invariant", all.row_invariant},
                     {"row_invariance_proved", all.proved},
                     {"rows_compared", all.rows_compared},
                     {"never_proved", undone.never_proved}}},
                   {"variants", json::array()},
                   {"skipped", skipped_as_json(results)},
                   {"results", json::array()},
                   {"cases", json::array()}};
  if (!run.program.empty() || plan != nullptr) {
    document["run"] = {{"program", run.program},
                       {"schedule_seed", run.schedule_seed},
                       {"warm", run.warm},
                       {"after_others", run.after_others}};
  }
  if (plan != nullptr) document["plan"] = to_json(*plan);
  if (all.watched || all.hazards > 0) document["summary"]["hazards"] = all.hazards;
  if (undone.not_run > 0) {
    document["summary"]["not_run"] = undone.not_run;
    document["summary"]["why_not_run"] = undone.why_not_run;
  }
  for (const VariantSummary& s : variants) document["variants"].push_back(summary_as_json(s));
  for (const CaseResult& result : results) {
    if (result.verdict.outcome != Outcome::pass) document["results"].push_back(result_as_json(result));
    if (was_judged(result)) document["cases"].push_back(case_as_json(result));
  }
  // Names and paths come from outside: what is no UTF-8 in them is replaced, for the results must not be lost to it.
  return document.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

std::string as_junit(const std::vector<CaseResult>& results, const LeftUndone& undone) {
  const Totals all = totals(summarise(results));
  const std::size_t left_out = undone.left_out.empty() ? 0 : 1,
                    never = undone.never_checked.size() + undone.never_proved.size();
  const std::size_t not_run = undone.not_run > 0 ? 1 : 0;
  std::string xml = fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<testsuite name=\"normquant validate\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\">\n",
      results.size() + left_out + never + not_run, all.failed + static_cast<std::int64_t>(never),
      all.errors + static_cast<std::int64_t>(not_run), all.skipped + static_cast<std::int64_t>(left_out));
  for (const CaseResult& result : results) {
    const std::string reason = escaped_for_xml(result.verdict.reason);
    xml += fmt::format("  <testcase classname=\"{}.{}.{}\" name=\"{}\" time=\"{:.3f}\"", escaped_for_xml(result.device),
                       name_of(result.problem.op), escaped_for_xml(result.variant),
                       escaped_for_xml(to_text(result.problem)), result.seconds);
    switch (result.verdict.outcome) {
      case Outcome::pass: xml += fmt::format(">{}</testcase>\n", ambiguity_as_xml(result.verdict)); continue;
      case Outcome::hazard:
      case Outcome::wrong:
        xml += fmt::format("><failure message=\"{}\">{}</failure></testcase>\n", reason,
                           escaped_for_xml(reproducing_command(result)));
        break;
      case Outcome::skipped: xml += fmt::format("><skipped message=\"{}\"/></testcase>\n", reason); break;
      case Outcome::error: xml += fmt::format("><error message=\"{}\"/></testcase>\n", reason); break;
    }
  }
  return xml + undone_as_xml(undone) + "</testsuite>\n";
}

}  // namespace normquant::validate
