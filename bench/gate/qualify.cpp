#include "bench/gate/qualify.hpp"

#include <algorithm>

namespace normquant::gate {
namespace {

constexpr int learning_blocks = 4;

class Qualifying {
 public:
  Qualifying(const QualifyWorld& world, const QualifyPlan& plan, const InterleavedRule& rule)
      : world_(world), plan_(plan), start_(world.now()) {
    q_.rule = rule;
    for (double slowdown : plan.slowdowns) q_.detections.push_back({slowdown, 0, 0, 0});
  }

  void go_on_with(const Qualification& before) {
    q_ = before;
    seconds_before_ = before.seconds;
    int trials = 0;
    for (const Detection& detection : q_.detections) trials += detection.trials;
    for (const auto& [name, ratios] : q_.pairs) names_.push_back(name);
    if (!names_.empty()) slowed_done_ = trials / static_cast<int>(names_.size());
  }

  Qualification result(std::string& failure) {
    const int total = plan_.same_runs + plan_.slowed_runs;
    if (names_.empty() && !learn()) {
      failure = failure_;
      return std::move(q_);
    }
    for (int run = q_.false_alarms.runs + slowed_done_; run < total && !over() && failure_.empty(); ++run) {
      world_.progress(run, total);
      // Evenly spread among the others.
      const bool slowed = (run + 1L) * plan_.slowed_runs / total > static_cast<long>(run) * plan_.slowed_runs / total;
      const bool go_on = slowed ? slowed_run() : same_run();
      if (!go_on) break;
      q_.seconds = seconds_before_ + world_.now() - start_;
      world_.keep(q_);
    }
    failure = failure_;
    return std::move(q_);
  }

 private:
  bool over() const { return plan_.seconds > 0 && world_.now() - start_ > plan_.seconds; }

  /// False when it failed.
  bool take(const InterleavedResult& result) {
    q_.processes += result.processes;
    failure_ = !result.failure.empty() ? result.failure : result.gate.refusal;
    if (failure_.empty() && !result.gate.missing.empty()) failure_ = "no time of " + result.gate.missing.front();
    return failure_.empty();
  }

  bool learn() {
    world_.slow_candidate({});
    InterleavedRule rule = q_.rule;
    rule.blocks = learning_blocks;
    rule.stages = 1;
    RunProcess run = [this](Side side, const std::vector<std::string>& cases) {
      ProcessResult result = world_.run(side, cases);
      if (result.machine && q_.machine.gpu.empty()) q_.machine = *result.machine;
      return result;
    };
    const InterleavedResult result = run_interleaved(run, rule, {});
    if (!take(result)) return false;
    q_.pairs = result.first_pairs;
    for (const reports::Comparison& one : result.gate.comparisons) q_.microseconds[one.name] = one.baseline_us;
    for (const auto& [name, ratios] : q_.pairs) names_.push_back(name);
    return true;
  }

  std::vector<ObservedScatter> history() const {
    std::vector<ObservedScatter> all;
    for (const auto& [name, observed] : q_.scatter()) all.push_back(observed);
    return all;
  }

  bool same_run() {
    world_.slow_candidate({});
    const InterleavedResult result = run_interleaved(world_.run, q_.rule, history());
    if (!take(result)) return false;
    ++q_.false_alarms.runs;
    bool alarm = false;
    for (const reports::Comparison& comparison : result.gate.comparisons) {
      ++q_.false_alarms.cases;
      if (comparison.change == Change::inconclusive) ++q_.false_alarms.inconclusive;
      alarm = alarm || comparison.change == Change::slower || comparison.change == Change::faster;
    }
    if (alarm) ++q_.false_alarms.alarms;
    for (const auto& [name, ratios] : result.first_pairs) {
      auto& pairs = q_.pairs[name];
      pairs.insert(pairs.end(), ratios.begin(), ratios.end());
    }
    return true;
  }

  bool slowed_run() {
    std::map<std::string, double> shares;
    std::map<std::string, std::size_t> level;
    const std::size_t levels = plan_.slowdowns.size();
    for (std::size_t i = 0; i < names_.size(); ++i) {
      level[names_[i]] = (i + static_cast<std::size_t>(slowed_done_)) % levels;
      shares[names_[i]] = plan_.slowdowns[level[names_[i]]];
    }
    world_.slow_candidate(shares);
    const InterleavedResult result = run_interleaved(world_.run, q_.rule, history());
    world_.slow_candidate({});
    if (!take(result)) return false;
    ++slowed_done_;
    for (const reports::Comparison& comparison : result.gate.comparisons) {
      Detection& detection = q_.detections[level.at(comparison.name)];
      ++detection.trials;
      if (comparison.change == Change::slower) ++detection.caught;
      detection.ratio_sum += comparison.ratio;
    }
    return true;
  }

  const QualifyWorld& world_;
  const QualifyPlan& plan_;
  double start_, seconds_before_ = 0;
  Qualification q_;
  std::vector<std::string> names_;
  std::string failure_;
  int slowed_done_ = 0;
};

}  // namespace

Qualification qualify(const QualifyWorld& world, const QualifyPlan& plan, const InterleavedRule& rule,
                      const std::optional<Qualification>& before, std::string& failure) {
  Qualifying qualifying(world, plan, rule);
  if (before) qualifying.go_on_with(*before);
  return qualifying.result(failure);
}

}  // namespace normquant::gate
