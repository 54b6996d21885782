#include "reports/facts_csv.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "reports/table.hpp"

namespace normquant::reports {
namespace {

using Json = nlohmann::ordered_json;

std::string cell_of(const Json& value) {
  if (value.is_null()) return {};
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return fmt::format("{:.6g}", value.get<double>());
  return value.dump();
}

}  // namespace

const std::vector<Section>& sections() {
  static const std::vector<std::string> skipped = {"op", "variant", "reason", "cases", "example"};
  static const std::vector<Section> all = {
      {"cases", {"environment",   "device",       "op",           "shape",        "rows",      "columns",
                 "dtype",         "form",         "bytes",        "best_variant", "time_kind", "median_us",
                 "q1_us",         "q3_us",        "cold_us",      "gb_per_s",     "copy_us",   "floor_us",
                 "share_of_copy", "second_ratio", "auto_variant", "auto_ratio",   "runners_up"}},
      {"timings",
       {"case", "op", "shape", "dtype", "form", "variant", "median_us", "q1_us", "q3_us", "least_us", "most_us",
        "cold_us", "samples", "gb_per_s", "share_of_copy", "ratio_to_best"}},
      {"changes",
       {"change", "op", "shape", "dtype", "form", "variant", "baseline_us", "candidate_us", "ratio", "ratio_low",
        "ratio_high"}},
      {"sums",
       {"case", "op", "shape", "dtype", "form", "variant", "median_us", "copy_us", "extra_bytes", "extra_share",
        "extra_us", "above_copy_us"}},
      {"skipped", skipped},
      {"failed", {"outcome", "op", "shape", "dtype", "form", "variant", "reason", "problem"}},
      {"validation",
       {"device", "op", "variant", "passed", "wrong", "skipped", "errors", "worst_error_over_bound",
        "ambiguous_share"}},
      {"validation_skipped", skipped},
      {"validation_failed", {"outcome", "device", "op", "variant", "problem", "reason"}}};
  return all;
}

std::string section_as_csv(const Json& document, const std::string& name) {
  const auto section =
      std::find_if(sections().begin(), sections().end(), [&name](const Section& s) { return s.name == name; });
  if (section == sections().end()) return {};
  Table table;
  for (const std::string& key : section->keys) table.columns.push_back({key});
  for (const Json& entry : document.at(name)) {
    std::vector<std::string> row;
    for (const std::string& key : section->keys) row.push_back(cell_of(entry.at(key)));
    table.rows.push_back(std::move(row));
  }
  return to_csv(table);
}

}  // namespace normquant::reports
