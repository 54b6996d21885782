#include "reports/facts_json.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "reports/table.hpp"
#include "reports/verdict.hpp"

namespace normquant::reports {
namespace {

using Json = nlohmann::ordered_json;

template <typename Number>
Json known(const std::optional<Number>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json known_text(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json cases_json(const Facts& facts) {
  Json list = Json::array();
  for (const RankedCase& ranked : facts.cases) {
    const Timing& best = ranked.best;
    const Environment& environment = facts.records.environments[best.environment];
    list.push_back({{"environment", best.environment},
                    {"device", environment.one_device()},
                    {"op", best.op},
                    {"shape", best.shape},
                    {"rows", best.rows},
                    {"columns", best.columns},
                    {"dtype", best.dtype},
                    {"form", best.form},
                    {"bytes", best.bytes},
                    {"best_variant", best.variant},
                    {"time_kind", best.time_kind},
                    {"median_us", best.median_us},
                    {"q1_us", best.q1_us},
                    {"q3_us", best.q3_us},
                    {"cold_us", known(best.cold_us)},
                    {"gb_per_s", known(best.gb_per_s)},
                    {"copy_us", known(best.copy_us)},
                    {"floor_us", known(environment.launch_floor_us)},
                    {"share_of_copy", known(best.share_of_copy)},
                    {"second_ratio", known(ranked.second_ratio)},
                    {"auto_variant", known_text(ranked.auto_variant)},
                    {"auto_ratio", known(ranked.auto_ratio)},
                    {"runners_up", ranked.runners_up}});
  }
  return list;
}

Json timing_json(std::size_t case_index, const RankedCase& ranked, const Timing& timing) {
  const auto [least, most] = std::minmax_element(timing.samples.begin(), timing.samples.end());
  const bool sampled = !timing.samples.empty();
  return {{"case", case_index},
          {"op", timing.op},
          {"shape", timing.shape},
          {"dtype", timing.dtype},
          {"form", timing.form},
          {"variant", timing.variant},
          {"median_us", timing.median_us},
          {"q1_us", timing.q1_us},
          {"q3_us", timing.q3_us},
          {"least_us", sampled ? *least : timing.median_us},
          {"most_us", sampled ? *most : timing.median_us},
          {"cold_us", known(timing.cold_us)},
          {"samples", timing.samples.size()},
          {"gb_per_s", known(timing.gb_per_s)},
          {"share_of_copy", known(timing.share_of_copy)},
          {"ratio_to_best", timing.median_us / ranked.best.median_us}};
}

Json timings_json(const Facts& facts) {
  Json list = Json::array();
  for (std::size_t i = 0; i < facts.cases.size(); ++i) {
    for (std::size_t index : facts.cases[i].timings) {
      list.push_back(timing_json(i, facts.cases[i], facts.records.timings[index]));
    }
  }
  return list;
}

Json changes_json(const Facts& facts) {
  Json list = Json::array();
  if (!facts.changes) return list;
  for (const ChangedCase& changed : facts.changes->cases) {
    const Comparison& comparison = changed.comparison;
    list.push_back({{"change", name_of(comparison.change)},
                    {"op", changed.op},
                    {"shape", changed.shape},
                    {"dtype", changed.dtype},
                    {"form", changed.form},
                    {"variant", changed.variant},
                    {"baseline_us", comparison.baseline_us},
                    {"candidate_us", comparison.candidate_us},
                    {"ratio", comparison.ratio},
                    {"ratio_low", comparison.interval ? Json(comparison.interval->low) : Json(nullptr)},
                    {"ratio_high", comparison.interval ? Json(comparison.interval->high) : Json(nullptr)}});
  }
  return list;
}

Json comparison_json(const Facts& facts) {
  if (!facts.changes) return nullptr;
  const Changes& changes = *facts.changes;
  return {{"refusal", known_text(changes.result.refusal)},
          {"min_effect", changes.rule.min_effect},
          {"confidence", changes.rule.confidence},
          {"missing", changes.result.missing},
          {"added", changes.result.added}};
}

Json sums_json(const Facts& facts) {
  Json list = Json::array();
  for (const SumsCost& cost : facts.sums) {
    const Timing& best = facts.cases[cost.case_index].best;
    list.push_back({{"case", cost.case_index},
                    {"op", best.op},
                    {"shape", best.shape},
                    {"dtype", best.dtype},
                    {"form", best.form},
                    {"variant", best.variant},
                    {"median_us", best.median_us},
                    {"copy_us", known(best.copy_us)},
                    {"extra_bytes", cost.extra_bytes},
                    {"extra_share", cost.extra_share},
                    {"extra_us", known(cost.extra_us)},
                    {"above_copy_us", known(cost.above_copy_us)}});
  }
  return list;
}

Json skipped_json(const std::vector<SkippedCases>& groups) {
  Json list = Json::array();
  for (const SkippedCases& group : groups) {
    list.push_back({{"op", group.op},
                    {"variant", group.variant},
                    {"reason", group.reason},
                    {"cases", group.cases},
                    {"example", group.example}});
  }
  return list;
}

Json failed_json(const Facts& facts) {
  Json list = Json::array();
  for (std::size_t index : facts.failed) {
    const Timing& timing = facts.records.timings[index];
    list.push_back({{"outcome", timing.verdict},
                    {"op", timing.op},
                    {"shape", timing.shape},
                    {"dtype", timing.dtype},
                    {"form", timing.form},
                    {"variant", timing.variant},
                    {"reason", timing.reason},
                    {"problem", known_text(timing.problem)}});
  }
  return list;
}

Json validation_json(const ValidationResults& validation) {
  Json list = Json::array();
  for (const ValidatedVariant& variant : validation.variants) {
    list.push_back({{"device", variant.device},
                    {"op", variant.op},
                    {"variant", variant.variant},
                    {"passed", variant.passed},
                    {"wrong", variant.wrong},
                    {"skipped", variant.skipped},
                    {"errors", variant.errors},
                    {"worst_error_over_bound", variant.worst_error_over_bound},
                    {"ambiguous_share", known(variant.ambiguous_share)}});
  }
  return list;
}

Json validation_failed_json(const ValidationResults& validation) {
  Json list = Json::array();
  for (const FailedCase& failed : validation.failed) {
    list.push_back({{"outcome", failed.outcome},
                    {"device", failed.device},
                    {"op", failed.op},
                    {"variant", failed.variant},
                    {"problem", failed.problem},
                    {"reason", failed.reason}});
  }
  return list;
}

Json summary_json(const Facts& facts) {
  const auto path = [&facts](const std::optional<std::size_t>& index) {
    return index ? Json(case_path(facts.cases[*index].best)) : Json(nullptr);
  };
  return {{"share_cases", facts.shares.cases},
          {"share_at_least_95", facts.shares.at_least_95},
          {"share_median", known(facts.shares.median)},
          {"share_least", known(facts.shares.least)},
          {"share_least_case", path(facts.shares.least_case)},
          {"regret_cases", facts.regret.cases},
          {"regret_above_3", facts.regret.above_3},
          {"regret_mean", known(facts.regret.mean)},
          {"regret_worst", known(facts.regret.worst)},
          {"regret_worst_case", path(facts.regret.worst_case)}};
}

Json environments_json(const Facts& facts) {
  Json list = Json::array();
  for (const Environment& environment : facts.records.environments) list.push_back(Json::parse(environment.json));
  return list;
}

}  // namespace

Json facts_as_json(const Facts& facts) {
  const Outcomes& outcomes = facts.outcomes;
  return {{"schema", "normquant.report/1"},
          {"verdict",
           {{"outcome", facts.verdict.outcome},
            {"title", outcome_title(facts.verdict, facts.changes.has_value())},
            {"sentence", facts.verdict.sentence}}},
          {"environments", environments_json(facts)},
          {"outcomes",
           {{"pass", outcomes.passed},
            {"skipped", outcomes.skipped},
            {"wrong", outcomes.wrong},
            {"error", outcomes.error}}},
          {"summary", summary_json(facts)},
          {"comparison", comparison_json(facts)},
          {"validation_given", facts.validation.given()},
          {"validation_details_known", facts.validation.details_known},
          {"warnings", facts.records.warnings},
          {"changes", changes_json(facts)},
          {"cases", cases_json(facts)},
          {"timings", timings_json(facts)},
          {"sums", sums_json(facts)},
          {"skipped", skipped_json(facts.skipped)},
          {"failed", failed_json(facts)},
          {"validation", validation_json(facts.validation)},
          {"validation_skipped", skipped_json(facts.validation.skipped)},
          {"validation_failed", validation_failed_json(facts.validation)}};
}

}  // namespace normquant::reports
