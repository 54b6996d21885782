#include "reports/facts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "reports/verdict.hpp"

namespace normquant::reports {
namespace {

ShareSummary shares_of(const std::vector<RankedCase>& cases) {
  ShareSummary summary;
  std::vector<double> shares;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const std::optional<double> share = cases[i].best.share_of_copy;
    if (!share) continue;
    shares.push_back(*share);
    if (*share >= 0.95) ++summary.at_least_95;
    if (!summary.least || *share < *summary.least) {
      summary.least = share;
      summary.least_case = i;
    }
  }
  summary.cases = shares.size();
  if (!shares.empty()) summary.median = quantile(ascending(std::move(shares)), 0.5);
  return summary;
}

RegretSummary regret_of(const std::vector<RankedCase>& cases) {
  RegretSummary summary;
  double sum = 0;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    // Of CPU execution it says nothing: that a GPU would be as slow there is not known.
    if (!cases[i].auto_ratio || cases[i].best.time_kind == "cpu_execution") continue;
    const double regret = *cases[i].auto_ratio - 1;
    ++summary.cases;
    sum += regret;
    if (regret > 0.03) ++summary.above_3;
    if (!summary.worst || regret > *summary.worst) {
      summary.worst = regret;
      summary.worst_case = i;
    }
  }
  if (summary.cases > 0) summary.mean = sum / static_cast<double>(summary.cases);
  return summary;
}

std::vector<SumsCost> sums_of(const std::vector<RankedCase>& cases) {
  std::vector<SumsCost> all;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const Timing& best = cases[i].best;
    if (best.op != "norm_quant_backward" || best.bytes <= 0 || best.requested_bytes < best.bytes) continue;
    SumsCost cost;
    cost.case_index = i;
    cost.extra_bytes = best.requested_bytes - best.bytes;
    cost.extra_share = static_cast<double>(cost.extra_bytes) / static_cast<double>(best.bytes);
    if (best.copy_us) {
      cost.extra_us = cost.extra_share * *best.copy_us;
      cost.above_copy_us = best.median_us - *best.copy_us;
    }
    all.push_back(cost);
  }
  return all;
}

/// The name that the gate gives to a case and variant.
std::string gate_name(const Timing& timing) { return timing.case_text() + " " + timing.variant; }

Changes changes_of(const RecordSet& records, const RecordSet& baseline, const GateRule& rule) {
  Changes changes;
  changes.rule = rule;
  if (baseline.environments.empty() || records.environments.empty()) {
    changes.result.refusal = "one of the two sets of results holds no timings";
    return changes;
  }
  changes.result = compare(baseline, records, rule);
  std::unordered_map<std::string, const Timing*> named;
  for (const Timing& timing : records.timings) named.emplace(gate_name(timing), &timing);
  for (const Comparison& comparison : changes.result.comparisons) {
    ChangedCase changed;
    changed.comparison = comparison;
    if (const auto found = named.find(comparison.name); found != named.end()) {
      const Timing& timing = *found->second;
      changed.op = timing.op;
      changed.shape = timing.shape;
      changed.dtype = timing.dtype;
      changed.form = timing.form;
      changed.variant = timing.variant;
    }
    changes.cases.push_back(std::move(changed));
  }
  return changes;
}

}  // namespace

std::string case_path(const Timing& timing) {
  return fmt::format("{}/{}/{}/{}", timing.op, timing.dtype, timing.form, timing.shape);
}

Facts facts_of(Results results, const RecordSet* baseline, const GateRule& rule) {
  Facts facts;
  facts.records = std::move(results.records);
  facts.validation = std::move(results.validation);
  facts.cases = rank(facts.records);
  facts.outcomes = count_outcomes(facts.records);
  facts.shares = shares_of(facts.cases);
  facts.regret = regret_of(facts.cases);
  facts.sums = sums_of(facts.cases);
  SkippedGroups skipped;
  for (std::size_t i = 0; i < facts.records.timings.size(); ++i) {
    const Timing& timing = facts.records.timings[i];
    if (timing.verdict == "skipped") skipped.add(timing.op, timing.variant, timing.reason, timing.case_text());
    if (timing.verdict == "wrong" || timing.verdict == "error") facts.failed.push_back(i);
  }
  facts.skipped = skipped.sorted();
  if (baseline != nullptr) facts.changes = changes_of(facts.records, *baseline, rule);
  facts.verdict = verdict_of(facts);
  return facts;
}

}  // namespace normquant::reports
