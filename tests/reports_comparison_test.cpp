// The gate on invented samples: intervals, verdicts, refusals, exit statuses.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>
#include <nlohmann/json.hpp>

#include "exit_status.hpp"
#include "reports/comparison.hpp"

namespace normquant::reports {
namespace {

std::vector<double> normal_samples(int n, double mean, double deviation, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal(mean, mean * deviation);
  std::vector<double> samples(static_cast<std::size_t>(n));
  for (double& sample : samples) sample = normal(generator);
  return samples;
}

Timing sampled(const std::string& variant, std::vector<double> samples) {
  Timing timing;
  timing.op = "norm_quant_forward";
  timing.variant = variant;
  timing.shape = "16x4096";
  timing.dtype = "bfloat16";
  timing.form = "rms";
  timing.time_kind = "steady";
  timing.verdict = "pass";
  timing.median_us = quantile(ascending(samples), 0.5);
  timing.samples = std::move(samples);
  return timing;
}

RecordSet gate_set(std::vector<Timing> timings) {
  RecordSet set;
  Environment environment;
  environment.gpu = "NVIDIA Invented";
  environment.driver = "580.1";
  environment.ecc = true;
  environment.power_limit_w = 700;
  set.environments = {environment};
  set.timings = std::move(timings);
  return set;
}

/// The verdict on one case whose times have these means and 0.2% scatter.
Change verdict_on(double baseline, double candidate, int n = 40) {
  const GateResult result = compare(gate_set({sampled("v", normal_samples(n, baseline, 0.002, 1))}),
                                    gate_set({sampled("v", normal_samples(n, candidate, 0.002, 2))}), {});
  return result.comparisons.at(0).change;
}

TEST(MedianInterval, KnownRanks) {
  // n = 10: 2 P(B <= 1) = 22 / 1024 = 2.15%, 2 P(B <= 2) = 10.9%: at 5% the second smallest and second largest.
  const std::vector<double> ten = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  EXPECT_EQ(median_interval(ten, 0.05)->low, 2);
  EXPECT_EQ(median_interval(ten, 0.05)->high, 9);
  EXPECT_EQ(median_interval(ten, 0.11)->low, 3);
}

TEST(MedianInterval, TooFewSamplesGiveNone) {
  // n = 5: 2 / 32 = 6.25% is left outside even by the extremes.
  EXPECT_FALSE(median_interval({1, 2, 3, 4, 5}, 0.05));
  EXPECT_TRUE(median_interval({1, 2, 3, 4, 5}, 0.07));
  EXPECT_FALSE(median_interval({}, 0.05));
}

TEST(MedianInterval, HoldsTheMedianAsOftenAsItSays) {
  std::mt19937 generator(7);
  std::lognormal_distribution<double> tail(0, 1);  // its median is 1
  int missed = 0;
  constexpr int draws = 2000;
  for (int draw = 0; draw < draws; ++draw) {
    std::vector<double> samples(25);
    for (double& sample : samples) sample = tail(generator);
    const Interval interval = *median_interval(ascending(samples), 0.05);
    if (!(interval.low <= 1 && 1 <= interval.high)) ++missed;
  }
  EXPECT_LT(missed, draws * 0.065);
}

TEST(MedianInterval, TwentySamplesServeThousandsOfCases) {
  EXPECT_TRUE(median_interval(std::vector<double>(20, 1.0), 0.05 / (2 * 10'000)));
}

TEST(Classify, ByWhereTheIntervalLies) {
  const double up = 1.03, down = 1 / 1.03;
  EXPECT_EQ(classify(Interval{1.04, 1.06}, 0.03), Change::slower);
  EXPECT_EQ(classify(Interval{0.94, 0.96}, 0.03), Change::faster);
  EXPECT_EQ(classify(Interval{0.99, 1.01}, 0.03), Change::same);
  EXPECT_EQ(classify(Interval{down, up}, 0.03), Change::same);
  EXPECT_EQ(classify(Interval{1.02, 1.04}, 0.03), Change::inconclusive);
  EXPECT_EQ(classify(Interval{0.90, 1.10}, 0.03), Change::inconclusive);
  EXPECT_EQ(classify(std::nullopt, 0.03), Change::inconclusive);
  EXPECT_EQ(classify(Interval{std::nan(""), std::nan("")}, 0.03), Change::inconclusive);
}

TEST(Compare, FindsChangesBeyondTheMinimumEffect) {
  EXPECT_EQ(verdict_on(100, 100), Change::same);
  EXPECT_EQ(verdict_on(100, 101), Change::same);
  EXPECT_EQ(verdict_on(100, 105), Change::slower);
  EXPECT_EQ(verdict_on(105, 100), Change::faster);
  EXPECT_EQ(verdict_on(100, 103), Change::inconclusive);
  EXPECT_EQ(verdict_on(100, 105, 5), Change::inconclusive) << "too few samples";
}

TEST(Compare, EqualDistributionsAreNeverSlowerOrFaster) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    const GateResult result = compare(gate_set({sampled("v", normal_samples(30, 100, 0.05, 2 * seed))}),
                                      gate_set({sampled("v", normal_samples(30, 100, 0.05, 2 * seed + 1))}), {});
    const Change change = result.comparisons.at(0).change;
    EXPECT_TRUE(change == Change::same || change == Change::inconclusive) << seed;
  }
}

TEST(Compare, MoreCasesWidenEveryInterval) {
  std::vector<Timing> few = {sampled("v0", normal_samples(40, 100, 0.01, 1))}, many = few;
  for (int i = 1; i < 200; ++i) many.push_back(sampled("v" + std::to_string(i), normal_samples(40, 100, 0.01, 1)));
  const auto width = [](const GateResult& result) {
    return result.comparisons.at(0).interval->high - result.comparisons.at(0).interval->low;
  };
  EXPECT_GT(width(compare(gate_set(many), gate_set(many), {})), width(compare(gate_set(few), gate_set(few), {})));
}

TEST(Compare, MostImportantFirst) {
  const GateResult result =
      compare(gate_set({sampled("same", std::vector<double>(20, 10)), sampled("slow", std::vector<double>(20, 10)),
                        sampled("slower", std::vector<double>(20, 10)), sampled("fast", std::vector<double>(20, 10))}),
              gate_set({sampled("same", std::vector<double>(20, 10)), sampled("slow", std::vector<double>(20, 11)),
                        sampled("slower", std::vector<double>(20, 12)), sampled("fast", std::vector<double>(20, 9))}),
              {});
  ASSERT_EQ(result.comparisons.size(), 4U);
  const char* order[] = {"slower", "slow", "fast", "same"};
  for (std::size_t i = 0; i < 4; ++i) EXPECT_TRUE(result.comparisons[i].name.ends_with(order[i])) << i;
  EXPECT_EQ(gate_status(result), exit_regression);
}

TEST(Compare, MissingCasesAreNamedAndInconclusive) {
  Timing wrong = sampled("b", {1});
  wrong.verdict = "wrong";
  wrong.reason = "codes differ";
  const std::vector<double> still(20, 10);
  const GateResult result = compare(gate_set({sampled("a", still), sampled("b", still), sampled("c", still)}),
                                    gate_set({sampled("a", still), wrong, sampled("new", still)}), {});
  ASSERT_EQ(result.missing.size(), 2U);
  EXPECT_NE(result.missing[0].find("b (wrong: codes differ)"), std::string::npos) << result.missing[0];
  EXPECT_EQ(result.added, 1U);
  EXPECT_EQ(gate_status(result), exit_inconclusive);
  EXPECT_NE(gate_text(result, {}).find("missing in the candidate"), std::string::npos);
}

TEST(Compare, OtherMachinesAreRefused) {
  const RecordSet baseline = gate_set({sampled("a", std::vector<double>(20, 10))});
  const auto refused = [&baseline](auto change) {
    RecordSet candidate = baseline;
    change(candidate.environments[0]);
    const GateResult result = compare(baseline, candidate, {});
    EXPECT_EQ(gate_status(result), result.refusal.empty() ? exit_pass : exit_usage);
    return !result.refusal.empty();
  };
  EXPECT_FALSE(refused([](Environment&) {}));
  EXPECT_TRUE(refused([](Environment& e) { e.gpu = "Another"; }));
  EXPECT_TRUE(refused([](Environment& e) { e.driver = "581.0"; }));
  EXPECT_TRUE(refused([](Environment& e) { e.ecc = false; }));
  EXPECT_TRUE(refused([](Environment& e) { e.power_limit_w = 350; }));
  EXPECT_FALSE(refused([](Environment& e) { e.commit = "another"; }));
}

TEST(Compare, CpuTimesAndStrangersAreRefused) {
  RecordSet host = gate_set({sampled("a", std::vector<double>(20, 10))});
  host.environments[0].gpu.clear();
  EXPECT_EQ(gate_status(compare(host, host, {})), exit_usage);
  const GateResult strangers = compare(gate_set({sampled("a", std::vector<double>(20, 10))}),
                                       gate_set({sampled("b", std::vector<double>(20, 10))}), {});
  EXPECT_EQ(gate_status(strangers), exit_usage);
  EXPECT_NE(strangers.refusal.find("in common"), std::string::npos);
}

/// A record file of one GPU case with these samples; returns its path.
std::string record_file(const std::string& name, const std::vector<double>& samples) {
  std::string path = testing::TempDir() + name;
  nlohmann::json environment = {{"kind", "environment"}, {"suite", "normquant"}, {"schema", 1}};
  environment["gpu"] = {{"name", "NVIDIA Invented"}, {"driver", "580.1"}};
  const nlohmann::json record = {{"kind", "timing"},      {"op", "norm_quant_forward"},
                                 {"variant", "one_pass"}, {"shape", "16x4096"},
                                 {"dtype", "bfloat16"},   {"form", "rms"},
                                 {"time_kind", "steady"}, {"verdict", "pass"},
                                 {"samples", samples},    {"median_us", samples[samples.size() / 2]},
                                 {"q1_us", samples[0]},   {"q3_us", samples[0]}};
  std::ofstream(path) << environment.dump() << "\n" << record.dump() << "\n";
  return path;
}

int gate_exit(const std::string& arguments) {
  const std::string command = std::string("'") + NORMQUANT_PROGRAM + "' gate " + arguments + " >/dev/null 2>&1";
  const int answer = std::system(command.c_str());
  return WIFEXITED(answer) ? WEXITSTATUS(answer) : -1;
}

TEST(GateCommand, ExitStatuses) {
  const std::string baseline = record_file("gate_a.jsonl", std::vector<double>(20, 10));
  const std::string slower = record_file("gate_b.jsonl", std::vector<double>(20, 11));
  const std::string few = record_file("gate_c.jsonl", std::vector<double>(3, 10));
  EXPECT_EQ(gate_exit("--baseline " + baseline + " --candidate " + baseline), exit_pass);
  EXPECT_EQ(gate_exit("--baseline " + slower + " --candidate " + baseline), exit_pass) << "faster is fine";
  EXPECT_EQ(gate_exit("--baseline " + baseline + " --candidate " + slower), exit_regression);
  EXPECT_EQ(gate_exit("--baseline " + baseline + " --candidate " + slower + " --min-effect 0.2"), exit_pass);
  EXPECT_EQ(gate_exit("--baseline " + baseline + " --candidate " + few), exit_inconclusive);
  EXPECT_EQ(gate_exit("--baseline " + baseline), exit_usage);
  EXPECT_EQ(gate_exit("--baseline " + baseline + " --candidate " + baseline + ".none"), exit_usage);
  const std::string with_effect = "--baseline " + baseline + " --candidate " + baseline + " --min-effect=";
  for (const char* effect : {"0", "-1", "nan", "x", "2"}) {
    EXPECT_EQ(gate_exit(with_effect + effect), exit_usage) << effect;
  }
  for (const std::string& path : {baseline, slower, few}) std::remove(path.c_str());
}

}  // namespace
}  // namespace normquant::reports
