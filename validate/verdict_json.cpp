#include "validate/verdict_json.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

namespace normquant::validate {
namespace {

using nlohmann::json;

/// JSON has no infinity and no NaN.
std::string text_of(double value) { return fmt::format("{}", value); }
double number_of(const json& text) { return std::strtod(text.get<std::string>().c_str(), nullptr); }

}  // namespace

json to_json(const Verdict& v) {
  json mismatches = json::array(), tensors = json::array();
  for (const Mismatch& m : v.mismatches) mismatches.push_back({m.tensor, m.row, m.column, m.expected, m.actual});
  for (const TensorScore& t : v.tensors) {
    tensors.push_back({t.tensor, t.checked, t.wrong, text_of(t.worst_error_over_bound)});
  }
  return {{"outcome", static_cast<int>(v.outcome)},
          {"for_other_devices", v.for_other_devices},
          {"reason", v.reason},
          {"elements", {v.elements_checked, v.elements_wrong}},
          {"codes", {v.codes_checked, v.codes_ambiguous, v.codes_on_ties}},
          {"worst", text_of(v.worst_error_over_bound)},
          {"worst_tensor", v.worst_tensor},
          {"mismatches", mismatches},
          {"tensors", tensors},
          {"row_invariant", v.row_invariant},
          {"rows_compared", v.rows_compared},
          {"watched", v.watched},
          {"findings", v.findings}};
}

Verdict verdict_from_json(const json& document) {
  Verdict v;
  const int outcome = document.at("outcome").get<int>();
  if (outcome < 0 || outcome > static_cast<int>(Outcome::error)) {
    throw json::other_error::create(501, "there is no such outcome", &document);
  }
  v.outcome = static_cast<Outcome>(outcome);
  v.for_other_devices = document.at("for_other_devices").get<bool>();
  v.reason = document.at("reason").get<std::string>();
  document.at("elements").at(0).get_to(v.elements_checked);
  document.at("elements").at(1).get_to(v.elements_wrong);
  document.at("codes").at(0).get_to(v.codes_checked);
  document.at("codes").at(1).get_to(v.codes_ambiguous);
  document.at("codes").at(2).get_to(v.codes_on_ties);
  v.worst_error_over_bound = number_of(document.at("worst"));
  v.worst_tensor = document.at("worst_tensor").get<std::string>();
  for (const json& m : document.at("mismatches")) {
    v.mismatches.push_back({m.at(0).get<std::string>(), m.at(1).get<std::int64_t>(), m.at(2).get<std::int64_t>(),
                            m.at(3).get<std::string>(), m.at(4).get<std::string>()});
  }
  for (const json& t : document.at("tensors")) {
    v.tensors.push_back(
        {t.at(0).get<std::string>(), t.at(1).get<std::int64_t>(), t.at(2).get<std::int64_t>(), number_of(t.at(3))});
  }
  v.row_invariant = document.at("row_invariant").get<bool>();
  v.rows_compared = document.at("rows_compared").get<std::int64_t>();
  v.watched = document.at("watched").get<bool>();
  v.findings = document.at("findings").get<std::vector<std::string>>();
  return v;
}

}  // namespace normquant::validate
