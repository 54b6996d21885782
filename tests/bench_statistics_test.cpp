// Statistics, the stopping rule and the sampler on invented samples with known answers. No device.
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

namespace normquant::bench {
namespace {

std::vector<double> one_to(int n) {
  std::vector<double> samples(static_cast<std::size_t>(n));
  std::iota(samples.begin(), samples.end(), 1.0);
  return samples;
}

/// `n` samples of a normal distribution with that mean and relative deviation.
std::vector<double> normal_samples(int n, double mean, double deviation, unsigned seed = 1) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal(mean, mean * deviation);
  std::vector<double> samples(static_cast<std::size_t>(n));
  for (double& sample : samples) sample = normal(generator);
  return samples;
}

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

/// Returns invented samples one after another.
class TimerOfSamples final : public Timer {
 public:
  explicit TimerOfSamples(std::vector<double> samples, int launches = 1)
      : samples_(std::move(samples)), launches_(launches) {}
  std::string_view time_kind() const override { return "steady"; }
  Status prepare(const Enqueue&, const LaunchPlan&) override { return {}; }
  Status measure(int count, std::vector<double>& microseconds) override {
    for (int i = 0; i < count; ++i) microseconds.push_back(samples_[next_++ % samples_.size()]);
    return {};
  }
  Status run_once() override { return {}; }
  int launches_per_sample() const override { return launches_; }

 private:
  std::vector<double> samples_;
  std::size_t next_ = 0;
  int launches_;
};

/// A clock on which every look takes `step` seconds.
Surroundings clock_with_step(double step) {
  return {[now = 0.0, step]() mutable { return now += step; }, {}};
}

TEST(Collect, StopsAtTheMinimumForStillSamples) {
  TimerOfSamples timer({5.0});
  Sampling sampling;
  ASSERT_TRUE(collect(timer, {}, 0, clock_with_step(0.001), sampling).ok());
  EXPECT_EQ(sampling.stop, Stop::precise);
  EXPECT_EQ(sampling.microseconds.size(), 20U);
}

TEST(Collect, StopsWhenTimeIsOver) {
  TimerOfSamples timer({1, 2, 3, 4, 5, 6, 7, 8, 9});
  Sampling sampling;
  ASSERT_TRUE(collect(timer, {}, 0, clock_with_step(0.1), sampling).ok());
  EXPECT_EQ(sampling.stop, Stop::time_cap);
  EXPECT_EQ(sampling.microseconds.size(), 15U);  // three looks of 0.1 s
}

TEST(Collect, TakesAsManyLaunchesAsAskedFor) {
  TimerOfSamples timer({5.0}, /*launches=*/4);
  Sampling sampling;
  ASSERT_TRUE(collect(timer, {}, 1000, clock_with_step(0.001), sampling).ok());
  EXPECT_EQ(sampling.microseconds.size(), 250U);
}

/// Samples that a GPU of which the conditions change would give: `slowed` says of each batch whether it was disturbed.
Sampling collected_while(const std::vector<bool>& slowed, std::vector<double> samples, const SamplingRule& rule) {
  TimerOfSamples timer(std::move(samples));
  Surroundings around = clock_with_step(0.001);
  std::size_t look = 0;
  // Look i + 1 is behind batch i.
  around.conditions = [&]() -> Conditions {
    const std::size_t batch = look++;
    const bool now = batch > 0 && slowed[std::min(batch - 1, slowed.size() - 1)];
    return {1980, now ? 0x40ULL : 0ULL};
  };
  Sampling sampling;
  EXPECT_TRUE(collect(timer, rule, 0, around, sampling).ok());
  return sampling;
}

TEST(Collect, DisturbedSamplesAreSetAsideAndCounted) {
  // Batch 2 (from 0) ends with a thermal slowdown; so batches 2 and 3, which begins with it, are disturbed.
  std::vector<double> samples(200, 5.0);
  std::fill(samples.begin() + 10, samples.begin() + 20, 9.0);
  const Sampling sampling = collected_while({false, false, true, false}, samples, {});
  EXPECT_EQ(sampling.disturbed, std::vector<double>(10, 9.0));
  EXPECT_EQ(sampling.microseconds, std::vector<double>(20, 5.0));
  EXPECT_EQ(sampling.throttle_reasons, 0x40U);
  EXPECT_FALSE(sampling.disturbed_used);
  EXPECT_EQ(sampling.stop, Stop::precise);
}

TEST(Collect, WhenAllIsDisturbedTheSamplesAreUsedAndSaidToBe) {
  const Sampling sampling = collected_while({true}, {5.0}, {});
  EXPECT_TRUE(sampling.disturbed_used);
  EXPECT_EQ(sampling.stop, Stop::sample_cap);
  EXPECT_EQ(sampling.microseconds.size(), 200U);
}

TEST(Collect, DriftingSamplesRunIntoACap) {
  std::vector<double> rising(400);
  for (std::size_t i = 0; i < rising.size(); ++i) rising[i] = 100 + 0.2 * static_cast<double>(i);
  const Sampling sampling = collected_while({false}, rising, {});
  EXPECT_EQ(sampling.stop, Stop::sample_cap);
  EXPECT_TRUE(drifting(summarise(sampling.microseconds), {}));
}

TEST(Collect, BimodalSamplesAreNotCalledPrecise) {
  // Two modes 10% apart, drawn at random: the median jumps between them. By chance one mode may lead so far for a moment
  // that its median is called precise: 15 of the first 20 or more, one draw in 24, or later.
  int precise = 0;
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 generator(seed);
    std::bernoulli_distribution coin(0.5);
    std::vector<double> samples(400);
    for (double& sample : samples) sample = coin(generator) ? 100 : 110;
    precise += collected_while({false}, samples, {}).stop == Stop::precise ? 1 : 0;
  }
  EXPECT_LT(precise, 50);
}

TEST(Collect, HeavyTailsStopWhenTheMedianIsKnown) {
  // Log-normal with Cauchy-like outliers: the mean of 200 is anything, the median is not.
  std::mt19937 generator(4);
  std::normal_distribution<double> body(100, 0.5);
  std::cauchy_distribution<double> tail(0, 0.3);
  std::vector<double> samples(400);
  for (double& sample : samples) sample = body(generator) + std::abs(tail(generator));
  const Sampling sampling = collected_while({false}, samples, {});
  EXPECT_EQ(sampling.stop, Stop::precise);
  EXPECT_NEAR(summarise(sampling.microseconds).median, 100.5, 0.6);
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

TEST(Collect, RefusesTimesThatAreNotPositive) {
  for (double bad : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN()}) {
    TimerOfSamples timer({bad});
    Sampling sampling;
    EXPECT_FALSE(collect(timer, {}, 0, clock_with_step(0.1), sampling).ok());
  }
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
  EXPECT_EQ(rounds_per_replay(64, 64), 7);       // 448 us
  EXPECT_EQ(rounds_per_replay(0.001, 64), 128);  // 8192 launches at most
  EXPECT_EQ(rounds_per_replay(0, 64), 128);
  EXPECT_EQ(rounds_per_replay(1, 100'000), 1);
}

}  // namespace
}  // namespace normquant::bench
