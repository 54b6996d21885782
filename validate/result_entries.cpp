#include "validate/result_entries.hpp"

#include <fmt/format.h>

#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <nlohmann/json.hpp>

#include "validate/run_plan.hpp"

namespace normquant::validate {
namespace {

using nlohmann::json;

/// Device, variant and problem of an entry.
CaseResult begun(const json& entry, std::uint64_t schedule_seed) {
  std::string why;
  const auto problem = parse_problem(entry.at("problem").get<std::string>(), why);
  if (!problem) throw std::invalid_argument(why);
  CaseResult result{
      entry.at("device").get<std::string>(), entry.at("variant").get<std::string>(), *problem, {}, {}, schedule_seed};
  result.card = entry.value("card", "");
  if (entry.contains("index")) result.index = count_in(entry, "index");
  return result;
}

/// An entry of "cases": what was checked, and how near it came to its bounds.
CaseResult checked(const json& entry, std::uint64_t schedule_seed) {
  CaseResult result = begun(entry, schedule_seed);
  Verdict& v = result.verdict;
  v.elements_checked = count_in(entry, "elements_checked");
  v.codes_checked = count_in(entry, "codes_checked");
  v.codes_ambiguous = count_in(entry, "codes_ambiguous");
  v.codes_on_ties = count_in(entry, "codes_on_ties");
  v.worst_error_over_bound = entry.at("worst_error_over_bound").is_null()
                                 ? std::numeric_limits<double>::infinity()
                                 : entry.at("worst_error_over_bound").get<double>();
  v.worst_tensor = entry.at("worst_tensor").get<std::string>();
  v.row_invariant = entry.contains("rows_compared");
  if (v.row_invariant) v.rows_compared = count_in(entry, "rows_compared");
  v.watched = entry.value("watched", false);
  result.seconds = entry.value("seconds", 0.0);
  return result;
}

/// What an entry of "results" says beyond that.
void judge(const json& entry, CaseResult& result) {
  const auto outcome = outcome_named(entry.at("outcome").get<std::string>());
  if (!outcome || *outcome == Outcome::pass) throw std::invalid_argument("it has an unknown outcome");
  Verdict& v = result.verdict;
  v.outcome = *outcome;
  v.reason = entry.at("reason").get<std::string>();
  v.for_other_devices = entry.value("for_other_devices", false);
  v.watched = entry.value("watched", v.watched);
  if (entry.contains("elements_wrong")) v.elements_wrong = count_in(entry, "elements_wrong");
  v.findings = entry.value("findings", std::vector<std::string>());
  result.command = entry.value("reproduce", "");
  for (const json& m : entry.value("mismatches", json::array())) {
    v.mismatches.push_back(
        {m.at("tensor"), count_in(m, "row"), count_in(m, "column"), m.at("expected"), m.at("actual")});
  }
}

std::string key_of(const CaseResult& result) {
  return fmt::format("{}\n{}\n{}\n{}", result.index, result.device, result.variant, to_text(result.problem));
}

}  // namespace

std::vector<CaseResult> results_in(const json& document, std::uint64_t schedule_seed) {
  std::vector<CaseResult> results;
  std::map<std::string, std::size_t> places;
  for (const json& entry : document.at("cases")) {
    results.push_back(checked(entry, schedule_seed));
    const bool added = places.emplace(key_of(results.back()), results.size() - 1).second;
    if (!added && results.back().index >= 0) {
      throw std::invalid_argument(fmt::format("it has the case {} twice", results.back().index));
    }
  }
  std::map<std::int64_t, int> judged;
  for (const json& entry : document.at("results")) {
    CaseResult result = begun(entry, schedule_seed);
    if (result.index >= 0 && ++judged[result.index] > 1) {
      throw std::invalid_argument(fmt::format("it has the case {} twice", result.index));
    }
    const auto known = places.find(key_of(result));
    if (known == places.end()) results.push_back(std::move(result));
    judge(entry, known == places.end() ? results.back() : results[known->second]);
  }
  return results;
}

}  // namespace normquant::validate
