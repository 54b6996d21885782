#include "validate/result_files.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
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
  if (v.outcome == Outcome::fail) {
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
          {"worst_error_over_bound", s.worst_error_over_bound}};
}

}  // namespace

std::string_view name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::pass: return "pass";
    case Outcome::fail: return "fail";
    case Outcome::skipped: return "skipped";
    case Outcome::error: break;
  }
  return "error";
}

std::string as_json(const std::vector<CaseResult>& results) {
  const auto variants = summarise(results);
  const Totals all = totals(variants);
  json document = {{"schema", "normquant.validate/1"},
                   {"summary",
                    {{"passed", all.passed},
                     {"failed", all.failed},
                     {"skipped", all.skipped},
                     {"errors", all.errors},
                     {"elements_checked", all.elements},
                     {"ambiguous_share", all.ambiguous_share()}}},
                   {"variants", json::array()},
                   {"results", json::array()}};
  for (const VariantSummary& s : variants) document["variants"].push_back(summary_as_json(s));
  for (const CaseResult& result : results) {
    if (result.verdict.outcome != Outcome::pass) document["results"].push_back(result_as_json(result));
  }
  return document.dump(1) + "\n";
}

std::string as_junit(const std::vector<CaseResult>& results) {
  const Totals all = totals(summarise(results));
  std::string xml = fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<testsuite name=\"normquant validate\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\">\n",
      results.size(), all.failed, all.errors, all.skipped);
  for (const CaseResult& result : results) {
    const std::string reason = xml_escaped(result.verdict.reason);
    xml += fmt::format("  <testcase classname=\"{}.{}.{}\" name=\"{}\"", result.device, name_of(result.problem.op),
                       result.variant, xml_escaped(to_text(result.problem)));
    switch (result.verdict.outcome) {
      case Outcome::pass: xml += "/>\n"; continue;
      case Outcome::fail:
        xml += fmt::format("><failure message=\"{}\">{}</failure></testcase>\n", reason,
                           xml_escaped(reproducing_command(result)));
        break;
      case Outcome::skipped: xml += fmt::format("><skipped message=\"{}\"/></testcase>\n", reason); break;
      case Outcome::error: xml += fmt::format("><error message=\"{}\"/></testcase>\n", reason); break;
    }
  }
  return xml + "</testsuite>\n";
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
