#include "reports/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "reports/ranking.hpp"
#include "reports/table.hpp"

namespace normquant::reports {
namespace {

using Json = nlohmann::ordered_json;

std::string ratio_text(const std::optional<double>& ratio) { return ratio ? fmt::format("{:.2f}x", *ratio) : "-"; }

/// Half the distance of the quartiles, as a share of the median.
std::string spread_text(const Timing& timing) {
  return fmt::format("{:.1f}%", (timing.q3_us - timing.q1_us) / 2 / timing.median_us * 100);
}

bool on_host(const Timing& timing) { return timing.time_kind == "cpu_execution"; }

/// The cases of one device. Times of the host are not times of a GPU and carry no rates.
Table device_table(const std::vector<const RankedCase*>& cases, bool bars) {
  const bool host = on_host(cases.front()->best);
  Table table;
  table.columns = {{"operation"}, {"shape", true},  {"type"},
                   {"form"},      {"best variant"}, {host ? "CPU us" : "us", true},
                   {"+-", true},  {"GB/s", true},   {"of copy", true},
                   {"2nd", true}, {"auto", true},   {"others", true}};
  for (const RankedCase* ranked : cases) {
    const Timing& best = ranked->best;
    std::string share = "-";
    if (best.share_of_copy)
      share = bars ? share_bar(*best.share_of_copy) : fmt::format("{:.0f}%", *best.share_of_copy * 100);
    table.rows.push_back(
        {best.op, best.shape, best.dtype, best.form, best.variant, fmt::format("{:.2f}", best.median_us),
         spread_text(best), best.gb_per_s ? fmt::format("{:.0f}", *best.gb_per_s) : "-", share,
         ratio_text(ranked->second_ratio), ratio_text(ranked->auto_ratio), std::to_string(ranked->runners_up)});
  }
  return table;
}

std::string outcomes_text(const Outcomes& outcomes) {
  std::string text = fmt::format("{} timed, {} skipped", outcomes.passed, outcomes.skipped);
  if (outcomes.wrong > 0) text += fmt::format(", {} WRONG", outcomes.wrong);
  if (outcomes.error > 0) text += fmt::format(", {} ended in an error", outcomes.error);
  return text;
}

/// Sentences for what is wrong, so that it is not only counted.
std::string failures_text(const RecordSet& set) {
  std::string text;
  for (const Timing& timing : set.timings) {
    if (timing.verdict != "wrong" && timing.verdict != "error") continue;
    text += fmt::format("{}: {} {}: {}\n", timing.verdict, timing.case_text(), timing.variant, timing.reason);
  }
  return text;
}

/// Cases by device, devices in order of appearance.
std::vector<std::vector<const RankedCase*>> by_device(const RecordSet& set, const std::vector<RankedCase>& cases) {
  std::vector<std::string> devices;
  std::vector<std::vector<const RankedCase*>> groups;
  for (const RankedCase& ranked : cases) {
    const std::string device = set.environments[ranked.best.environment].device();
    const auto found = std::find(devices.begin(), devices.end(), device);
    const auto index = static_cast<std::size_t>(found - devices.begin());
    if (found == devices.end()) {
      devices.push_back(device);
      groups.emplace_back();
    }
    groups[index].push_back(&ranked);
  }
  return groups;
}

std::string for_people(const RecordSet& set, bool markdown) {
  const std::vector<RankedCase> cases = rank(set);
  std::string text;
  for (const auto& group : by_device(set, cases)) {
    const Environment& environment = set.environments[group.front()->best.environment];
    const Table table = device_table(group, !markdown);
    text += markdown ? fmt::format("**{}**\n\n{}\n", environment_line(environment), to_markdown(table))
                     : fmt::format("{}\n\n{}\n", environment_line(environment), to_terminal(table));
  }
  if (cases.empty()) text += "Nothing was timed.\n\n";
  text += outcomes_text(count_outcomes(set)) + "\n";
  const std::string failures = failures_text(set);
  if (!failures.empty()) text += markdown ? fmt::format("\n```text\n{}```\n", failures) : failures;
  return text;
}

std::string csv_number(const std::optional<double>& value) { return value ? fmt::format("{:.6g}", *value) : ""; }

std::string as_csv(const RecordSet& set) {
  Table table;
  for (const char* title :
       {"device", "op", "shape", "dtype", "form", "best_variant", "time_kind", "median_us", "q1_us", "q3_us",
        "gb_per_s", "copy_us", "share_of_copy", "second_ratio", "auto_ratio", "runners_up"}) {
    table.columns.push_back({title});
  }
  for (const RankedCase& ranked : rank(set)) {
    const Timing& best = ranked.best;
    table.rows.push_back({set.environments[best.environment].device(), best.op, best.shape, best.dtype, best.form,
                          best.variant, best.time_kind, csv_number(best.median_us), csv_number(best.q1_us),
                          csv_number(best.q3_us), csv_number(best.gb_per_s), csv_number(best.copy_us),
                          csv_number(best.share_of_copy), csv_number(ranked.second_ratio),
                          csv_number(ranked.auto_ratio), std::to_string(ranked.runners_up)});
  }
  return to_csv(table);
}

Json known(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

std::string as_json(const RecordSet& set) {
  Json report = {{"environments", Json::array()}, {"cases", Json::array()}};
  for (const Environment& environment : set.environments)
    report["environments"].push_back(Json::parse(environment.json));
  for (const RankedCase& ranked : rank(set)) {
    const Timing& best = ranked.best;
    report["cases"].push_back({{"environment", best.environment},
                               {"op", best.op},
                               {"shape", best.shape},
                               {"dtype", best.dtype},
                               {"form", best.form},
                               {"best_variant", best.variant},
                               {"time_kind", best.time_kind},
                               {"median_us", best.median_us},
                               {"q1_us", best.q1_us},
                               {"q3_us", best.q3_us},
                               {"gb_per_s", known(best.gb_per_s)},
                               {"copy_us", known(best.copy_us)},
                               {"share_of_copy", known(best.share_of_copy)},
                               {"second_ratio", known(ranked.second_ratio)},
                               {"auto_ratio", known(ranked.auto_ratio)},
                               {"runners_up", ranked.runners_up}});
  }
  const Outcomes outcomes = count_outcomes(set);
  report["outcomes"] = {
      {"pass", outcomes.passed}, {"skipped", outcomes.skipped}, {"wrong", outcomes.wrong}, {"error", outcomes.error}};
  return report.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

std::optional<Format> format_named(std::string_view name) {
  if (name == "table") return Format::table;
  if (name == "md") return Format::markdown;
  if (name == "csv") return Format::csv;
  if (name == "json") return Format::json;
  return std::nullopt;
}

std::string environment_line(const Environment& environment) {
  std::string line = environment.device();
  if (environment.gpu.empty()) {
    line +=
        fmt::format(" ({}): CPU execution, not a GPU time", environment.cpu.empty() ? "CPU unknown" : environment.cpu);
  }
  if (!environment.driver.empty()) line += fmt::format(", driver {}", environment.driver);
  if (!environment.cuda_runtime.empty()) line += fmt::format(", CUDA {}", environment.cuda_runtime);
  if (environment.power_limit_w) line += fmt::format(", {:.0f} W", *environment.power_limit_w);
  return line + fmt::format("; commit {}, {}", environment.commit, environment.time);
}

std::string share_bar(double share) {
  const auto full = static_cast<std::size_t>(std::lround(std::clamp(share, 0.0, 1.0) * 10));
  return fmt::format("{}{} {:>4.0f}%", std::string(full, '#'), std::string(10 - full, '-'), share * 100);
}

std::string render(const RecordSet& set, Format format) {
  switch (format) {
    case Format::table: return for_people(set, false);
    case Format::markdown: return for_people(set, true);
    case Format::csv: return as_csv(set);
    case Format::json: return as_json(set);
  }
  return {};
}

}  // namespace normquant::reports
