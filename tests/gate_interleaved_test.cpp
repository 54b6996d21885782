// The protocol of the gate with invented processes: order, stages, verdicts, refusals; and qualification of it.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "bench/gate/qualify.hpp"
#include "exit_status.hpp"

namespace normquant::gate {
namespace {

/// A GPU on which every process is off by a normal deviation, and which may warm up steadily.
struct InventedGpu {
  double deviation = 0.002;
  double drift = 0;  ///< every process takes so much longer than the one before
  std::map<std::string, double> factor = {{"a", 1.0}, {"b", 1.0}, {"c", 1.0}};  ///< of the candidate
  std::string order;
  std::vector<std::size_t> cases_run;
  std::mt19937 generator{1};

  ProcessResult run(Side side, const std::vector<std::string>& cases) {
    order += side == Side::baseline ? 'A' : 'B';
    ProcessResult result;
    result.machine.emplace();
    result.machine->gpu = "NVIDIA Invented";
    std::normal_distribution<double> normal(0, deviation);
    for (const auto& [name, slower] : factor) {
      if (!cases.empty() && std::find(cases.begin(), cases.end(), name) == cases.end()) continue;
      const double drifted = 1 + drift * static_cast<double>(order.size());
      result.microseconds[name] = 20 * drifted * std::exp(normal(generator)) * (side == Side::candidate ? slower : 1);
    }
    cases_run.push_back(result.microseconds.size());
    return result;
  }
  RunProcess process() {
    return [this](Side side, const std::vector<std::string>& cases) { return run(side, cases); };
  }
};

Change change_of(const InterleavedResult& result, const std::string& name) {
  for (const auto& comparison : result.gate.comparisons) {
    if (comparison.name == name) return comparison.change;
  }
  ADD_FAILURE() << "no case " << name;
  return Change::inconclusive;
}

InterleavedRule rule(int blocks, int stages = 3) {
  InterleavedRule rule;
  rule.blocks = blocks;
  rule.stages = stages;
  return rule;
}

TEST(Interleaved, BlocksAreABBA) {
  InventedGpu gpu;
  const auto result = run_interleaved(gpu.process(), rule(4), {});
  EXPECT_EQ(gpu.order, "ABBAABBAABBAABBA");
  EXPECT_EQ(result.processes, 16);
  EXPECT_EQ(gate_status(result.gate), exit_pass);
  EXPECT_EQ(result.first_pairs.at("a").size(), 8U);
}

TEST(Interleaved, AChangeTakesPairsEnoughForItsOrderAndIsThenRunAlone) {
  InventedGpu gpu;
  gpu.factor["b"] = 1.05;
  const auto result = run_interleaved(gpu.process(), rule(4), {});
  EXPECT_EQ(change_of(result, "b"), Change::slower);
  EXPECT_EQ(change_of(result, "a"), Change::same);
  EXPECT_EQ(gpu.cases_run.front(), 3U);
  EXPECT_EQ(gpu.cases_run.back(), 1U) << "fresh processes run the suspect only";
  EXPECT_EQ(result.processes, 32);
  EXPECT_EQ(gate_status(result.gate), exit_regression);
  EXPECT_NEAR(result.gate.comparisons.front().ratio, 1.05, 0.01);
}

TEST(Interleaved, AChangeThatGoesAwayIsNoRegression) {
  InventedGpu gpu;
  int processes = 0;
  const RunProcess run = [&](Side side, const std::vector<std::string>& cases) {
    gpu.factor["b"] = ++processes <= 16 ? 1.05 : 1.0;  // slow in the first stage only
    return gpu.run(side, cases);
  };
  const auto result = run_interleaved(run, rule(4), {});
  EXPECT_EQ(change_of(result, "b"), Change::inconclusive);
  EXPECT_EQ(change_of(result, "a"), Change::same);
}

TEST(Interleaved, FasterIsFoundToo) {
  InventedGpu gpu;
  gpu.factor["c"] = 0.9;
  const auto result = run_interleaved(gpu.process(), rule(4), {});
  EXPECT_EQ(change_of(result, "c"), Change::faster);
  EXPECT_EQ(gate_status(result.gate), exit_pass);
}

TEST(Interleaved, AnEvenDriftIsNoChange) {
  InventedGpu gpu;
  gpu.deviation = 0.0002;
  gpu.drift = 0.002;
  EXPECT_EQ(gate_status(run_interleaved(gpu.process(), rule(4), {}).gate), exit_pass);
}

TEST(Interleaved, TooMuchScatterIsInconclusive) {
  InventedGpu gpu;
  gpu.deviation = 0.05;
  EXPECT_EQ(gate_status(run_interleaved(gpu.process(), rule(2), {}).gate), exit_inconclusive);
}

TEST(Interleaved, OneBlockWillDoWhereCasesOfLikeLengthAreKnown) {
  InventedGpu gpu;
  std::vector<ObservedScatter> known;
  for (int i = 0; i < 20; ++i) known.push_back({20.0 + i, {8e-6, 10}});
  EXPECT_EQ(run_interleaved(gpu.process(), rule(1), known).processes, 4);
  EXPECT_GT(run_interleaved(gpu.process(), rule(1), {}).processes, 4) << "two pairs alone decide little";
}

TEST(Interleaved, ATimeThatIsSpentEndsItAndTheAdviceSaysWhatItTakes) {
  InventedGpu gpu;
  gpu.deviation = 0.02;
  double seconds = 0;
  InterleavedRule short_rule = rule(2, 5);
  short_rule.seconds = 30;
  const auto result = run_interleaved(gpu.process(), short_rule, {}, [&] { return seconds += 5; });
  EXPECT_TRUE(result.out_of_time);
  EXPECT_LT(result.processes, 30);
  ASSERT_EQ(change_of(result, "a"), Change::inconclusive);
  EXPECT_NE(result.gate.comparisons.front().advice.find("(--seconds)"), std::string::npos)
      << result.gate.comparisons.front().advice;
}

TEST(Interleaved, AnEffectOfItsOwnHoldsACaseTighter) {
  InventedGpu gpu;
  gpu.deviation = 0.0005;
  gpu.factor = {{"hot", 1.012}, {"rare", 1.012}};
  InterleavedRule own = rule(4, 4);
  own.special = {{"h*", 0.01}};
  const auto result = run_interleaved(gpu.process(), own, {});
  EXPECT_EQ(change_of(result, "hot"), Change::slower);
  EXPECT_EQ(change_of(result, "rare"), Change::same);
  own.floor = 0.03;
  EXPECT_EQ(change_of(run_interleaved(gpu.process(), own, {}), "hot"), Change::same) << "the machine's floor";
}

TEST(Interleaved, OtherMachinesAndTheCpuAreRefused) {
  InventedGpu gpu;
  int processes = 0;
  const RunProcess moved = [&](Side side, const std::vector<std::string>& cases) {
    ProcessResult result = gpu.run(side, cases);
    result.machine->driver = ++processes < 3 ? "1" : "2";
    return result;
  };
  const auto refused = run_interleaved(moved, rule(4), {});
  EXPECT_NE(refused.gate.refusal.find("drivers differ"), std::string::npos) << refused.gate.refusal;
  EXPECT_EQ(gate_status(refused.gate), exit_usage);
  const RunProcess cpu = [&](Side side, const std::vector<std::string>& cases) {
    ProcessResult result = gpu.run(side, cases);
    result.machine->gpu.clear();
    return result;
  };
  EXPECT_NE(run_interleaved(cpu, rule(4), {}).gate.refusal.find("CPU"), std::string::npos);
}

TEST(Interleaved, AFailedProcessEndsItWithASentence) {
  const RunProcess run = [](Side side, const std::vector<std::string>&) {
    ProcessResult result;
    if (side == Side::candidate) result.failure = "status 5: out of memory";
    return result;
  };
  EXPECT_EQ(run_interleaved(run, rule(4), {}).failure, "a process of the candidate failed: status 5: out of memory");
}

TEST(Interleaved, WrongResultsAreNeitherPassedNorForgotten) {
  InventedGpu gpu;
  const RunProcess run = [&](Side side, const std::vector<std::string>& cases) {
    ProcessResult result = gpu.run(side, cases);
    if (side == Side::candidate && result.microseconds.erase("b") > 0) result.untimed["b"] = "wrong: codes differ";
    return result;
  };
  const auto result = run_interleaved(run, rule(4), {});
  EXPECT_TRUE(result.wrong);
  ASSERT_EQ(result.gate.missing.size(), 1U);
  EXPECT_EQ(result.gate.missing[0], "b (wrong: codes differ)");
  EXPECT_EQ(gate_status(result.gate), exit_inconclusive);
}

/// Qualifies on an invented GPU; `kept` counts how often it was stored.
Qualification qualified(InventedGpu& gpu, const QualifyPlan& plan, int& kept, std::string& failure, double step = 0,
                        const std::optional<Qualification>& before = {}) {
  const auto equal = gpu.factor;
  double seconds = 0;
  QualifyWorld world;
  world.run = gpu.process();
  world.slow_candidate = [&](const std::map<std::string, double>& shares) {
    gpu.factor = equal;
    for (const auto& [name, share] : shares) gpu.factor[name] *= 1 + share;
  };
  world.now = [&] { return seconds += step; };
  world.keep = [&](const Qualification&) { ++kept; };
  world.progress = [](int, int) {};
  return qualify(world, plan, rule(2), before, failure);
}

TEST(Qualify, CountsFalseAlarmsAndCatches) {
  InventedGpu gpu;
  int kept = 0;
  std::string failure;
  const Qualification q = qualified(gpu, {60, 40, {0.02, 0.03, 0.05, 0.10}, 0}, kept, failure);
  EXPECT_EQ(failure, "");
  EXPECT_EQ(kept, 100);
  EXPECT_EQ(q.false_alarms.runs, 60);
  EXPECT_EQ(q.false_alarms.alarms, 0);
  EXPECT_EQ(q.false_alarms.cases, 180);
  ASSERT_EQ(q.detections.size(), 4U);
  int trials = 0;
  for (const Detection& detection : q.detections) trials += detection.trials;
  EXPECT_EQ(trials, 120) << "three cases in each slowed run";
  EXPECT_EQ(q.detections[2].caught, q.detections[2].trials) << "5%";
  EXPECT_GE(q.detections[1].caught, 0.9 * q.detections[1].trials) << "3%";
  EXPECT_NEAR(q.detections[3].ratio_sum / q.detections[3].trials, 1.10, 0.002);
  EXPECT_EQ(q.pairs.at("a").size(), 2U * (4 + 60 * 2));
  // Estimates are means of 4 pairs, each pair off by 0.2% * sqrt(2): 0.14%; 95% stay below 0.28%, twice that is the floor.
  ASSERT_TRUE(q.floor());
  EXPECT_NEAR(*q.floor(), 0.0055, 0.0012);
}

TEST(Qualify, EndsWhenTimeIsOverAndSaysHowFarItCame) {
  InventedGpu gpu;
  int kept = 0;
  std::string failure;
  const Qualification q = qualified(gpu, {60, 0, {}, 10}, kept, failure, 1.0);
  EXPECT_GT(q.false_alarms.runs, 2);
  EXPECT_LT(q.false_alarms.runs, 11);
  EXPECT_EQ(kept, q.false_alarms.runs);
}

TEST(Qualify, GoesOnWithEarlierRuns) {
  InventedGpu gpu;
  int kept = 0;
  std::string failure;
  const QualifyPlan plan{12, 6, {0.03, 0.05}, 0};
  const Qualification first = qualified(gpu, {6, 3, {0.03, 0.05}, 0}, kept, failure);
  gpu.order.clear();
  const Qualification both = qualified(gpu, plan, kept, failure, 0, first);
  EXPECT_EQ(both.false_alarms.runs, 12);
  EXPECT_EQ(both.detections[0].trials + both.detections[1].trials, 6 * 3);
  EXPECT_EQ(both.pairs.at("a").size(), 2U * (4 + 12 * 2));
  EXPECT_EQ(both.processes, first.processes + static_cast<int>(gpu.order.size()));
}

TEST(Qualify, AScatteringMachineHasAHigherFloor) {
  InventedGpu gpu;
  gpu.deviation = 0.02;
  int kept = 0;
  std::string failure;
  const Qualification q = qualified(gpu, {30, 0, {}, 0}, kept, failure);
  EXPECT_GT(q.floor().value_or(0), 0.03);
}

TEST(Qualification, IsReadBackAsWritten) {
  InventedGpu gpu;
  int kept = 0;
  std::string failure, why;
  Qualification q = qualified(gpu, {12, 4, {0.03, 0.05}, 0}, kept, failure);
  q.sweep = "gate";
  const auto read = parse_qualification(qualification_json(q), why);
  ASSERT_TRUE(read) << why;
  EXPECT_EQ(qualification_text(*read), qualification_text(q));
  EXPECT_EQ(qualification_line(*read), qualification_line(q));
  EXPECT_EQ(read->machine.gpu, "NVIDIA Invented");
}

TEST(Qualification, ForeignAndCutOffTextIsRefused) {
  InventedGpu gpu;
  int kept = 0;
  std::string failure;
  const std::string whole = qualification_json(qualified(gpu, {3, 0, {}, 0}, kept, failure));
  for (const std::string& text : {std::string(), std::string("hello"), std::string("{}"), std::string("[1]"),
                                  whole.substr(0, whole.size() / 2), std::string(R"({"kind":"environment"})")}) {
    std::string why;
    EXPECT_FALSE(parse_qualification(text, why)) << text;
    EXPECT_FALSE(why.empty());
  }
}

TEST(MachineName, IsAFileName) {
  reports::Environment machine;
  machine.gpu = "NVIDIA H100 80GB HBM3";
  machine.driver = "580.159.04";
  EXPECT_EQ(machine_name(machine), "nvidia_h100_80gb_hbm3_580.159.04");
}

}  // namespace
}  // namespace normquant::gate
