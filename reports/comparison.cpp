#include "reports/comparison.hpp"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <sstream>

#include "exit_status.hpp"
#include "reports/table.hpp"

namespace normquant::reports {
namespace {

/// The GPU times of a set by case and variant.
using Times = std::map<std::string, const Timing*>;

std::string comparison_name(const Timing& timing) { return timing.case_text() + " " + timing.variant; }

Times gpu_times(const RecordSet& set) {
  Times times;
  for (const Timing& timing : set.timings) {
    if (timing.passed() && timing.time_kind == "steady") times.emplace(comparison_name(timing), &timing);
  }
  return times;
}

std::string ecc_text(const std::optional<bool>& ecc) { return !ecc ? "unknown" : *ecc ? "on" : "off"; }

std::string watt_text(const std::optional<double>& watts) {
  return watts ? fmt::format("{:.0f} W", *watts) : "unknown";
}

/// Every environment of both sets against the first of the baseline.
std::string machines_refusal(const RecordSet& baseline, const RecordSet& candidate) {
  for (const RecordSet* set : {&baseline, &candidate}) {
    for (const Environment& environment : set->environments) {
      std::string why = machines_differ(baseline.environments.front(), environment);
      if (!why.empty()) return why + ", so their times cannot be compared";
    }
  }
  return {};
}

/// What has no time, by case and variant.
Times without_time(const RecordSet& set) {
  Times untimed;
  for (const Timing& timing : set.timings) {
    if (!timing.passed()) untimed.emplace(comparison_name(timing), &timing);
  }
  return untimed;
}

/// Why a case of the baseline has no time in the candidate, of which `untimed` are those without.
std::string missing_text(const std::string& name, const Times& untimed) {
  const auto found = untimed.find(name);
  if (found == untimed.end()) return name;
  return fmt::format("{} ({}: {})", name, found->second->verdict, found->second->reason);
}

Comparison compared(const std::string& name, const Timing& baseline, const Timing& candidate, double alpha,
                    double min_effect) {
  Comparison comparison;
  comparison.name = name;
  comparison.baseline_us = baseline.median_us;
  comparison.candidate_us = candidate.median_us;
  comparison.ratio = candidate.median_us / baseline.median_us;
  comparison.interval = ratio_interval(baseline.samples, candidate.samples, alpha);
  comparison.change = classify(comparison.interval, min_effect);
  return comparison;
}

int urgency(Change change) {
  switch (change) {
    case Change::slower: return 0;
    case Change::inconclusive: return 1;
    case Change::faster: return 2;
    case Change::same: return 3;
  }
  return 4;
}

bool more_important(const Comparison& a, const Comparison& b) {
  if (a.change != b.change) return urgency(a.change) < urgency(b.change);
  return std::abs(std::log(a.ratio)) > std::abs(std::log(b.ratio));
}

}  // namespace

double effect_for(std::string_view name, double usual, const std::vector<SpecialEffect>& special) {
  const std::string text(name);
  double effect = usual;
  for (const SpecialEffect& one : special) {
    if (fnmatch(one.pattern.c_str(), text.c_str(), 0) == 0) effect = one.min_effect;
  }
  return effect;
}

std::optional<std::vector<SpecialEffect>> parse_effects(const std::string& text, std::string& why) {
  std::vector<SpecialEffect> effects;
  std::istringstream lines(text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    line.erase(std::min(line.find('#'), line.size()));
    std::istringstream words(line);
    SpecialEffect effect;
    std::string first;
    if (!(words >> first)) continue;
    const auto read = std::from_chars(first.data(), first.data() + first.size(), effect.min_effect);
    std::getline(words >> std::ws, effect.pattern);
    effect.pattern.erase(effect.pattern.find_last_not_of(" \t\r") + 1);
    if (read.ec != std::errc() || read.ptr != first.data() + first.size() || !(effect.min_effect > 0) ||
        !(effect.min_effect < 1) || effect.pattern.empty()) {
      why = fmt::format("line {} is not an effect above 0 and below 1 and a pattern, as in `0.01 norm_quant_forward *`",
                        number);
      return std::nullopt;
    }
    effects.push_back(std::move(effect));
  }
  return effects;
}

std::string machines_differ(const Environment& a, const Environment& b) {
  if (a.gpu != b.gpu) return fmt::format("the GPUs differ ({} and {})", a.device(), b.device());
  if (!a.driver.empty() && !b.driver.empty() && a.driver != b.driver) {
    return fmt::format("the drivers differ ({} and {})", a.driver, b.driver);
  }
  if (a.ecc && b.ecc && a.ecc != b.ecc) {
    return fmt::format("the ECC modes differ ({} and {})", ecc_text(a.ecc), ecc_text(b.ecc));
  }
  if (a.power_limit_w && b.power_limit_w && std::abs(*a.power_limit_w - *b.power_limit_w) > 0.5) {
    return fmt::format("the power limits differ ({} and {})", watt_text(a.power_limit_w), watt_text(b.power_limit_w));
  }
  return {};
}

std::size_t count_unchanged(const GateResult& result) {
  const auto unchanged = [](const Comparison& c) { return c.unchanged; };
  return static_cast<std::size_t>(std::count_if(result.comparisons.begin(), result.comparisons.end(), unchanged));
}

std::size_t count(const GateResult& result, Change change) {
  return static_cast<std::size_t>(
      std::count_if(result.comparisons.begin(), result.comparisons.end(),
                    [change](const Comparison& comparison) { return comparison.change == change; }));
}

void sort_by_importance(GateResult& result) {
  std::stable_sort(result.comparisons.begin(), result.comparisons.end(), more_important);
}

std::string_view name_of(Change change) {
  switch (change) {
    case Change::faster: return "FASTER";
    case Change::same: return "SAME";
    case Change::slower: return "SLOWER";
    case Change::inconclusive: return "INCONCLUSIVE";
  }
  return "unknown";
}

std::optional<Interval> ratio_interval(const std::vector<double>& baseline, const std::vector<double>& candidate,
                                       double alpha) {
  const auto base = median_interval(ascending(baseline), alpha);
  const auto cand = median_interval(ascending(candidate), alpha);
  if (!base || !cand) return std::nullopt;
  return Interval{cand->low / base->high, cand->high / base->low};
}

Change classify(const std::optional<Interval>& interval, double min_effect) {
  if (!interval) return Change::inconclusive;
  const double upper = 1 + min_effect, lower = 1 / upper;
  if (interval->low > upper) return Change::slower;
  if (interval->high < lower) return Change::faster;
  return interval->low >= lower && interval->high <= upper ? Change::same : Change::inconclusive;
}

GateResult compare(const RecordSet& baseline, const RecordSet& candidate, const GateRule& rule) {
  GateResult result;
  result.refusal = machines_refusal(baseline, candidate);
  if (!result.refusal.empty()) return result;
  if (baseline.environments.front().gpu.empty()) {
    result.refusal = "these are CPU execution times, which say nothing about a kernel's speed on a GPU";
    return result;
  }
  const Times before = gpu_times(baseline), after = gpu_times(candidate), untimed = without_time(candidate);
  std::vector<std::string> common;
  for (const auto& [name, timing] : before) {
    if (after.count(name) > 0) {
      common.push_back(name);
    } else {
      result.missing.push_back(missing_text(name, untimed));
    }
  }
  if (common.empty()) {
    GateResult refused;
    refused.refusal = "baseline and candidate have no timed case in common";
    return refused;
  }
  const double alpha = (1 - rule.confidence) / (2 * static_cast<double>(common.size()));
  for (const std::string& name : common) {
    result.comparisons.push_back(
        compared(name, *before.at(name), *after.at(name), alpha, effect_for(name, rule.min_effect, rule.special)));
  }
  sort_by_importance(result);
  result.added = after.size() - common.size();
  return result;
}

int gate_status(const GateResult& result) {
  if (!result.refusal.empty()) return exit_usage;
  if (count(result, Change::slower) > 0) return exit_regression;
  if (count(result, Change::inconclusive) > 0 || !result.missing.empty()) return exit_inconclusive;
  return exit_pass;
}

std::string gate_text(const GateResult& result, const GateRule& rule) {
  if (!result.refusal.empty()) return "refused: " + result.refusal + "\n";
  Table table;
  table.columns = {{"verdict"}, {"ratio", true}, {"interval"}, {"baseline us", true}, {"candidate us", true}, {"case"}};
  for (const Comparison& c : result.comparisons) {
    if (c.unchanged) {
      table.rows.push_back({"SAME", "-", "same machine code", "-", "-", c.name});
      continue;
    }
    const std::string interval =
        c.interval ? fmt::format("[{:.4f}, {:.4f}]", c.interval->low, c.interval->high) : "too few samples";
    table.rows.push_back({std::string(name_of(c.change)), fmt::format("{:.4f}", c.ratio), interval,
                          fmt::format("{:.2f}", c.baseline_us), fmt::format("{:.2f}", c.candidate_us), c.name});
  }
  std::string text = to_terminal(table);
  for (const Comparison& c : result.comparisons) {
    if (!c.advice.empty()) text += fmt::format("{}: {}\n", c.name, c.advice);
  }
  for (const std::string& name : result.missing) text += fmt::format("missing in the candidate: {}\n", name);
  text += fmt::format("{} slower, {} inconclusive, {} missing, {} faster, {} same, {} new",
                      count(result, Change::slower), count(result, Change::inconclusive), result.missing.size(),
                      count(result, Change::faster), count(result, Change::same), result.added);
  if (const std::size_t unchanged = count_unchanged(result); unchanged > 0) {
    text += fmt::format("; {} of the same were not timed, their machine code is the same", unchanged);
  }
  if (!rule.special.empty()) text += fmt::format(" ({} patterns of --min-effects)", rule.special.size());
  return text + fmt::format(" (changes of {:.1f}% and more; all intervals together at {:.0f}%)\n",
                            rule.min_effect * 100, rule.confidence * 100);
}

}  // namespace normquant::reports
