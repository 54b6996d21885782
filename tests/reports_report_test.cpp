// The report: ranking, layout and escaping, and the command's exit statuses.
#include "reports/report.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "exit_status.hpp"
#include "reports/ranking.hpp"
#include "reports/table.hpp"

namespace normquant::reports {
namespace {

Timing timed(const std::string& variant, double median_us, const std::string& shape = "16x4096") {
  Timing timing;
  timing.op = "norm_quant_forward";
  timing.variant = variant;
  timing.auto_variant = "one_pass";
  timing.shape = shape;
  timing.dtype = "bfloat16";
  timing.form = "rms";
  timing.time_kind = "steady";
  timing.verdict = "pass";
  timing.samples = {median_us};
  timing.median_us = timing.q1_us = timing.q3_us = median_us;
  timing.gb_per_s = 100 / median_us;
  timing.copy_us = 1;
  timing.share_of_copy = 1 / median_us;
  return timing;
}

RecordSet set_of(std::vector<Timing> timings) {
  RecordSet set;
  Environment environment;
  environment.gpu = "NVIDIA Invented";
  environment.driver = "580.1";
  environment.commit = "abc";
  environment.json = R"({"kind": "environment"})";
  set.environments = {environment};
  set.timings = std::move(timings);
  return set;
}

std::string render(const RecordSet& set, Format format) { return reports::render(facts_of({set, {}}), format); }

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(Rank, TheFastestPassingVariantIsBest) {
  Timing wrong = timed("wrong", 0.1);
  wrong.verdict = "wrong";
  const auto cases = rank(set_of({timed("one_pass", 2.2), timed("two_pass", 2.0), wrong, timed("slow", 9)}));
  ASSERT_EQ(cases.size(), 1U);
  EXPECT_EQ(cases[0].best.variant, "two_pass");
  EXPECT_EQ(cases[0].runners_up, 2U);
  EXPECT_DOUBLE_EQ(*cases[0].second_ratio, 1.1);
  EXPECT_DOUBLE_EQ(*cases[0].auto_ratio, 1.1);
}

TEST(Rank, CasesAndDevicesStayApart) {
  RecordSet set = set_of({timed("a", 1), timed("a", 1, "1x1"), timed("b", 0.5)});
  set.environments.push_back({});
  set.environments[1].gpu = "Another";
  set.timings[2].environment = 1;
  EXPECT_EQ(rank(set).size(), 3U);
}

TEST(Rank, AutoThatWasNotTimedHasNoRatio) {
  EXPECT_FALSE(rank(set_of({timed("two_pass", 1)}))[0].auto_ratio);
  EXPECT_EQ(rank(set_of({timed("auto", 1)}))[0].auto_ratio, 1.0);
}

TEST(Render, TableShowsDeviceVariantTimeAndShare) {
  setenv("COLUMNS", "140", 1);
  const std::string text = render(set_of({timed("two_pass", 2.0), timed("one_pass", 4.0)}), Format::table);
  unsetenv("COLUMNS");
  for (const char* part :
       {"NVIDIA Invented", "driver 580.1", "two_pass", "2.00", "#####-----   50%", "2.00x", "2 timed"}) {
    EXPECT_TRUE(contains(text, part)) << part << "\n" << text;
  }
}

TEST(Render, ColdHasAColumnWhereItWasTaken) {
  Timing cold = timed("two_pass", 2.0);
  EXPECT_FALSE(contains(render(set_of({cold}), Format::table), "cold us"));
  cold.cold_us = 3.25;
  const std::string text = render(set_of({cold, timed("one_pass", 4.0, "1x1")}), Format::table);
  EXPECT_TRUE(contains(text, "cold us")) << text;
  EXPECT_TRUE(contains(text, "3.25")) << text;
  EXPECT_TRUE(contains(render(set_of({cold}), Format::json), R"("cold_us": 3.25)"));
}

TEST(Render, HostTimesAreLabelledAndHaveNoRates) {
  RecordSet set = set_of({timed("one_pass", 2)});
  set.environments[0].gpu.clear();
  set.timings[0].time_kind = "cpu_execution";
  set.timings[0].gb_per_s = set.timings[0].share_of_copy = std::nullopt;
  for (Format format : {Format::table, Format::markdown}) {
    const std::string text = render(set, format);
    EXPECT_TRUE(contains(text, "CPU execution, not a GPU time")) << text;
    EXPECT_TRUE(contains(text, "CPU us")) << text;
    EXPECT_FALSE(contains(text, "%|")) << text;
  }
}

TEST(Render, FailuresAreNamed) {
  Timing wrong = timed("broken", 1);
  wrong.verdict = "wrong";
  wrong.reason = "codes[0, 3] is 5";
  const std::string text = render(set_of({timed("one_pass", 2), wrong}), Format::table);
  EXPECT_TRUE(contains(text, "1 WRONG")) << text;
  EXPECT_TRUE(contains(text, "codes[0, 3] is 5")) << text;
}

TEST(Render, NothingTimedIsSaid) {
  EXPECT_TRUE(contains(render(set_of({}), Format::table), "Nothing was timed"));
  EXPECT_TRUE(contains(render(set_of({}), Format::csv), "best_variant"));
  EXPECT_TRUE(nlohmann::json::accept(render(set_of({}), Format::json)));
}

TEST(Render, JsonHoldsTheSameFacts) {
  const auto report = nlohmann::json::parse(render(set_of({timed("two_pass", 2.0)}), Format::json));
  EXPECT_EQ(report["cases"][0]["best_variant"], "two_pass");
  EXPECT_EQ(report["cases"][0]["median_us"], 2.0);
  EXPECT_EQ(report["outcomes"]["pass"], 1);
  EXPECT_EQ(report["environments"].size(), 1U);
}

TEST(Render, HostileTextsAreText) {
  Timing hostile = timed("a|b<script>\"x\",\x1b[31m", 2.0);
  EXPECT_FALSE(contains(render(set_of({hostile}), Format::table), "\x1b"));
  const std::string markdown = render(set_of({hostile}), Format::markdown);
  EXPECT_FALSE(contains(markdown, "<script>")) << markdown;
  EXPECT_TRUE(contains(markdown, "a\\|b")) << markdown;
  EXPECT_TRUE(contains(render(set_of({hostile}), Format::csv), "\"a|b<script>\"\"x\"\",")) << "quoted";
  EXPECT_TRUE(nlohmann::json::accept(render(set_of({hostile}), Format::json)));
}

TEST(ShareBar, IsFullAtTheLimit) {
  EXPECT_EQ(share_bar(0), "----------    0%");
  EXPECT_EQ(share_bar(0.5), "#####-----   50%");
  EXPECT_EQ(share_bar(1.2), "##########  120%");
}

TEST(Table, ColumnsAlign) {
  const Table table{{{"name"}, {"n", true}}, {{"a", "1"}, {"long name", "100"}}};
  EXPECT_EQ(to_terminal(table),
            "name         n\n"
            "---------  ---\n"
            "a            1\n"
            "long name  100\n");
  EXPECT_EQ(to_markdown(table), "| name | n |\n| --- | ---: |\n| a | 1 |\n| long name | 100 |\n");
  EXPECT_EQ(to_csv(table), "name,n\r\na,1\r\nlong name,100\r\n");
}

/// Exit status of the program with these arguments.
int status_of(const std::string& arguments) {
  const std::string command = std::string("'") + NORMQUANT_PROGRAM + "' " + arguments + " >/dev/null 2>&1";
  const int answer = std::system(command.c_str());
  return WIFEXITED(answer) ? WEXITSTATUS(answer) : -1;
}

TEST(ReportCommand, ExitStatuses) {
  const std::string path = testing::TempDir() + "report.jsonl", out = testing::TempDir() + "report.md";
  std::ofstream(path)
      << R"({"kind":"environment","suite":"normquant","schema":1,"gpu":null})"
      << "\n"
      << R"({"kind":"timing","op":"o","variant":"v","shape":"1x1","dtype":"d","form":"f",)"
      << R"("time_kind":"cpu_execution","verdict":"pass","samples":[1],"median_us":1,"q1_us":1,"q3_us":1})"
      << "\n";
  for (const char* format : {"table", "md", "csv", "json"}) {
    EXPECT_EQ(status_of("report " + path + " --format " + format), exit_pass) << format;
  }
  EXPECT_EQ(status_of("report " + path + " --format md --out " + out), exit_pass);
  EXPECT_TRUE(std::ifstream(out).good());
  EXPECT_EQ(status_of("report " + path + " --out " + testing::TempDir() + "no/such/folder/x"), exit_infrastructure);
  EXPECT_EQ(status_of("report"), exit_usage);
  EXPECT_EQ(status_of("report " + path + " --format html5"), exit_usage);
  EXPECT_EQ(status_of("report " + testing::TempDir() + "no_such_file"), exit_usage);
  std::ofstream(path) << "not a record\n";
  EXPECT_EQ(status_of("report " + path), exit_usage);
  std::remove(path.c_str());
  std::remove(out.c_str());
}

}  // namespace
}  // namespace normquant::reports
