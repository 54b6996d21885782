#include "bench/gate/interleaved.hpp"

#include <fmt/format.h>

#include <cmath>
#include <numeric>
#include <set>

namespace normquant::gate {
namespace {

/// What is known of one case while the stages go on.
struct CaseState {
  std::vector<double> baseline, candidate, log_ratios;  ///< a pair at the same place
  bool decided = false;
  reports::Comparison comparison;
};

class Protocol {
 public:
  Protocol(const RunProcess& run, const InterleavedRule& rule, const std::vector<ObservedScatter>& history,
           const std::function<double()>& now)
      : run_(run), rule_(rule), history_(history), now_(now), start_(now ? now() : 0) {}

  InterleavedResult result() {
    for (int stage = 1; stage <= rule_.stages && run_stage(stage); ++stage) {
    }
    if (!result_.failure.empty() || !result_.gate.refusal.empty()) return std::move(result_);
    for (auto& [name, state] : cases_) {
      if (!state.decided) state.comparison.advice = advice_for(name, state);
      result_.gate.comparisons.push_back(state.comparison);
      result_.observed.push_back(observed_of(state));
    }
    for (const auto& [name, reason] : missing_) {
      result_.gate.missing.push_back(reason.empty() ? name : fmt::format("{} ({})", name, reason));
    }
    if (result_.gate.comparisons.empty()) result_.gate.refusal = "no case was timed by both programs";
    reports::sort_by_importance(result_.gate);
    return std::move(result_);
  }

 private:
  double seconds() const { return now_ ? now_() - start_ : 0; }

  /// Whether another stage is needed and possible.
  bool run_stage(int stage) {
    std::vector<std::string> pending;
    for (auto& [name, state] : cases_) {
      if (!state.decided) pending.push_back(name);
    }
    const int blocks = stage == 1 ? rule_.blocks : rule_.blocks << (stage - 2);
    const double began = seconds();
    int ran = 0;
    for (; ran < blocks && !(result_.out_of_time = rule_.seconds > 0 && seconds() > rule_.seconds); ++ran) {
      if (!run_block(pending, stage == 1)) return false;
    }
    if (ran > 0) seconds_per_pair_ = (seconds() - began) / (2 * ran);
    return judge(stage) && !result_.out_of_time;
  }

  /// A B B A. False when a process failed, or ran on another machine.
  bool run_block(const std::vector<std::string>& pending, bool all) {
    std::optional<ProcessResult> first[2], second[2];  // by side
    const auto go = [&](Side side, std::optional<ProcessResult>* turn) {
      return run_one(side, pending, turn[side == Side::candidate ? 1 : 0]);
    };
    const bool ran = go(Side::baseline, first) && go(Side::candidate, first) && go(Side::candidate, second) &&
                     go(Side::baseline, second);
    if (!ran) return false;
    add_pair(*first[0], *first[1], all);
    add_pair(*second[0], *second[1], all);
    return true;
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

  ObservedScatter observed_of(const CaseState& state) const {
    return {reports::quantile(reports::ascending(state.baseline), 0.5), scatter_of(state.log_ratios)};
  }

  bool judge(int stage) {
    if (stage == 1) {
      for (auto& [name, state] : cases_) result_.first_pairs[name] = state.log_ratios;
    }
    alpha_ = (1 - rule_.confidence) / static_cast<double>(std::max<std::size_t>(cases_.size(), 1)) / rule_.stages;
    std::vector<ObservedScatter> observed = history_;
    for (const auto& [name, state] : cases_) observed.push_back(observed_of(state));
    prior_.emplace(observed);
    bool more = false;
    for (auto& [name, state] : cases_) {
      if (state.decided || state.log_ratios.empty()) continue;
      judge_case(name, state);
      more = more || !state.decided;
    }
    return more;
  }

  void judge_case(const std::string& name, CaseState& state) {
    reports::Comparison& comparison = state.comparison;
    comparison.name = name;
    comparison.baseline_us = reports::quantile(reports::ascending(state.baseline), 0.5);
    comparison.candidate_us = reports::quantile(reports::ascending(state.candidate), 0.5);
    const double sum = std::accumulate(state.log_ratios.begin(), state.log_ratios.end(), 0.0);
    comparison.ratio = std::exp(sum / static_cast<double>(state.log_ratios.size()));
    comparison.interval = paired_interval(state.log_ratios, prior_->at(comparison.baseline_us), alpha_);
    comparison.change =
        classify_pairs(comparison.interval, order_interval(state.log_ratios, alpha_), rule_.effect_of(name));
    state.decided = comparison.change != Change::inconclusive;
  }

  /// What would decide it, if it goes on as it began.
  std::string advice_for(const std::string& name, const CaseState& state) const {
    const double wanted =
        pairs_that_decide(state.log_ratios, prior_->at(state.comparison.baseline_us), alpha_, rule_.effect_of(name));
    const auto has = static_cast<double>(state.log_ratios.size());
    std::string text = fmt::format("{} pairs do not decide it", has);
    if (!(wanted > 0)) return text;
    text += fmt::format("; about {:.0f} would", std::max(wanted, 2 * has));
    const double more = (std::max(wanted, 2 * has) - has) * seconds_per_pair_;
    if (more > 0) text += fmt::format(", {:.0f} s more", std::max(1.0, more));
    return text + (result_.out_of_time ? " (--seconds)" : fmt::format(" (--stages {})", rule_.stages + 1));
  }

  const RunProcess& run_;
  const InterleavedRule& rule_;
  const std::vector<ObservedScatter>& history_;
  const std::function<double()>& now_;
  double start_;
  std::map<std::string, CaseState> cases_;
  std::map<std::string, std::string> missing_;
  std::optional<reports::Environment> machine_;
  std::optional<ScatterPrior> prior_;  ///< of the last stage
  double alpha_ = 0, seconds_per_pair_ = 0;
  InterleavedResult result_;
};

}  // namespace

InterleavedResult run_interleaved(const RunProcess& run, const InterleavedRule& rule,
                                  const std::vector<ObservedScatter>& history, const std::function<double()>& now) {
  return Protocol(run, rule, history, now).result();
}

}  // namespace normquant::gate
