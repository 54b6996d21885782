// What the program puts into a page: the facts packed, hostile texts harmless, nothing fetched. How the page behaves is
// tested in a browser (report_page_test.py).
#include "reports/page.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "exit_status.hpp"
#include "reports/page_template.hpp"
#include "reports/whole_file.hpp"

namespace normquant::reports {
namespace {

using Json = nlohmann::ordered_json;

Json parsed_data(const Json& document, const PageLimits& most = {}) { return Json::parse(page_data(document, most)); }

Json timing(int case_index, const std::string& variant) {
  return {{"case", case_index}, {"op", "o"},          {"shape", "1x1"},       {"dtype", "d"},
          {"form", "f"},        {"variant", variant}, {"ratio_to_best", 1.0}, {"median_us", 1.23456789}};
}

TEST(PageData, ListsBecomeColumns) {
  const Json data = parsed_data({{"schema", "x"},
                                 {"cases",
                                  {{{"op", "a"}, {"n", 1}, {"us", 0.123456789}},
                                   {{"op", "b"}, {"n", 2}, {"us", nullptr}},
                                   {{"op", "a"}, {"n", 3}, {"us", 12345678.9}}}},
                                 {"timings", Json::array()}});
  EXPECT_EQ(data["schema"], "x");
  const Json& columns = data["cases"]["columns"];
  EXPECT_EQ(data["cases"]["count"], 3);
  EXPECT_EQ(columns["op"]["texts"], Json({"a", "b"}));
  EXPECT_EQ(columns["op"]["at"], Json({0, 1, 0}));
  EXPECT_EQ(columns["n"], Json({1, 2, 3}));
  EXPECT_EQ(columns["us"][0], 0.123457);
  EXPECT_TRUE(columns["us"][1].is_null());
  EXPECT_EQ(columns["us"][2], 12345700.0);
  EXPECT_EQ(data["timings"]["count"], 0);
}

TEST(PageData, OfTooManyTimingsTheFastestOfEveryCaseAreKept) {
  Json document = {{"cases", {{{"op", "a"}}, {{"op", "b"}}}}, {"timings", Json::array()}};
  for (int c = 0; c < 2; ++c) {
    for (const char* variant : {"first", "second", "third"}) document["timings"].push_back(timing(c, variant));
  }
  EXPECT_EQ(parsed_data(document)["timings"]["count"], 6);
  EXPECT_EQ(parsed_data(document)["timings_left_out"], 0);
  const Json four = parsed_data(document, {4, 1});
  EXPECT_EQ(four["timings_left_out"], 2);
  EXPECT_EQ(four["timings"]["columns"]["variant"]["texts"], Json({"first", "second"}));
  EXPECT_EQ(parsed_data(document, {1, 1})["timings"]["count"], 2) << "one a case is the least";
  EXPECT_FALSE(four["timings"]["columns"].contains("shape")) << "the case says it";
}

TEST(PageData, OfTooManyChangesTheMostImportantAreKept) {
  const Json document = {{"changes", {{{"variant", "worst"}}, {{"variant", "less"}}, {{"variant", "least"}}}}};
  const Json data = parsed_data(document, {1, 2});
  EXPECT_EQ(data["changes"]["columns"]["variant"]["texts"], Json({"worst", "less"}));
  EXPECT_EQ(data["changes_left_out"], 1);
  EXPECT_EQ(parsed_data(document)["changes_left_out"], 0);
}

TEST(PageData, NoTextEndsTheScriptItStandsIn) {
  const std::string hostile = "</script><img src=x onerror=alert(1)><!-- \" \xff";
  const std::string data = page_data({{"cases", {{{"op", hostile}}}}, {"timings", Json::array()}});
  EXPECT_EQ(data.find('<'), std::string::npos) << data;
  EXPECT_TRUE(Json::accept(data));
}

TEST(Page, HoldsEverythingAndFetchesNothing) {
  const std::string page = page_of({{"cases", Json::array()}, {"timings", Json::array()}});
  for (const char* marker : {"@FACTS@", "@STYLE@", "@SCRIPT@", "@CHART_LIBRARY@"}) {
    EXPECT_EQ(page.find(marker), std::string::npos) << marker;
  }
  EXPECT_NE(page.find("default-src 'none'"), std::string::npos);
  for (const char* fetching : {"src=\"", "href=\"http", "@import", "url("}) {
    EXPECT_EQ(page.find(fetching), std::string::npos) << fetching;
  }
  EXPECT_NE(page.find("Chart.js v"), std::string::npos) << "the library's name and licence stay in";
}

/// A folder of its own, gone at the end.
class ReportPageCommand : public testing::Test {
 protected:
  void SetUp() override {
    folder = std::filesystem::path(testing::TempDir()) / ("normquant_page_" + std::to_string(getpid()));
    std::filesystem::create_directories(folder);
    records = (folder / "records.jsonl").string();
    std::ofstream(records) << R"({"kind":"environment","suite":"normquant","schema":1,"gpu":null})"
                           << "\n";
  }
  void TearDown() override { std::filesystem::remove_all(folder); }

  /// Exit status; what was said is in `said`.
  int report(const std::string& arguments) {
    const std::string log = (folder / "log").string();
    const std::string command = std::string("'") + NORMQUANT_PROGRAM + "' report " + arguments + " >" + log + " 2>&1";
    const int answer = std::system(command.c_str());
    said = read_whole(log).value_or("");
    return WIFEXITED(answer) ? WEXITSTATUS(answer) : -1;
  }

  std::filesystem::path folder;
  std::string records, said;
};

TEST_F(ReportPageCommand, TheEndingOfTheFileSaysTheFormat) {
  const std::string out = (folder / "report.html").string();
  EXPECT_EQ(report(records + " --out " + out), exit_pass) << said;
  EXPECT_TRUE(read_whole(out).value_or("").starts_with("<!DOCTYPE html>"));
  EXPECT_EQ(report(records + " --out " + (folder / "report.json").string()), exit_pass);
  EXPECT_TRUE(Json::accept(read_whole((folder / "report.json").string()).value_or("")));
}

TEST_F(ReportPageCommand, AFailedWriteLeavesNothingBehind) {
  const std::string out = (folder / "no_folder/report.html").string();
  EXPECT_EQ(report(records + " --out " + out), exit_infrastructure);
  EXPECT_NE(said.find("cannot write"), std::string::npos) << said;
  std::filesystem::create_directories(folder / "taken.html");
  EXPECT_EQ(report(records + " --out " + (folder / "taken.html").string()), exit_infrastructure);
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    EXPECT_NE(entry.path().extension(), ".partial") << entry.path();
  }
}

TEST_F(ReportPageCommand, BadInputIsNamed) {
  const auto refused = [this](const std::string& content) {
    const std::string file = (folder / "bad").string();
    std::ofstream(file) << content;
    const int status = report(file + " --out " + (folder / "bad.html").string());
    EXPECT_FALSE(std::filesystem::exists(folder / "bad.html"));
    return status == exit_usage && said.find(file) != std::string::npos;
  };
  EXPECT_TRUE(refused(""));
  EXPECT_TRUE(refused("{\n")) << said;
  EXPECT_TRUE(refused("{\n \"schema\": \"other\"\n}\n")) << said;
  EXPECT_TRUE(refused("{\"kind\": \"environment\"}\nrubbish\n")) << said;
  EXPECT_TRUE(refused("device operation variant passed worst/bound ambiguous\n")) << said;
  EXPECT_EQ(report(records + " --section nonsense"), exit_usage);
  EXPECT_EQ(report(records + " --section cases --format html"), exit_usage);
  EXPECT_EQ(report(records + " --baseline " + records + " --min-effect 7"), exit_usage);
  EXPECT_EQ(report(records + " --baseline " + (folder / "none").string()), exit_usage);
}

}  // namespace
}  // namespace normquant::reports
