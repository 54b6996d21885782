#include "reports/section_tables.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "reports/facts_csv.hpp"

namespace normquant::reports {
namespace {

using Json = nlohmann::ordered_json;

bool mentions(const std::string& key, std::string_view word) { return key.find(word) != std::string::npos; }

std::string fraction_text(const std::string& key, double value) {
  if (key.ends_with("_us")) return fmt::format("{:.2f}", value);
  if (key == "ambiguous_share") return fmt::format("{:.4f}%", value * 100);
  if (mentions(key, "share")) return fmt::format("{:.1f}%", value * 100);
  if (key == "gb_per_s") return fmt::format("{:.0f}", value);
  return fmt::format("{:.4g}", value);
}

std::string cell_of(const std::string& key, const Json& value) {
  if (value.is_null()) return "-";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return fraction_text(key, value.get<double>());
  return value.dump();
}

/// `share_of_copy` becomes `share of copy`, `median_us` becomes `median us`.
std::string title_of(std::string key) {
  std::replace(key.begin(), key.end(), '_', ' ');
  return key;
}

bool holds_numbers(const Json& list, const std::string& key) {
  return std::any_of(list.begin(), list.end(), [&key](const Json& entry) { return entry.at(key).is_number(); });
}

}  // namespace

Table section_table(const Json& document, const std::string& name) {
  const auto section =
      std::find_if(sections().begin(), sections().end(), [&name](const Section& s) { return s.name == name; });
  Table table;
  if (section == sections().end()) return table;
  const Json& list = document.at(name);
  for (const std::string& key : section->keys) table.columns.push_back({title_of(key), holds_numbers(list, key)});
  for (const Json& entry : list) {
    std::vector<std::string> row;
    for (const std::string& key : section->keys) row.push_back(cell_of(key, entry.at(key)));
    table.rows.push_back(std::move(row));
  }
  return table;
}

}  // namespace normquant::reports
