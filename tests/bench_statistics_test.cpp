// Statistics, and the stopping rule on invented samples with known answers. No device.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "bench/clock_check.hpp"
#include "bench/rotation.hpp"
#include "bench/self_test.hpp"
#include "bench/statistics.hpp"
#include "bench/timer.hpp"
#include "tests/invented_samples.hpp"

namespace normquant::bench {
namespace {

TEST(Quantile, KnownValues) {
  const std::vector<double> samples = {1, 2, 3, 4};
  EXPECT_EQ(quantile(samples, 0), 1);
  EXPECT_EQ(quantile(samples, 1), 4);
  EXPECT_EQ(quantile(samples, 0.5), 2.5);
  EXPECT_EQ(quantile(samples, 0.25), 1.75);
  EXPECT_TRUE(std::isnan(quantile({}, 0.5)));
}

TEST(Summary, KnownSamples) {
  const Summary summary = summarise(std::vector<double>{5, 1, 4, 2, 3});
  EXPECT_EQ(summary.count, 5U);
  EXPECT_EQ(summary.median, 3);
  EXPECT_EQ(summary.q1, 2);
  EXPECT_EQ(summary.q3, 4);
  EXPECT_EQ(summary.minimum, 1);
  EXPECT_EQ(summary.maximum, 5);
  EXPECT_DOUBLE_EQ(summary.spread(), 2.0 / 3);
}

TEST(Summary, EmptyAndSingleSamplesClaimNoPrecision) {
  EXPECT_EQ(summarise({}).count, 0U);
  EXPECT_TRUE(std::isnan(summarise({}).median));
  EXPECT_TRUE(std::isinf(summarise(std::vector<double>{1}).relative_error));
  EXPECT_TRUE(std::isinf(summarise(one_to(3)).relative_error));
}

TEST(Summary, RelativeErrorOfEvenlySpacedSamples) {
  // 100 samples: middle 49.5, reach 10, ranks 39 and 60 (from 0), values 40 and 61, median 50.5.
  EXPECT_DOUBLE_EQ(summarise(one_to(100)).relative_error, 5.25 / 50.5);
}

TEST(Summary, RelativeErrorAgreesWithTheoryForNormalSamples) {
  // The median of n normal samples has the standard error 1.2533 sigma / sqrt(n). Averaged over many draws the estimate
  // from ranks is within 15% of it (it rounds its ranks outwards).
  double sum = 0;
  constexpr int draws = 200, n = 400;
  for (unsigned draw = 0; draw < draws; ++draw) sum += summarise(normal_samples(n, 100, 0.02, draw)).relative_error;
  EXPECT_NEAR(sum / draws, 1.2533 * 0.02 / std::sqrt(n), 0.15 * 1.2533 * 0.02 / std::sqrt(n));
}

TEST(Summary, OneInterruptionMovesNeitherMedianNorError) {
  std::vector<double> samples = normal_samples(50, 100, 0.001);
  const Summary before = summarise(samples);
  samples[10] = 1e6;
  const Summary after = summarise(samples);
  EXPECT_NEAR(after.median, before.median, 0.1);
  EXPECT_LT(after.relative_error, 0.001);
}

TEST(Decide, StopsWhenPrecise) { EXPECT_EQ(decide(normal_samples(20, 100, 0.001), 0.01, {}), Stop::precise); }

TEST(Decide, ConstantSamplesNeedTheMinimumAllTheSame) {
  EXPECT_EQ(decide(std::vector<double>(19, 7.0), 0.01, {}), Stop::keep_going);
  EXPECT_EQ(decide(std::vector<double>(20, 7.0), 0.01, {}), Stop::precise);
}

TEST(Decide, NoSamplesNeverStop) { EXPECT_EQ(decide({}, 100, {}), Stop::keep_going); }

TEST(Decide, NoisySamplesRunIntoTheCaps) {
  const std::vector<double> noisy = normal_samples(200, 100, 0.3);
  EXPECT_EQ(decide(noisy, 0.01, {}), Stop::sample_cap);
  const std::span<const double> some(noisy.data(), 60);
  EXPECT_EQ(decide(some, 0.01, {}), Stop::keep_going);
  EXPECT_EQ(decide(some, 0.31, {}), Stop::time_cap);
}

TEST(Decide, TimeCapHoldsBelowTheMinimum) { EXPECT_EQ(decide(std::vector<double>{1, 1}, 0.31, {}), Stop::time_cap); }

TEST(Decide, HeavyTailsStopLaterButStop) {
  // Log-normal: a mean would be dragged along by the tail; the median converges.
  std::mt19937 generator(3);
  std::lognormal_distribution<double> tail(0, 0.05);
  std::vector<double> samples;
  SamplingRule rule;
  rule.maximum = 2000;
  Stop stop = Stop::keep_going;
  while (stop == Stop::keep_going) {
    samples.push_back(100 * tail(generator));
    stop = decide(samples, 0, rule);
  }
  EXPECT_EQ(stop, Stop::precise);
  EXPECT_GT(samples.size(), 20U);
  EXPECT_NEAR(summarise(samples).median, 100, 3);
}

TEST(Decide, DriftingSamplesAreNeverPrecise) {
  // A slow rise of 10% with hardly any scatter.
  std::vector<double> samples(100);
  for (std::size_t i = 0; i < samples.size(); ++i) samples[i] = 100 + 0.1 * static_cast<double>(i);
  EXPECT_TRUE(drifting(summarise(samples), {}));
  EXPECT_EQ(decide(samples, 0.01, {}), Stop::keep_going);
  samples.resize(200, 115);
  EXPECT_EQ(decide(samples, 0.01, {}), Stop::sample_cap);
}

TEST(Decide, AStepBetweenTheHalvesIsADrift) {
  std::vector<double> samples(40, 100.0);
  std::fill(samples.begin() + 20, samples.end(), 105.0);
  EXPECT_TRUE(drifting(summarise(samples), {}));
}

TEST(Decide, InterleavedModesAreNoDriftButImprecise) {
  std::vector<double> samples(100);
  for (std::size_t i = 0; i < samples.size(); ++i) samples[i] = i % 2 == 0 ? 100 : 110;
  EXPECT_FALSE(drifting(summarise(samples), {}));
  EXPECT_EQ(decide(samples, 0.01, {}), Stop::keep_going);
}

TEST(Decide, StillSamplesRarelyLookLikeADrift) {
  int alarms = 0;
  for (unsigned seed = 0; seed < 500; ++seed) {
    alarms += drifting(summarise(normal_samples(40, 100, 0.02, seed)), {}) ? 1 : 0;
  }
  EXPECT_LT(alarms, 50);
}

TEST(Stop, NamesAreStable) {
  EXPECT_EQ(name_of(Stop::precise), "precise");
  EXPECT_EQ(name_of(Stop::sample_cap), "sample_cap");
  EXPECT_EQ(name_of(Stop::time_cap), "time_cap");
}

TEST(Disturbed, ReasonsThatSlowAndClocksThatFall) {
  const Conditions still{1980, 0}, unknown{};
  EXPECT_FALSE(disturbed(still, still));
  EXPECT_FALSE(disturbed(unknown, unknown));
  for (unsigned long long slowing : {0x8ULL, 0x20ULL, 0x40ULL, 0x80ULL}) {
    EXPECT_TRUE(disturbed(still, {1980, slowing})) << slowing;
    EXPECT_TRUE(disturbed({1980, slowing}, still)) << slowing;
  }
  for (unsigned long long harmless : {0x1ULL, 0x2ULL, 0x4ULL, 0x10ULL, 0x100ULL}) {
    EXPECT_FALSE(disturbed(still, {1980, harmless})) << harmless;
  }
  EXPECT_FALSE(disturbed(still, {1950, 0}));
  EXPECT_TRUE(disturbed(still, {1755, 0}));
  EXPECT_FALSE(disturbed({1755, 0}, still)) << "a clock that rises is what warming up looks like";
}

TEST(ClocksDisagree, HiddenWorkAndImpossibleEvents) {
  EXPECT_EQ(clocks_disagree({1000, 1100, 5}), "");
  EXPECT_EQ(clocks_disagree({1000, 1000, 150}), "") << "a host that was put aside for a moment";
  EXPECT_NE(clocks_disagree({1000, 1100, 3000}).find("another stream"), std::string::npos);
  EXPECT_NE(clocks_disagree({2000, 1000, 0}).find("events"), std::string::npos);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_NE(clocks_disagree({nan, 1000, 0}), "");
  EXPECT_NE(clocks_disagree({1000, 1000, nan}), "");
}

TEST(ColdProof, ColdIsColdWhenLoadsMiss) {
  const std::vector<double> hot(2048, 260), miss(2048, 650);
  EXPECT_EQ(judge_latencies({hot, miss, miss}).failure, "");
  EXPECT_NE(judge_latencies({hot, hot, hot}).failure, "") << "a flush that does nothing";
  EXPECT_NE(judge_latencies({hot, miss, hot}).failure.find("rotation"), std::string::npos);
  std::vector<double> partly = miss;
  std::fill(partly.begin(), partly.begin() + 205, 260);  // 10% hit
  const ColdProof proof = judge_latencies({hot, partly, miss});
  EXPECT_NEAR(proof.flushed_share, 0.9, 0.001);
  EXPECT_NE(proof.failure, "");
  EXPECT_NE(judge_latencies({}).failure, "") << "no loads prove nothing";
}

TEST(ExtraLaunches, AreTheShareRoundedDown) {
  EXPECT_EQ(extra_launches(200, 0.02), 4);
  EXPECT_EQ(extra_launches(203, 0.05), 10);
  EXPECT_EQ(extra_launches(200, 0), 0);
  EXPECT_EQ(extra_launches(100, 0.29), 29) << "0.29 * 100 is a little less than 29";
}

TEST(Rotation, MovesFourTimesTheL2) {
  constexpr std::size_t l2 = 50'000'000;
  EXPECT_EQ(rotation_slots({16'000'000, l2, 0, 0}), 13);  // 208 MB
  EXPECT_EQ(rotation_slots({1'000, l2, 0, 0}), most_slots);
  EXPECT_EQ(rotation_slots({1'000'000'000, l2, 0, 0}), 2);
  EXPECT_EQ(rotation_slots({0, l2, 0, 0}), most_slots);
}

TEST(Rotation, LeavesATenthOfTheMemoryFree) {
  constexpr std::size_t l2 = 50'000'000;
  EXPECT_EQ(rotation_slots({16'000'000, l2, 16'000'000, 160'000'000}), 10);  // 1 + 9
  EXPECT_EQ(rotation_slots({4'000'000'000, l2, 4'000'000'000, 4'000'000'000}), 1);
  EXPECT_EQ(rotation_slots({4'000'000'000, l2, 4'000'000'000, 5'000'000'000}), 2);
}

TEST(Rotation, ShortRoundsAreRepeatedUntilAReplayIsLongEnough) {
  EXPECT_EQ(rounds_per_replay(1000, 2), 1);
  EXPECT_EQ(rounds_per_replay(64, 64), 16);      // 1024 us
  EXPECT_EQ(rounds_per_replay(0.001, 64), 128);  // 8192 launches at most
  EXPECT_EQ(rounds_per_replay(0, 64), 128);
  EXPECT_EQ(rounds_per_replay(1, 100'000), 1);
}

}  // namespace
}  // namespace normquant::bench
