#include "reports/page.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <string_view>
#include <nlohmann/json.hpp>

#include "reports/page_template.hpp"

namespace normquant::reports {
namespace {

using Json = nlohmann::ordered_json;

/// To 6 significant digits.
double rounded(double value) {
  if (value == 0 || !std::isfinite(value)) return value;
  const double power = std::pow(10, 5 - std::floor(std::log10(std::abs(value))));
  return std::isfinite(power) ? std::round(value * power) / power : value;
}

Json packed_value(const Json& value) { return value.is_number_float() ? Json(rounded(value.get<double>())) : value; }

/// One key of all entries, as distinct texts and indices.
Json text_column(const Json& list, const std::string& key) {
  std::map<std::string, std::size_t> index;
  Json texts = Json::array(), at = Json::array();
  for (const Json& entry : list) {
    const Json& value = entry.at(key);
    if (value.is_null()) {
      at.push_back(nullptr);
      continue;
    }
    const auto text = value.get<std::string>();
    const auto [known, added] = index.emplace(text, texts.size());
    if (added) texts.push_back(text);
    at.push_back(known->second);
  }
  return {{"texts", std::move(texts)}, {"at", std::move(at)}};
}

Json column_of(const Json& list, const std::string& key) {
  const auto is_text = [&key](const Json& entry) { return entry.at(key).is_string(); };
  if (std::any_of(list.begin(), list.end(), is_text)) return text_column(list, key);
  Json values = Json::array();
  for (const Json& entry : list) values.push_back(packed_value(entry.at(key)));
  return values;
}

Json packed_list(const Json& list, const std::vector<std::string>& left_out = {}) {
  Json columns = Json::object();
  if (!list.empty()) {
    for (const auto& [key, value] : list.front().items()) {
      if (std::find(left_out.begin(), left_out.end(), key) == left_out.end()) columns[key] = column_of(list, key);
    }
  }
  return {{"count", list.size()}, {"columns", std::move(columns)}};
}

/// Timings come case by case, fastest first: those that stand within the first `depth` of their case.
Json fastest(const Json& timings, std::size_t depth) {
  Json kept = Json::array();
  std::size_t place = 0;
  for (std::size_t i = 0; i < timings.size(); ++i) {
    place = i > 0 && timings[i].at("case") == timings[i - 1].at("case") ? place + 1 : 0;
    if (place < depth) kept.push_back(timings[i]);
  }
  return kept;
}

/// The most variants of each case that fit.
Json fitting(const Json& timings, std::size_t cases, std::size_t most_timings) {
  if (timings.size() <= most_timings || cases == 0) return timings;
  return fastest(timings, std::max<std::size_t>(most_timings / cases, 1));
}

Json first_of(const Json& list, std::size_t most) {
  if (list.size() <= most) return list;
  Json first = Json::array();
  for (std::size_t i = 0; i < most; ++i) first.push_back(list[i]);
  return first;
}

bool is_table(const Json& value) { return value.is_array() && !value.empty() && value.front().is_object(); }

void escape_markup(std::string& json) {
  std::string escaped;
  escaped.reserve(json.size());
  for (char c : json) {
    if (c == '<') {
      escaped += "\\u003c";
    } else {
      escaped += c;
    }
  }
  json = std::move(escaped);
}

}  // namespace

std::string page_data(const Json& document, const PageLimits& most) {
  Json packed = Json::object();
  for (const auto& [key, value] : document.items()) {
    if (key == "timings") {
      const Json kept = fitting(value, document.at("cases").size(), most.timings);
      // What the case says already is not said again.
      packed[key] = packed_list(kept, {"op", "shape", "dtype", "form", "ratio_to_best"});
      packed["timings_left_out"] = value.size() - kept.size();
    } else if (key == "changes") {
      packed[key] = packed_list(first_of(value, most.changes));
      packed["changes_left_out"] = value.size() - std::min(value.size(), most.changes);
    } else {
      packed[key] = key != "environments" && is_table(value) ? packed_list(value) : value;
    }
  }
  std::string text = packed.dump(-1, ' ', false, Json::error_handler_t::replace);
  escape_markup(text);
  return text;
}

std::string page_of(const Json& document) {
  constexpr std::string_view marker = "@FACTS@";
  std::string page(page_template());
  const std::size_t at = page.find(marker);
  return page.replace(at, marker.size(), page_data(document));
}

}  // namespace normquant::reports
