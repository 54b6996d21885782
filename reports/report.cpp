#include "reports/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "output/standard_streams.hpp"
#include "output/words.hpp"
#include "reports/facts_csv.hpp"
#include "reports/facts_json.hpp"
#include "reports/page.hpp"
#include "reports/section_tables.hpp"
#include "reports/table.hpp"
#include "reports/verdict.hpp"

namespace normquant::reports {
namespace {

using Json = nlohmann::ordered_json;

std::string ratio_text(const std::optional<double>& ratio) { return ratio ? fmt::format("{:.2f}x", *ratio) : "-"; }

/// Half the distance of the quartiles, as a share of the median.
std::string spread_text(const Timing& timing) {
  return fmt::format("{:.1f}%", (timing.q3_us - timing.q1_us) / 2 / timing.median_us * 100);
}

bool on_host(const Timing& timing) { return timing.time_kind == "cpu_execution"; }

std::string share_text(const Timing& best, bool bars) {
  if (!best.share_of_copy) return "-";
  return bars ? share_bar(*best.share_of_copy) : fmt::format("{:.0f}%", *best.share_of_copy * 100);
}

/// Everything known of the cases of one device, in 130 columns and more.
Table wide_table(const std::vector<const RankedCase*>& cases, bool cold, bool bars) {
  Table table;
  table.columns = {{"operation"}, {"shape", true}, {"type"}, {"form"}, {"best variant"}, {"us", true}, {"+-", true}};
  if (cold) table.columns.push_back({"cold us", true});
  for (const char* title : {"GB/s", "of copy", "2nd", "auto", "others"}) table.columns.push_back({title, true});
  for (const RankedCase* ranked : cases) {
    const Timing& best = ranked->best;
    std::vector<std::string> row = {best.op,          best.shape,   best.dtype,
                                    best.form,        best.variant, fmt::format("{:.2f}", best.median_us),
                                    spread_text(best)};
    if (cold) row.push_back(best.cold_us ? fmt::format("{:.2f}", *best.cold_us) : "-");
    row.push_back(best.gb_per_s ? fmt::format("{:.0f}", *best.gb_per_s) : "-");
    row.push_back(share_text(best, bars));
    row.push_back(ratio_text(ranked->second_ratio));
    row.push_back(ratio_text(ranked->auto_ratio));
    row.push_back(std::to_string(ranked->runners_up));
    table.rows.push_back(std::move(row));
  }
  return table;
}

/// What fits 80 columns. Times of the host are not times of a GPU: no rates, no shares, no ranking.
Table narrow_table(const std::vector<const RankedCase*>& cases, bool cold) {
  const bool host = on_host(cases.front()->best);
  Table table;
  table.columns = {{"case"}, {"best variant"}, {host ? "CPU us" : "us", true}, {"+-", true}};
  if (cold) table.columns.push_back({"cold us", true});
  if (!host) table.columns.insert(table.columns.end(), {{"of copy", true}, {"2nd", true}, {"auto", true}});
  for (const RankedCase* ranked : cases) {
    const Timing& best = ranked->best;
    std::vector<std::string> row = {best.case_text(), best.variant, fmt::format("{:.2f}", best.median_us),
                                    spread_text(best)};
    if (cold) row.push_back(best.cold_us ? fmt::format("{:.2f}", *best.cold_us) : "-");
    if (!host) {
      row.insert(row.end(),
                 {share_text(best, false), ratio_text(ranked->second_ratio), ratio_text(ranked->auto_ratio)});
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

Table device_table(const std::vector<const RankedCase*>& cases, bool markdown) {
  const bool cold = std::any_of(cases.begin(), cases.end(),
                                [](const RankedCase* ranked) { return ranked->best.cold_us.has_value(); });
  constexpr int columns_of_wide = 130;
  if (on_host(cases.front()->best)) return narrow_table(cases, cold);
  if (markdown) return wide_table(cases, cold, /*bars=*/false);
  return output::terminal_columns() >= columns_of_wide ? wide_table(cases, cold, true) : narrow_table(cases, cold);
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
    text += printable(fmt::format("{}: {} {}: {}", timing.verdict, timing.case_text(), timing.variant, timing.reason));
    text += "\n";
  }
  return text;
}

/// Cases by device, devices in order of appearance.
std::vector<std::vector<const RankedCase*>> by_device(const RecordSet& set, const std::vector<RankedCase>& cases) {
  std::vector<std::string> devices;
  std::vector<std::vector<const RankedCase*>> groups;
  for (const RankedCase& ranked : cases) {
    const std::string device = set.environments[ranked.best.environment].one_device();
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

std::string shares_text(const ShareSummary& shares, const Facts& facts) {
  if (!shares.median) return "No plain copy was timed: there are no shares of it.";
  return fmt::format("Share of the copy: median {:.0f}%, {} of {} cases at 95% and more, least {:.0f}% ({}).",
                     *shares.median * 100, shares.at_least_95, shares.cases, *shares.least * 100,
                     facts.cases[*shares.least_case].best.case_text());
}

/// Shares of a copy and the regret of `auto` are about GPU times; of CPU execution they say nothing that anybody should read.
bool on_gpu(const Facts& facts) {
  return std::any_of(facts.cases.begin(), facts.cases.end(),
                     [](const RankedCase& ranked) { return !on_host(ranked.best); });
}

std::string regret_text(const RegretSummary& regret, const Facts& facts) {
  if (!regret.mean) return "What auto stands for was not timed: its regret is not known.";
  return fmt::format("auto is slower than the best by {:.1f}% in the mean of {} cases and {:.1f}% at worst ({}).",
                     *regret.mean * 100, regret.cases, *regret.worst * 100,
                     facts.cases[*regret.worst_case].best.case_text());
}

std::string device_tables(const Facts& facts, bool markdown) {
  std::string text;
  for (const auto& group : by_device(facts.records, facts.cases)) {
    const Environment& environment = facts.records.environments[group.front()->best.environment];
    const Table table = device_table(group, markdown);
    const std::string line = environment_line(environment);
    text += markdown ? fmt::format("**{}**\n\n{}\n", escaped_for_markdown(line), to_markdown(table))
                     : fmt::format("{}\n\n{}\n", printable(line), to_terminal(table));
  }
  if (facts.cases.empty()) text += "Nothing was timed.\n\n";
  for (const std::string& sentence : devices_apart(facts.records)) {
    text += (markdown ? escaped_for_markdown(sentence) : printable(sentence)) + "\n\n";
  }
  return text;
}

/// What changed, without what is the same.
std::string changes_text(const Facts& facts, const Json& document) {
  if (!facts.changes || !facts.changes->result.refusal.empty()) return {};
  Table table = section_table(document, "changes");
  const auto same = [](const std::vector<std::string>& row) { return row.front() == name_of(Change::same); };
  table.rows.erase(std::remove_if(table.rows.begin(), table.rows.end(), same), table.rows.end());
  constexpr std::size_t most_shown = 40;
  const std::size_t changed = table.rows.size();
  table.rows.resize(std::min(changed, most_shown));
  std::string text = table.rows.empty() ? "Nothing changed.\n" : to_terminal(table);
  if (changed > most_shown) text += fmt::format("... and {} more; --section changes lists all\n", changed - most_shown);
  const std::vector<std::string>& missing = facts.changes->result.missing;
  for (std::size_t i = 0; i < std::min(missing.size(), most_shown); ++i)
    text += "missing: " + printable(missing[i]) + "\n";
  if (missing.size() > most_shown) text += fmt::format("... and {} more are missing\n", missing.size() - most_shown);
  return text + "\n";
}

/// The variant that came closest to its bound; the whole table where there is nothing else to show.
std::string validation_text(const Facts& facts, const Json& document) {
  const std::vector<ValidatedVariant>& variants = facts.validation.variants;
  if (variants.empty()) return {};
  const auto worst = std::max_element(variants.begin(), variants.end(), [](const auto& a, const auto& b) {
    return a.worst_error_over_bound < b.worst_error_over_bound;
  });
  const std::string line =
      fmt::format("Validation: the worst error is {} of its bound ({} {}); --section validation lists all.",
                  output::short_figure(worst->worst_error_over_bound), worst->op, worst->variant);
  const std::string table = facts.cases.empty() ? to_terminal(section_table(document, "validation")) + "\n" : "";
  return table + printable(line) + "\n";
}

std::string for_terminal(const Facts& facts) {
  const Json document = facts_as_json(facts);
  std::string text = printable(verdict_line(facts)) + "\n\n";
  if (facts.changes) text += changes_text(facts, document);
  text += device_tables(facts, false);
  if (on_gpu(facts)) {
    text += printable(shares_text(facts.shares, facts)) + "\n" + printable(regret_text(facts.regret, facts)) + "\n";
  }
  text += validation_text(facts, document);
  return text + outcomes_text(facts.outcomes) + "\n" + failures_text(facts.records);
}

/// A list under its title; an empty one is said to be empty.
std::string markdown_section(const Json& document, const std::string& name, const std::string& title) {
  const Table table = section_table(document, name);
  return fmt::format("\n## {}\n\n{}", title, table.rows.empty() ? "None.\n" : to_markdown(table));
}

std::string for_markdown(const Facts& facts) {
  const Json document = facts_as_json(facts);
  std::string text = fmt::format("**{}**\n\n", escaped_for_markdown(verdict_line(facts)));
  text += device_tables(facts, true);
  if (on_gpu(facts)) {
    text += escaped_for_markdown(shares_text(facts.shares, facts)) + "\n\n";
    text += escaped_for_markdown(regret_text(facts.regret, facts)) + "\n\n";
  }
  text += outcomes_text(facts.outcomes) + "\n";
  if (facts.changes) {
    text += markdown_section(document, "changes", "Changes against the baseline");
    for (const std::string& name : facts.changes->result.missing)
      text += fmt::format("\nmissing: {}\n", escaped_for_markdown(name));
  }
  const std::string failures = failures_text(facts.records);
  if (!failures.empty()) text += fmt::format("\n```text\n{}```\n", failures);
  text += markdown_section(document, "sums", "What the backward moves for dweight and dbias");
  text += markdown_section(document, "skipped", "Skipped when timing");
  if (!facts.validation.given()) return text + "\n## Validation\n\nNo validation results were given.\n";
  text += markdown_section(document, "validation", "Validation");
  text += markdown_section(document, "validation_failed", "Wrong when validating");
  if (!facts.validation.details_known) {
    return text + "\nWhat was skipped and why is in the file of `validate --json`, which was not given.\n";
  }
  return text + markdown_section(document, "validation_skipped", "Skipped when validating");
}

std::string section_for_people(const Facts& facts, Format format, const std::string& section) {
  const Table table = section_table(facts_as_json(facts), section);
  return format == Format::markdown ? to_markdown(table) : to_terminal(table);
}

}  // namespace

std::optional<Format> format_named(std::string_view name) {
  if (name == "table") return Format::table;
  if (name == "md") return Format::markdown;
  if (name == "csv") return Format::csv;
  if (name == "json") return Format::json;
  if (name == "html") return Format::html;
  return std::nullopt;
}

std::string environment_line(const Environment& environment) {
  std::string line = environment.one_device();
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

std::string render(const Facts& facts, Format format, const std::string& section) {
  const bool for_people = format == Format::table || format == Format::markdown;
  if (for_people && !section.empty()) return section_for_people(facts, format, section);
  switch (format) {
    case Format::table: return for_terminal(facts);
    case Format::markdown: return for_markdown(facts);
    case Format::csv: return section_as_csv(facts_as_json(facts), section.empty() ? "cases" : section);
    case Format::json: return facts_as_json(facts).dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
    case Format::html: return page_of(facts_as_json(facts));
  }
  return {};
}

}  // namespace normquant::reports
