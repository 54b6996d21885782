// The sustained figure on invented runs whose clock is known. No device.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "bench/sustained.hpp"
#include "bench/timing_record.hpp"

namespace normquant::bench {
namespace {

/// A run of stretches of 0.1 s: at `boost` MHz for `fast` of them, then at `settled`; times go with the clock.
std::vector<Stretch> run(unsigned boost, int fast, unsigned settled, int slow) {
  std::vector<Stretch> stretches;
  double joules = 0;
  for (int i = 0; i < fast + slow; ++i) {
    const unsigned clock = i < fast ? boost : settled;
    joules += i < fast ? 75.0 : 70.0;
    stretches.push_back({0.1 * (i + 1), 19800.0 / clock, clock, joules});
  }
  return stretches;
}

TEST(Sustained, SaysWhereTheClockSettledAndWhatItWouldHaveSaidBefore) {
  const auto found = summarise_sustained(run(1980, 5, 1650, 15));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->sm_clock_mhz, 1650U);
  EXPECT_EQ(found->boost_mhz, 1980U);
  EXPECT_NEAR(found->settled_after_s, 0.5, 1e-9);
  EXPECT_NEAR(found->median_us, 12, 1e-9);
  EXPECT_NEAR(found->boost_us, 10, 1e-9);
  EXPECT_NEAR(found->power_w.value(), 700, 1e-6) << "of the settled part";
  EXPECT_NEAR(found->seconds, 2, 1e-9);
  EXPECT_TRUE(rides_boost(1980, *found));
  EXPECT_FALSE(rides_boost(1650, *found));
  EXPECT_FALSE(rides_boost(1665, *found)) << "a step of the clock is no boost";
  EXPECT_FALSE(rides_boost(std::nullopt, *found));
}

TEST(Sustained, AClockThatHoldsHasNothingToSettle) {
  const auto found = summarise_sustained(run(1980, 20, 1980, 20));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->settled_after_s, 0);
  EXPECT_EQ(found->median_us, found->boost_us);
  EXPECT_FALSE(rides_boost(1980, *found));
}

TEST(Sustained, WithoutClocksTheSecondHalfCounts) {
  std::vector<Stretch> stretches = run(1980, 4, 1650, 4);
  for (Stretch& stretch : stretches) stretch.sm_clock_mhz.reset();
  const auto found = summarise_sustained(stretches);
  ASSERT_TRUE(found);
  EXPECT_FALSE(found->sm_clock_mhz || found->boost_mhz);
  EXPECT_NEAR(found->median_us, 12, 1e-9);
  EXPECT_FALSE(rides_boost(1980, *found));
  EXPECT_FALSE(summarise_sustained({}));
}

TEST(Sustained, AClockThatNeverSettlesStillGivesATime) {
  std::vector<Stretch> stretches = run(1980, 3, 1650, 4);
  stretches.back().sm_clock_mhz = 1200;
  const auto found = summarise_sustained(stretches);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->sm_clock_mhz, 1650U);
  EXPECT_NEAR(found->settled_after_s, 0.7, 1e-9) << "it had not settled by the end";
  EXPECT_GT(found->median_us, 0);
}

/// Works for as long as it is told, on a clock of its own making.
class PatientTimer final : public Timer {
 public:
  std::string_view time_kind() const override { return "steady"; }
  Status prepare(const Enqueue&, const LaunchPlan&) override { return {}; }
  Status measure(int, std::vector<double>&) override { return {}; }
  Status run_once() override { return {}; }
  Status run_for(double seconds, const std::function<void()>& meanwhile, double& microseconds) override {
    time += seconds;
    meanwhile();
    microseconds = 5;
    return ++runs > 40 ? Status::infrastructure("it stopped") : Status{};
  }
  int launches_per_sample() const override { return 1; }
  int runs = 0;
  double time = 0;
};

TEST(Sustained, ReadsClockWhileTheGpuWorksAndEnergyBetween) {
  PatientTimer timer;
  PowerReadings readings;
  readings.now = [&] { return timer.time; };
  readings.conditions = [&]() -> Conditions { return {timer.runs < 4 ? 1980U : 1500U, {}}; };
  readings.joules = [&]() -> std::optional<double> { return 700 * timer.time; };
  std::optional<Sustained> found;
  ASSERT_TRUE(run_sustained(timer, 1.99, readings, found).ok());
  ASSERT_TRUE(found);
  EXPECT_EQ(found->stretches.size(), 40U);
  EXPECT_EQ(found->sm_clock_mhz, 1500U);
  EXPECT_NEAR(found->settled_after_s, 0.2, 1e-9);
  EXPECT_EQ(found->median_us, 5);
  EXPECT_NEAR(found->power_w.value(), 700, 1e-6);
  EXPECT_FALSE(run_sustained(timer, 10, readings, found).ok()) << "a failure of the timer is one";
}

TEST(Sustained, TheRecordHoldsItAndComesBack) {
  TimingRecord record;
  record.timed = *make_case(Operation::norm_quant_forward, {16, 4096}, DType::bfloat16, "rms");
  record.variant = record.auto_variant = "one_pass";
  record.time_kind = "steady";
  record.outcome = validate::Outcome::pass;
  record.samples = std::vector<double>(20, 10);
  record.summary = summarise(record.samples);
  record.after.sm_clock_mhz = 1980;
  EXPECT_FALSE(to_json(record).contains("sustained"));
  record.sustained = summarise_sustained(run(1980, 5, 1650, 15));
  const auto line = to_json(record);
  EXPECT_EQ(line["rides_boost"], true);
  EXPECT_EQ(line["sustained"]["sm_clock_mhz"], 1650);
  EXPECT_EQ(line["sustained"]["boost_us"], 10.0);
  EXPECT_EQ(to_json(record_from_json(line, record.timed)), line);
}

}  // namespace
}  // namespace normquant::bench
