// The sampler on invented samples with known answers. No device.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "bench/statistics.hpp"
#include "bench/timer.hpp"
#include "tests/invented_samples.hpp"

namespace normquant::bench {
namespace {

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

TEST(Collect, RefusesTimesThatAreNotPositive) {
  for (double bad : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN()}) {
    TimerOfSamples timer({bad});
    Sampling sampling;
    EXPECT_FALSE(collect(timer, {}, 0, clock_with_step(0.1), sampling).ok());
  }
}

}  // namespace
}  // namespace normquant::bench
