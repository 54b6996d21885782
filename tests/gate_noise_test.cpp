// How often the gate is wrong, on invented machines of every kind of noise: drifting, of two modes, with heavy tails, correlated.
// What a real GPU shows is measured by `normquant gate --qualify`.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "bench/gate/interleaved.hpp"

namespace normquant::gate {
namespace {

constexpr int case_count = 40;

/// The noise of one process, as log-ratios: one that all its cases share, and one of each case.
struct Noise {
  const char* name;
  std::function<double(std::mt19937&, int process)> shared;
  std::function<double(std::mt19937&, double deviation)> own;
  double least_same = 0.99, least_2 = 0.95, least_3 = 0.99;  ///< shares of the cases
};

double normal(std::mt19937& random, double deviation) { return std::normal_distribution<double>(0, deviation)(random); }
double none(std::mt19937&, int) { return 0; }

/// Standard deviations of cases as those of an H200: 0.06% to 0.25% (docs/gate.md), and one of 0.5%.
double deviation_of(int i) { return i == 0 ? 0.005 : 0.0006 + 0.0019 * i / case_count; }

std::vector<Noise> kinds() {
  return {
      {"normal", none, normal},
      {"drifting", [](std::mt19937&, int process) { return 0.0005 * process; }, normal},
      {"two modes", none,
       [](std::mt19937& random, double deviation) {
         return normal(random, deviation) + (std::bernoulli_distribution(0.5)(random) ? 8 * deviation : 0);
       },
       // Modes up to 4% apart: 2% lie 0.5% above the limit, which takes more pairs than the 64 of five stages.
       0.98, 0.45, 0.95},
      {"heavy tails", none,
       [](std::mt19937& random, double deviation) {
         return 0.7 * deviation * std::student_t_distribution<double>(2)(random);
       }},
      {"correlated",
       [state = 0.0](std::mt19937& random, int) mutable { return state = 0.9 * state + normal(random, 0.001); },
       normal},
  };
}

/// One run of the gate: case i of the candidate is slower by `slower` of it.
InterleavedResult gate_run(const Noise& noise, std::mt19937& random, const std::function<double(int)>& slower,
                           const std::vector<ObservedScatter>& history, InterleavedRule rule = {}) {
  int process = 0;
  const RunProcess run = [&](Side side, const std::vector<std::string>& cases) {
    ProcessResult result;
    result.machine.emplace();
    result.machine->gpu = "NVIDIA Invented";
    const double shared = noise.shared(random, process++);
    for (int i = 0; i < case_count; ++i) {
      const std::string name = "case " + std::to_string(i);
      if (!cases.empty() && std::find(cases.begin(), cases.end(), name) == cases.end()) continue;
      const double time = 2 * std::pow(1.15, i), more = side == Side::candidate ? 1 + slower(i) : 1;
      result.microseconds[name] = time * more * std::exp(shared + noise.own(random, deviation_of(i)));
    }
    return result;
  };
  return run_interleaved(run, rule, history);
}

struct Tally {
  int cases = 0, slower = 0, faster = 0, same = 0, processes = 0, alarms = 0;
};

Tally tally(const Noise& noise, int runs, double slowdown, std::uint32_t seed) {
  Tally all;
  std::mt19937 random(seed);
  std::vector<ObservedScatter> history;
  for (int i = 0; i < runs; ++i) {
    const auto result = gate_run(
        noise, random, [slowdown](int) { return slowdown; }, history);
    if (history.size() < 400) history.insert(history.end(), result.observed.begin(), result.observed.end());
    all.processes += result.processes;
    bool alarm = false;
    for (const auto& comparison : result.gate.comparisons) {
      ++all.cases;
      all.slower += comparison.change == Change::slower ? 1 : 0;
      all.faster += comparison.change == Change::faster ? 1 : 0;
      all.same += comparison.change == Change::same ? 1 : 0;
      alarm = alarm || comparison.change == Change::slower || comparison.change == Change::faster;
    }
    all.alarms += alarm ? 1 : 0;
  }
  return all;
}

TEST(GateNoise, EqualProgramsAreSameWhateverTheNoise) {
  for (const Noise& noise : kinds()) {
    const Tally found = tally(noise, 100, 0, 7);
    EXPECT_EQ(found.alarms, 0) << noise.name;
    EXPECT_GE(found.same, noise.least_same * found.cases) << noise.name;
  }
}

TEST(GateNoise, QuietMachinesAreDecidedByTheFirstStages) {
  constexpr int runs = 30;
  EXPECT_LE(tally(kinds().front(), runs, 0, 17).processes / runs, 20);
}

TEST(GateNoise, WhatIsSlowerIsCaughtWhateverTheNoise) {
  for (const Noise& noise : kinds()) {
    const Tally two = tally(noise, 12, 0.02, 11), three = tally(noise, 12, 0.03, 13);
    EXPECT_GE(two.slower, noise.least_2 * two.cases) << noise.name;
    EXPECT_GE(three.slower, noise.least_3 * three.cases) << noise.name;
    EXPECT_EQ(three.same, 0) << noise.name;
    EXPECT_EQ(two.faster + three.faster, 0) << noise.name;
  }
}

TEST(ScatterPrior, CasesThatAgreeGiveManyDegreesOfFreedomAndOthersFew) {
  std::mt19937 random(3);
  const auto sample = [&](double variance) {
    return PairScatter{std::gamma_distribution<double>(2, variance / 2)(random), 4};  // chi-square of 4 degrees, over 4
  };
  std::vector<ObservedScatter> alike, unlike;
  for (int i = 0; i < 100; ++i) {
    alike.push_back({10.0 + 0.1 * i, sample(4e-6)});
    unlike.push_back({10.0 + 0.1 * i, sample(i % 2 == 0 ? 4e-8 : 4e-4)});
  }
  const PairScatter prior = ScatterPrior(alike).at(12);
  EXPECT_NEAR(prior.variance, 4e-6, 1.2e-6);
  EXPECT_GT(prior.degrees, 15);
  EXPECT_LT(ScatterPrior(unlike).at(12).degrees, 2);
}

TEST(ScatterPrior, KnowsTheTimeScale) {
  std::vector<ObservedScatter> observed;
  for (int i = 0; i < 30; ++i) {
    observed.push_back({2.0 + 0.01 * i, {1e-5, 6}});
    observed.push_back({200.0 + i, {1e-7, 6}});
  }
  const ScatterPrior prior(observed);
  // exp(ln 3 - digamma(3)) = 1.19: the logarithm of a sample variance lies below that of the true one in the mean.
  EXPECT_NEAR(prior.at(2).variance, 1.19e-5, 1e-7);
  EXPECT_NEAR(prior.at(200).variance, 1.19e-7, 1e-8);
}

TEST(ScatterPrior, NothingIsKnownFromNothing) {
  using Observed = std::vector<ObservedScatter>;
  EXPECT_EQ(ScatterPrior(Observed{}).at(10).degrees, 0);
  EXPECT_EQ(ScatterPrior(Observed{{10, {}}, {0, {1e-6, 3}}}).at(10).degrees, 0);
  EXPECT_EQ(ScatterPrior(Observed{{10, {1e-6, 7}}}).at(1e9).degrees, 0) << "a case far away";
  EXPECT_LE(ScatterPrior(Observed{{10, {1e-6, 7}}}).at(10).degrees, 1) << "one case does not say how cases differ";
}

}  // namespace
}  // namespace normquant::gate
