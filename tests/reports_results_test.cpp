// Reading everything a report is made of: validation results beside records, what becomes of cases in several files.
#include "reports/results.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "reports/facts.hpp"
#include "validate/result_files.hpp"

namespace normquant::reports {
namespace {

validate::CaseResult result(const std::string& variant, validate::Outcome outcome, const std::string& reason) {
  validate::CaseResult made;
  made.device = "host";
  made.variant = variant;
  made.problem.op = Operation::norm_quant_forward;
  made.verdict.outcome = outcome;
  made.verdict.reason = reason;
  made.verdict.codes_checked = 1000;
  made.verdict.codes_ambiguous = 5;
  made.verdict.worst_error_over_bound = 0.75;
  return made;
}

/// What validate writes of a pass, a failure and two skipped cases.
std::string validate_json() {
  return validate::as_json({result("one_pass", validate::Outcome::pass, ""),
                            result("one_pass", validate::Outcome::wrong, "codes differ"),
                            result("split", validate::Outcome::skipped, "row of 8 columns"),
                            result("split", validate::Outcome::skipped, "row of 9 columns")});
}

TEST(ParseValidation, ReadsWhatValidateWrites) {
  ASSERT_TRUE(looks_like_validation(validate_json()));
  ValidationResults results;
  std::string why;
  ASSERT_TRUE(parse_validation(validate_json(), "v.json", results, why)) << why;
  EXPECT_TRUE(results.given());
  EXPECT_TRUE(results.details_known);
  ASSERT_EQ(results.variants.size(), 2U);
  EXPECT_EQ(results.variants[0].variant, "one_pass");
  EXPECT_EQ(results.variants[0].passed, 1);
  EXPECT_EQ(results.variants[0].wrong, 1);
  EXPECT_EQ(results.variants[0].worst_error_over_bound, 0.75);
  EXPECT_EQ(results.variants[0].ambiguous_share, 0.005);
  ASSERT_EQ(results.failed.size(), 1U);
  EXPECT_EQ(results.failed[0].reason, "codes differ");
  ASSERT_EQ(results.skipped.size(), 1U);
  EXPECT_EQ(results.skipped[0].reason, "row of # columns");
  EXPECT_EQ(results.skipped[0].cases, 2);
}

TEST(ParseValidation, WhatAnInterruptionLeftOutIsNoPass) {
  validate::LeftUndone undone;
  undone.not_run = 7;
  undone.why_not_run = "interrupted";
  Results results;
  std::string why;
  ASSERT_TRUE(parse_validation(validate::as_json({result("one_pass", validate::Outcome::pass, "")}, undone), "v.json",
                               results.validation, why))
      << why;
  EXPECT_EQ(results.validation.not_run, 7);
  const Facts facts = facts_of(std::move(results), nullptr, {});
  EXPECT_EQ(facts.verdict.outcome, "inconclusive");
  EXPECT_NE(facts.verdict.sentence.find("7 NOT RUN"), std::string::npos) << facts.verdict.sentence;
}

TEST(ParseValidation, ReadsTheTableThatValidatePrints) {
  const std::string printed =
      "\nWRONG one_pass on host: ...\n\n"
      "device   operation            variant      passed  wrong  skipped  errors  worst/bound  ambiguous\n"
      "cuda:0   norm_quant_forward   one_pass_e8    1218      1     1194       2        0.995    0.0207%\n"
      "cuda:0   weight_quant         two_pass        586      0        0       0        0.648    0.0000%\n"
      "\n15305478 elements checked\n";
  ASSERT_TRUE(looks_like_validation(printed));
  ValidationResults results;
  std::string why;
  ASSERT_TRUE(parse_validation(printed, "v.txt", results, why)) << why;
  EXPECT_FALSE(results.details_known) << "the table has no reasons";
  ASSERT_EQ(results.variants.size(), 2U);
  EXPECT_EQ(results.variants[0].passed, 1218);
  EXPECT_EQ(results.variants[0].wrong, 1);
  EXPECT_EQ(results.variants[0].skipped, 1194);
  EXPECT_EQ(results.variants[0].errors, 2);
  EXPECT_EQ(results.variants[0].worst_error_over_bound, 0.995);
  EXPECT_NEAR(*results.variants[0].ambiguous_share, 0.000207, 1e-12);
}

TEST(ParseValidation, ReadsTheTablesOfSeveralOperationsAndLongNames) {
  const std::string printed =
      "host norm_quant_forward\n"
      "  variant                   passed  wrong skipped errors worst/bound  ambiguous\n"
      "  one_pass_e8                 1218      1    1194      2       0.995    0.0207%\n"
      "  somebody:a_name_that_is_wider_than_the_column\n"
      "                                 7      0       0      0       0.500    0.0000%\n"
      "\n"
      "host weight_quant\n"
      "  variant                   passed  wrong skipped errors worst/bound  ambiguous\n"
      "  two_pass                     586      0       0      0       0.648    0.0000%\n"
      "\n15305478 elements checked, 1.0 s;\n";
  ASSERT_TRUE(looks_like_validation(printed));
  ValidationResults results;
  std::string why;
  ASSERT_TRUE(parse_validation(printed, "v.txt", results, why)) << why;
  ASSERT_EQ(results.variants.size(), 3U);
  EXPECT_EQ(results.variants[0].op, "norm_quant_forward");
  EXPECT_EQ(results.variants[0].wrong, 1);
  EXPECT_EQ(results.variants[1].variant, "somebody:a_name_that_is_wider_than_the_column");
  EXPECT_EQ(results.variants[1].passed, 7);
  EXPECT_EQ(results.variants[2].device, "host");
  EXPECT_EQ(results.variants[2].op, "weight_quant");
  EXPECT_EQ(results.variants[2].worst_error_over_bound, 0.648);
}

TEST(ParseValidation, OtherTextsAreRefused) {
  ValidationResults results;
  std::string why;
  for (const char* text : {"{\n", "{\n}\n", "{\n\"schema\": \"normquant.validate/1\"\n}\n", "a worst/bound b\n",
                           "{\n\"schema\": \"normquant.validate/1\", \"variants\": 3\n}\n"}) {
    EXPECT_FALSE(parse_validation(text, "file", results, why)) << text;
    EXPECT_NE(why.find("file"), std::string::npos);
  }
  EXPECT_FALSE(results.given());
  EXPECT_FALSE(looks_like_validation(R"({"kind": "environment", "note": " worst/bound "})")) << "a record file";
}

constexpr const char* environment = R"({"kind":"environment","suite":"normquant","schema":1,"gpu":{"name":"G"}})";

std::string short_timing_line(const std::string& variant, const std::string& shape, const std::string& us) {
  return R"({"kind":"timing","op":"o","variant":")" + variant + R"(","shape":")" + shape +
         R"(","dtype":"d","form":"f","time_kind":"steady","verdict":"pass","samples":[)" + us + R"(],"median_us":)" +
         us + R"(,"q1_us":)" + us + R"(,"q3_us":)" + us + "}\n";
}

std::string file_with(const std::string& name, const std::string& content) {
  std::string path = testing::TempDir() + name;
  std::ofstream(path) << content;
  return path;
}

TEST(ReadResults, TellsRecordsAndValidationApart) {
  const std::string records =
      file_with("results_r.jsonl", std::string(environment) + "\n" + short_timing_line("v", "2x3", "5"));
  const std::string validation = file_with("results_v.json", validate_json());
  std::string why;
  const auto results = read_results({validation, records}, Repeated::pool, why);
  ASSERT_TRUE(results) << why;
  EXPECT_EQ(results->records.timings.size(), 1U);
  EXPECT_EQ(results->records.timings[0].rows, 2);
  EXPECT_EQ(results->records.timings[0].columns, 3);
  EXPECT_EQ(results->validation.variants.size(), 2U);
  EXPECT_FALSE(read_results({records + ".none"}, Repeated::pool, why));
  for (const std::string& path : {records, validation}) std::remove(path.c_str());
}

TEST(ReadResults, ACaseOfSeveralFilesIsPooledOrTheFirstFiles) {
  const std::string head = std::string(environment) + "\n";
  const std::string first = file_with("results_1.jsonl", head + short_timing_line("a", "1x1", "5"));
  const std::string second =
      file_with("results_2.jsonl", head + short_timing_line("a", "1x1", "7") + short_timing_line("b", "1x1", "1") +
                                       short_timing_line("a", "2x2", "9"));
  std::string why;
  EXPECT_FALSE(read_results({first, second, first}, Repeated::pool, why)) << "its samples would count twice";
  EXPECT_NE(why.find("is given twice"), std::string::npos) << why;
  const auto pooled = read_results({first, second}, Repeated::pool, why);
  ASSERT_TRUE(pooled) << why;
  ASSERT_EQ(pooled->records.timings.size(), 3U);
  EXPECT_EQ(pooled->records.timings[0].median_us, 6);
  const auto kept = read_results({first, second}, Repeated::first, why);
  ASSERT_TRUE(kept) << why;
  ASSERT_EQ(kept->records.timings.size(), 2U) << "of 1x1 the first file's alone";
  EXPECT_EQ(kept->records.timings[0].median_us, 5);
  EXPECT_EQ(kept->records.timings[1].shape, "2x2");
  for (const std::string& path : {first, second}) std::remove(path.c_str());
}

TEST(ReadResults, OtherDriversPowerLimitsAndCommitsAreShownApartAndNamed) {
  const auto head = [](const std::string& driver, int watts, const std::string& commit) {
    return R"({"kind":"environment","suite":"normquant","schema":1,"commit":")" + commit +
           R"(","gpu":{"name":"NVIDIA Invented","driver":")" + driver + R"(","power_limit_w":)" +
           std::to_string(watts) + "}}\n";
  };
  const auto names = [&](const std::string& a, const std::string& b) {
    const std::string first = file_with("results_1.jsonl", a + short_timing_line("a", "1x1", "5"));
    const std::string second = file_with("results_2.jsonl", b + short_timing_line("a", "1x1", "7"));
    std::string why;
    const auto results = read_results({first, second}, Repeated::pool, why);
    std::vector<std::string> found;
    if (!results) return found;
    for (const Timing& timing : results->records.timings) {
      found.push_back(results->records.environments[timing.environment].one_device());
    }
    for (const std::string& path : {first, second}) std::remove(path.c_str());
    return found;
  };
  using Names = std::vector<std::string>;
  const std::string usual = head("1", 700, "abc");
  EXPECT_EQ(names(usual, usual), Names{"NVIDIA Invented"}) << "two runs of one program are pooled";
  EXPECT_EQ(names(usual, head("2", 700, "abc")), (Names{"NVIDIA Invented, driver 1", "NVIDIA Invented, driver 2"}));
  EXPECT_EQ(names(usual, head("1", 500, "abc")),
            (Names{"NVIDIA Invented, power limit 700 W", "NVIDIA Invented, power limit 500 W"}));
  EXPECT_EQ(names(usual, head("1", 700, "")),
            (Names{"NVIDIA Invented, commit abc", "NVIDIA Invented, commit unknown"}));
}

TEST(ReadResults, AShapeThatIsNotMxNHasNoDimensions) {
  const std::string records =
      file_with("results_s.jsonl", std::string(environment) + "\n" + short_timing_line("v", "3xx", "5") +
                                       short_timing_line("v", "<b>", "5") + short_timing_line("v", "4x", "5"));
  std::string why;
  const auto results = read_results({records}, Repeated::pool, why);
  ASSERT_TRUE(results) << why;
  for (const Timing& timing : results->records.timings) EXPECT_EQ(timing.rows + timing.columns, 0) << timing.shape;
  std::remove(records.c_str());
}

}  // namespace
}  // namespace normquant::reports
