#include "validate/result_files.hpp"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "validate/summary.hpp"

namespace normquant::validate {
namespace {

using nlohmann::json;

std::string xml_escaped(std::string_view text) {
  std::string safe;
  for (char c : text) {
    switch (c) {
      case '&': safe += "&amp;"; break;
      case '<': safe += "&lt;"; break;
      case '>': safe += "&gt;"; break;
      case '"': safe += "&quot;"; break;
      default: safe += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return safe;
}

json result_as_json(const CaseResult& result) {
  const Verdict& v = result.verdict;
  json entry = {{"device", result.device},       {"op", name_of(result.problem.op)},
                {"variant", result.variant},     {"problem", to_text(result.problem)},
                {"outcome", name_of(v.outcome)}, {"reason", v.reason}};
  if (v.outcome == Outcome::hazard) entry["findings"] = v.findings;
  if (v.outcome == Outcome::fail || v.outcome == Outcome::hazard) {
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
  return {{"device", s.device},         {"op", name_of(s.op)},
          {"variant", s.variant},       {"passed", s.passed},
          {"failed", s.failed},         {"skipped", s.skipped},
          {"errors", s.errors},         {"elements_checked", s.elements},
          {"codes_checked", s.codes},   {"codes_ambiguous", s.ambiguous},
          {"codes_on_ties", s.on_ties}, {"worst_error_over_bound", s.worst_error_over_bound}};
}

json case_as_json(const CaseResult& result) {
  const Verdict& v = result.verdict;
  return {{"device", result.device},
          {"variant", result.variant},
          {"problem", to_text(result.problem)},
          {"elements_checked", v.elements_checked},
          {"codes_checked", v.codes_checked},
          {"codes_ambiguous", v.codes_ambiguous},
          {"codes_on_ties", v.codes_on_ties},
          {"worst_error_over_bound", v.worst_error_over_bound},
          {"worst_tensor", v.worst_tensor}};
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
                       xml_escaped(undone.left_out));
  }
  for (const std::string& name : undone.never_checked) {
    xml += fmt::format(
        "  <testcase classname=\"{}\" name=\"is checked at all\"><failure message=\"every case was "
        "skipped\"/></testcase>\n",
        xml_escaped(name));
  }
  return xml;
}

}  // namespace

std::string_view name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::pass: return "pass";
    case Outcome::fail: return "fail";
    case Outcome::hazard: return "hazard";
    case Outcome::skipped: return "skipped";
    case Outcome::error: break;
  }
  return "error";
}

std::string as_json(const std::vector<CaseResult>& results, const LeftUndone& undone) {
  const auto variants = summarise(results);
  const Totals all = totals(variants);
  json document = {{"schema", "normquant.validate/1"},
                   {"summary",
                    {{"passed", all.passed},
                     {"failed", all.failed},
                     {"skipped", all.skipped},
                     {"errors", all.errors},
                     {"elements_checked", all.elements},
                     {"ambiguous_share", all.ambiguous_share()},
                     {"left_out", undone.left_out},
                     {"never_checked", undone.never_checked}}},
                   {"variants", json::array()},
                   {"skipped", skipped_as_json(results)},
                   {"results", json::array()},
                   {"cases", json::array()}};
  if (all.watched) document["summary"]["hazards"] = all.hazards;
  for (const VariantSummary& s : variants) document["variants"].push_back(summary_as_json(s));
  for (const CaseResult& result : results) {
    const Outcome outcome = result.verdict.outcome;
    if (outcome != Outcome::pass) document["results"].push_back(result_as_json(result));
    if (outcome == Outcome::pass || outcome == Outcome::fail) document["cases"].push_back(case_as_json(result));
  }
  // Names and paths come from outside: what is no UTF-8 in them is replaced, for the results must not be lost to it.
  return document.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

std::string as_junit(const std::vector<CaseResult>& results, const LeftUndone& undone) {
  const Totals all = totals(summarise(results));
  const std::size_t left_out = undone.left_out.empty() ? 0 : 1, never = undone.never_checked.size();
  std::string xml = fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<testsuite name=\"normquant validate\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\">\n",
      results.size() + left_out + never, all.failed + static_cast<std::int64_t>(never), all.errors,
      all.skipped + static_cast<std::int64_t>(left_out));
  for (const CaseResult& result : results) {
    const std::string reason = xml_escaped(result.verdict.reason);
    xml += fmt::format("  <testcase classname=\"{}.{}.{}\" name=\"{}\"", result.device, name_of(result.problem.op),
                       result.variant, xml_escaped(to_text(result.problem)));
    switch (result.verdict.outcome) {
      case Outcome::pass: xml += fmt::format(">{}</testcase>\n", ambiguity_as_xml(result.verdict)); continue;
      case Outcome::hazard:
      case Outcome::fail:
        xml += fmt::format("><failure message=\"{}\">{}</failure></testcase>\n", reason,
                           xml_escaped(reproducing_command(result)));
        break;
      case Outcome::skipped: xml += fmt::format("><skipped message=\"{}\"/></testcase>\n", reason); break;
      case Outcome::error: xml += fmt::format("><error message=\"{}\"/></testcase>\n", reason); break;
    }
  }
  return xml + undone_as_xml(undone) + "</testsuite>\n";
}

bool ResultFile::open(const std::string& path, std::string& why) {
  path_ = path;
  temporary_ = path + ".partial";
  std::ofstream file(temporary_);
  if (file) return true;
  why = fmt::format("cannot write {}: {}", path, std::strerror(errno));
  temporary_.clear();
  return false;
}

bool ResultFile::commit(const std::string& text, std::string& why) {
  {
    std::ofstream file(temporary_, std::ios::trunc);
    file << text << std::flush;
    if (!file) {
      why = fmt::format("cannot write {}: {}", path_, std::strerror(errno));
      return false;
    }
  }
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) {
    why = fmt::format("cannot write {}: {}", path_, std::strerror(errno));
    return false;
  }
  temporary_.clear();
  return true;
}

ResultFile::~ResultFile() {
  if (!temporary_.empty()) std::remove(temporary_.c_str());
}

}  // namespace normquant::validate
