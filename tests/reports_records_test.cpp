// Reading record files: what bench writes is read back; what is corrupt, cut off, foreign or empty is named.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "bench/environment.hpp"
#include "bench/timing_record.hpp"
#include "reports/records.hpp"

namespace normquant::reports {
namespace {

const std::string environment_line = bench::describe_environment(std::nullopt).dump() + "\n";

std::string timing_line(const std::string& variant, const std::vector<double>& samples) {
  bench::TimingRecord record;
  record.timed = *bench::make_case(Operation::norm_quant_forward, {16, 4096}, DType::bfloat16, "rms");
  record.variant = variant;
  record.auto_variant = "one_pass";
  record.time_kind = "steady";
  record.outcome = validate::Outcome::pass;
  record.samples = samples;
  record.summary = bench::summarise(samples);
  record.bytes = 262144;
  record.copy_us = 1.5;
  record.cold.emplace();
  record.cold->samples = {4, 5, 6};
  record.cold->summary = bench::summarise(record.cold->samples);
  return bench::to_json(record).dump() + "\n";
}

/// The sentence that the text is refused with; empty when it is accepted.
std::string refusal(const std::string& text) {
  RecordSet set;
  std::string why;
  return parse_records(text, "file.jsonl", set, why) ? "" : why;
}

TEST(ParseRecords, ReadsWhatBenchWrites) {
  RecordSet set;
  std::string why;
  ASSERT_TRUE(parse_records(environment_line + timing_line("one_pass", {2, 3, 4}), "file.jsonl", set, why)) << why;
  ASSERT_EQ(set.environments.size(), 1U);
  EXPECT_EQ(set.environments[0].device(), "host");
  ASSERT_EQ(set.timings.size(), 1U);
  const Timing& timing = set.timings[0];
  EXPECT_EQ(timing.case_text(), "norm_quant_forward 16x4096 bfloat16 rms");
  EXPECT_EQ(timing.variant, "one_pass");
  EXPECT_TRUE(timing.passed());
  EXPECT_EQ(timing.median_us, 3);
  EXPECT_EQ(timing.samples, (std::vector<double>{2, 3, 4}));
  EXPECT_EQ(timing.share_of_copy, 0.5);
  EXPECT_EQ(timing.cold_us, 5);
  EXPECT_EQ(timing.bytes, 262144);
}

TEST(ParseRecords, SeveralEnvironmentsBelongToTheTimingsThatFollow) {
  RecordSet set;
  std::string why;
  const std::string one = environment_line + timing_line("a", {1}), two = environment_line + timing_line("b", {1});
  ASSERT_TRUE(parse_records(one + two, "file.jsonl", set, why)) << why;
  EXPECT_EQ(set.timings[0].environment, 0U);
  EXPECT_EQ(set.timings[1].environment, 1U);
}

TEST(ParseRecords, ALastLineThatIsCutOffIsAWarning) {
  RecordSet set;
  std::string why;
  const std::string last = timing_line("b", {1, 2});
  for (std::size_t kept : {std::size_t{1}, last.size() / 2, last.size() - 2}) {
    set = {};
    const std::string text = environment_line + timing_line("a", {1}) + last.substr(0, kept);
    ASSERT_TRUE(parse_records(text, "file.jsonl", set, why)) << why;
    EXPECT_EQ(set.timings.size(), 1U);
    ASSERT_EQ(set.warnings.size(), 1U);
    EXPECT_NE(set.warnings[0].find("file.jsonl:3"), std::string::npos);
  }
}

TEST(ParseRecords, TimesThatRideTheBoostClockAreAWarning) {
  const auto with_long_run = [](const std::string& variant, bool rides, double sustained_us) {
    auto line = nlohmann::json::parse(timing_line(variant, {10, 10, 10}));
    line["rides_boost"] = rides;
    line["sustained"] = {{"median_us", sustained_us}};
    return line.dump() + "\n";
  };
  RecordSet set;
  std::string why;
  const std::string calm = environment_line + timing_line("a", {3}) + with_long_run("b", false, 10.01);
  ASSERT_TRUE(parse_records(calm, "file.jsonl", set, why)) << why;
  EXPECT_TRUE(set.warnings.empty());
  set = {};
  ASSERT_TRUE(
      parse_records(calm + with_long_run("c", true, 11) + with_long_run("d", true, 12), "file.jsonl", set, why));
  ASSERT_EQ(set.warnings.size(), 1U);
  EXPECT_EQ(set.warnings[0],
            "file.jsonl: 2 of 4 times ride a boost clock that a long run does not hold: norm_quant_forward 16x4096 "
            "bfloat16 rms "
            "d takes 10 us, and 12 us after the clock has settled");
}

TEST(ParseRecords, AMissingLastLineBreakIsNothingToWarnOf) {
  RecordSet set;
  std::string why;
  std::string text = environment_line + timing_line("a", {1});
  text.pop_back();
  ASSERT_TRUE(parse_records(text, "file.jsonl", set, why)) << why;
  EXPECT_EQ(set.timings.size(), 1U);
  EXPECT_TRUE(set.warnings.empty());
}

TEST(ParseRecords, CorruptLinesAreNamed) {
  const std::string good = timing_line("a", {1});
  EXPECT_NE(refusal(environment_line + "{\"kind\": \n" + good).find("file.jsonl:2"), std::string::npos);
  EXPECT_NE(refusal(environment_line + good + good.substr(0, 20) + "\n").find("file.jsonl:3"), std::string::npos)
      << "cut off, but not the end of the file";
  EXPECT_NE(refusal(environment_line + std::string("\x00\xff\x01\n", 4)).find("file.jsonl:2"), std::string::npos);
}

TEST(ParseRecords, ForeignFilesAreNamed) {
  for (const char* text : {"hello\n", "{}\n", "[1, 2]\n", "3\n", "{\"kind\": \"timing\"}\n", "{\"kind\": 3}\n",
                           "{\"context\": {}, \"benchmarks\": []}\n", "{\"kind\": \"environment\"}\n",
                           "{\"kind\": \"environment\", \"suite\": \"other\", \"schema\": 1}\n",
                           "{\"kind\": \"environment\", \"suite\": \"normquant\", \"schema\": 99}\n"}) {
    EXPECT_NE(refusal(text).find("file.jsonl:1"), std::string::npos) << text << refusal(text);
  }
}

TEST(ParseRecords, EmptyFilesAreNamed) {
  for (const char* text : {"", "\n", " \n\n"}) EXPECT_NE(refusal(text).find("file.jsonl"), std::string::npos);
}

TEST(ParseRecords, RecordsOfTheWrongShapeAreNamed) {
  const nlohmann::json good = nlohmann::json::parse(timing_line("a", {1}));
  const auto changed = [&good](const char* key, nlohmann::json value) {
    nlohmann::json record = good;
    record[key] = std::move(value);
    return refusal(environment_line + record.dump() + "\n");
  };
  EXPECT_EQ(changed("op", "norm_quant_forward"), "");
  for (const char* key : {"op", "variant", "shape", "dtype", "form", "time_kind", "verdict"}) {
    EXPECT_NE(changed(key, nullptr), "") << key;
    EXPECT_NE(changed(key, 3), "") << key;
  }
  EXPECT_NE(changed("verdict", "splendid"), "");
  EXPECT_NE(changed("median_us", nullptr), "");
  EXPECT_NE(changed("median_us", -1), "");
  EXPECT_NE(changed("samples", nlohmann::json::array()), "");
  EXPECT_NE(changed("samples", {1, "two"}), "");
  EXPECT_NE(changed("samples", {1, 0}), "");
  EXPECT_NE(changed("kind", "mystery"), "");
}

TEST(ParseRecords, RecordsThatContradictThemselvesAreNamedByFileLineAndField) {
  const nlohmann::json good = nlohmann::json::parse(timing_line("a", {2, 3, 4.00004, 5, 6.5}));
  const auto refused = [](const nlohmann::json& record) { return refusal(environment_line + record.dump() + "\n"); };
  ASSERT_EQ(refused(good), "");
  const std::vector<std::pair<const char*, nlohmann::json>> lies = {
      {"/median_us", 3.9998}, {"/median_us", 1e-3},  {"/q1_us", 2.5},         {"/q3_us", 6.5},
      {"/min_us", 1},         {"/max_us", 7},        {"/p05_us", 2},          {"/count", 6},
      {"/count", 4.5},        {"/samples/0", -2},    {"/samples/0", "2"},     {"/samples/0", 2.1},
      {"/cold/median_us", 6}, {"/cold/count", 2},    {"/cold/samples/1", 0},  {"/cold/samples/1", nullptr},
      {"/gb_per_s", 1000},    {"/share_of_copy", 1}, {"/share_of_copy", 0.1}, {"/copy_us", -1.5}};
  for (const auto& [where, lie] : lies) {
    nlohmann::json record = good;
    record[nlohmann::json::json_pointer(where)] = lie;
    const std::string why = refused(record);
    EXPECT_NE(why.find("file.jsonl:2: "), std::string::npos) << where << ": " << why;
    const std::string path = where;
    const bool of_samples = path.find("/samples/") != std::string::npos;  // a wrong one shows in what was found of all
    EXPECT_TRUE(of_samples || why.find(path.substr(path.rfind('/') + 1)) != std::string::npos) << where << ": " << why;
  }
  nlohmann::json fewer = good;
  fewer["samples"].erase(0);
  EXPECT_NE(refused(fewer).find("\"count\" is 5, and there are 4 samples"), std::string::npos) << refused(fewer);
  EXPECT_NE(refusal(environment_line + R"({"kind":"timing","median_us":NaN})" + "\n").find("file.jsonl:2"),
            std::string::npos);
}

TEST(ReadRecords, FilesThatCannotBeReadAreNamed) {
  std::string why;
  EXPECT_FALSE(read_records({testing::TempDir() + "no_such_file.jsonl"}, why));
  EXPECT_NE(why.find("no_such_file.jsonl"), std::string::npos);
  EXPECT_FALSE(read_records({testing::TempDir()}, why)) << "a folder";
}

TEST(ReadRecords, RepeatedRunsArePooled) {
  const std::string path = testing::TempDir() + "pooled.jsonl";
  std::ofstream(path) << environment_line << timing_line("a", {1, 2, 3}) << timing_line("b", {7})
                      << timing_line("a", {4, 5});
  std::string why;
  const auto set = read_records({path}, why);
  ASSERT_TRUE(set) << why;
  ASSERT_EQ(set->timings.size(), 2U);
  EXPECT_EQ(set->timings[0].samples.size(), 5U);
  EXPECT_EQ(set->timings[0].median_us, 3);
  EXPECT_EQ(set->timings[0].share_of_copy, 0.5);
  EXPECT_EQ(set->timings[1].median_us, 7);
  std::remove(path.c_str());
}

}  // namespace
}  // namespace normquant::reports
