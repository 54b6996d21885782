#include "bench/gate/interleaved.hpp"

#include <fmt/format.h>

#include <cmath>
#include <numeric>
#include <set>

namespace normquant::gate {
namespace {

/// What is known of one case while the stages go on.
struct CaseState {
  std::vector<double> baseline, candidate, log_ratios;  ///< of the stage under way, a pair at the same place
  std::optional<Change> suspected;                      ///< the stage before said SLOWER or FASTER
  bool decided = false;
  reports::Comparison comparison;
};

class Protocol {
 public:
  Protocol(const RunProcess& run, const InterleavedRule& rule, const std::map<std::string, PairScatter>& known)
      : run_(run), rule_(rule), known_(known) {}

  InterleavedResult result() {
    for (int stage = 1; stage <= rule_.stages && run_stage(stage); ++stage) {
    }
    if (!result_.failure.empty() || !result_.gate.refusal.empty()) return std::move(result_);
    for (auto& [name, state] : cases_) {
      if (!state.decided) state.comparison.change = Change::inconclusive;
      result_.gate.comparisons.push_back(state.comparison);
    }
    for (const auto& [name, reason] : missing_) {
      result_.gate.missing.push_back(reason.empty() ? name : fmt::format("{} ({})", name, reason));
    }
    if (result_.gate.comparisons.empty()) result_.gate.refusal = "no case was timed by both programs";
    reports::sort_by_importance(result_.gate);
    return std::move(result_);
  }

 private:
  /// Whether another stage is needed and possible.
  bool run_stage(int stage) {
    std::vector<std::string> pending;
    for (auto& [name, state] : cases_) {
      state.baseline.clear();
      state.candidate.clear();
      state.log_ratios.clear();
      if (!state.decided) pending.push_back(name);
    }
    for (int block = 0; block < rule_.blocks; ++block) {
      std::optional<ProcessResult> first[2], second[2];  // by side
      const auto go = [&](Side side, std::optional<ProcessResult>* turn) {
        return run_one(side, pending, turn[side == Side::candidate ? 1 : 0]);
      };
      const bool ran = go(Side::baseline, first) && go(Side::candidate, first) && go(Side::candidate, second) &&
                       go(Side::baseline, second);
      if (!ran) return false;
      add_pair(*first[0], *first[1], stage == 1);
      add_pair(*second[0], *second[1], stage == 1);
    }
    return judge(stage);
  }

  bool run_one(Side side, const std::vector<std::string>& pending, std::optional<ProcessResult>& into) {
    into = run_(side, pending);
    ++result_.processes;
    if (!into->failure.empty()) {
      result_.failure = fmt::format("a process of the {} failed: {}", side == Side::baseline ? "baseline" : "candidate",
                                    into->failure);
      return false;
    }
    for (const auto& [name, reason] : into->untimed) {
      if (side == Side::candidate && reason.starts_with("wrong")) result_.wrong = true;
    }
    if (into->machine) {
      if (!machine_) machine_ = into->machine;
      (side == Side::baseline ? result_.baseline_commit : result_.candidate_commit) = into->machine->commit;
      const std::string why = reports::machines_differ(*machine_, *into->machine);
      if (!why.empty()) result_.gate.refusal = why + ", so their times cannot be compared";
      if (machine_->gpu.empty()) {
        result_.gate.refusal = "these are CPU execution times, which say nothing about a kernel's speed on a GPU";
      }
    }
    return result_.gate.refusal.empty();
  }

  void add_pair(const ProcessResult& baseline, const ProcessResult& candidate, bool all) {
    std::set<std::string> added;
    for (const auto& [name, before] : baseline.microseconds) {
      const auto after = candidate.microseconds.find(name);
      if (after == candidate.microseconds.end()) {
        const auto reason = candidate.untimed.find(name);
        missing_[name] = reason == candidate.untimed.end() ? "" : reason->second;
        continue;
      }
      if (!all && cases_.count(name) == 0) continue;
      CaseState& state = cases_[name];
      state.baseline.push_back(before);
      state.candidate.push_back(after->second);
      state.log_ratios.push_back(std::log(after->second / before));
    }
    std::size_t more = 0;
    for (const auto& [name, after] : candidate.microseconds) more += baseline.microseconds.count(name) == 0 ? 1 : 0;
    result_.gate.added = std::max(result_.gate.added, more);
  }

  bool judge(int stage) {
    if (stage == 1) {
      case_count_ = cases_.size();
      for (auto& [name, state] : cases_) result_.first_pairs[name] = state.log_ratios;
    }
    const double alpha = (1 - rule_.confidence) / static_cast<double>(std::max<std::size_t>(case_count_, 1));
    bool more = false;
    for (auto& [name, state] : cases_) {
      if (state.decided || state.log_ratios.empty()) continue;
      judge_case(name, state, alpha);
      more = more || !state.decided;
    }
    return more;
  }

  void judge_case(const std::string& name, CaseState& state, double alpha) {
    const auto scatter = known_.find(name);
    reports::Comparison& comparison = state.comparison;
    comparison.name = name;
    comparison.baseline_us = reports::quantile(reports::ascending(state.baseline), 0.5);
    comparison.candidate_us = reports::quantile(reports::ascending(state.candidate), 0.5);
    const double sum = std::accumulate(state.log_ratios.begin(), state.log_ratios.end(), 0.0);
    comparison.ratio = std::exp(sum / static_cast<double>(state.log_ratios.size()));
    comparison.interval =
        paired_interval(state.log_ratios, scatter == known_.end() ? PairScatter{} : scatter->second, alpha);
    comparison.change = classify_paired(comparison.interval, rule_.min_effect);
    const bool change = comparison.change == Change::slower || comparison.change == Change::faster;
    state.decided = comparison.change == Change::same || (change && state.suspected == comparison.change);
    state.suspected = change ? std::optional(comparison.change) : std::nullopt;
  }

  const RunProcess& run_;
  const InterleavedRule& rule_;
  const std::map<std::string, PairScatter>& known_;
  std::map<std::string, CaseState> cases_;
  std::map<std::string, std::string> missing_;
  std::optional<reports::Environment> machine_;
  std::size_t case_count_ = 0;
  InterleavedResult result_;
};

}  // namespace

InterleavedResult run_interleaved(const RunProcess& run, const InterleavedRule& rule,
                                  const std::map<std::string, PairScatter>& known) {
  return Protocol(run, rule, known).result();
}

}  // namespace normquant::gate
