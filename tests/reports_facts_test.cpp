// The facts of a report on invented records: summaries, cost of the column sums, what was left out, changes, verdicts,
// and that every rendering says the same.
#include "reports/facts.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "reports/facts_csv.hpp"
#include "reports/facts_json.hpp"
#include "reports/report.hpp"
#include "reports/verdict.hpp"
#include "reports/whole_file.hpp"

namespace normquant::reports {
namespace {

Timing timing(const std::string& variant, double median_us, const std::string& shape = "16x4096") {
  Timing timing;
  timing.op = "norm_quant_forward";
  timing.variant = variant;
  timing.auto_variant = "one_pass";
  timing.shape = shape;
  timing.dtype = "bfloat16";
  timing.form = "rms";
  timing.time_kind = "steady";
  timing.verdict = "pass";
  timing.samples = std::vector<double>(20, median_us);
  timing.median_us = timing.q1_us = timing.q3_us = median_us;
  timing.bytes = 1000;
  timing.requested_bytes = 1000;
  timing.copy_us = 1;
  timing.share_of_copy = 1 / median_us;
  return timing;
}

Timing ended(const std::string& variant, const std::string& verdict, const std::string& reason) {
  Timing failed = timing(variant, 1);
  failed.verdict = verdict;
  failed.reason = reason;
  failed.samples.clear();
  return failed;
}

Results gpu_results(std::vector<Timing> timings) {
  Results results;
  Environment environment;
  environment.gpu = "NVIDIA Invented";
  environment.launch_floor_us = 0.5;
  environment.json = R"({"kind": "environment"})";
  results.records.environments = {environment};
  results.records.timings = std::move(timings);
  return results;
}

ValidatedVariant validated(std::int64_t passed, std::int64_t wrong, std::int64_t errors) {
  ValidatedVariant variant;
  variant.op = "norm_quant_forward";
  variant.variant = "one_pass";
  variant.passed = passed;
  variant.wrong = wrong;
  variant.errors = errors;
  return variant;
}

Results with_validation(Results results, const ValidatedVariant& variant) {
  results.validation.files = {"validate.json"};
  results.validation.variants = {variant};
  return results;
}

TEST(Facts, SharesAndRegretAreSummedUp) {
  const Facts facts = facts_of(gpu_results({timing("one_pass", 1.0, "1x1"), timing("one_pass", 2.2, "2x2"),
                                            timing("two_pass", 2.0, "2x2"), timing("two_pass", 4.0, "3x3")}));
  EXPECT_EQ(facts.shares.cases, 3U);
  EXPECT_EQ(facts.shares.at_least_95, 1U);
  EXPECT_EQ(facts.shares.median, 0.5);
  EXPECT_EQ(facts.shares.least, 0.25);
  EXPECT_EQ(facts.shares.least_case, 2U);
  EXPECT_EQ(facts.regret.cases, 2U) << "auto was not timed in the third case";
  EXPECT_EQ(facts.regret.above_3, 1U);
  EXPECT_NEAR(*facts.regret.mean, 0.05, 1e-12);
  EXPECT_NEAR(*facts.regret.worst, 0.1, 1e-12);
  EXPECT_EQ(facts.regret.worst_case, 1U);
}

TEST(Facts, WithoutCopyOrAutoNothingIsClaimed) {
  Timing lone = timing("two_pass", 2);
  lone.copy_us = lone.share_of_copy = std::nullopt;
  const Facts facts = facts_of(gpu_results({lone}));
  EXPECT_FALSE(facts.shares.median || facts.shares.least || facts.regret.mean || facts.regret.worst);
  const std::string text = render(facts, Format::table);
  EXPECT_NE(text.find("No plain copy was timed"), std::string::npos) << text;
  EXPECT_NE(text.find("its regret is not known"), std::string::npos) << text;
}

TEST(Facts, TheSumsCostWhatTheFastestVariantMovesBeyondEachTensorOnce) {
  Timing backward = timing("single", 3);
  backward.op = "norm_quant_backward";
  backward.requested_bytes = 1500;
  Timing slower = backward;
  slower.variant = "slow";
  slower.median_us = 4;
  slower.requested_bytes = 9000;
  Timing unknown = backward;
  unknown.shape = "1x1";
  unknown.requested_bytes = 0;
  const Facts facts = facts_of(gpu_results({slower, backward, unknown, timing("one_pass", 1)}));
  ASSERT_EQ(facts.sums.size(), 1U) << "of backward cases with known traffic only";
  EXPECT_EQ(facts.sums[0].extra_bytes, 500);
  EXPECT_EQ(facts.sums[0].extra_share, 0.5);
  EXPECT_EQ(facts.sums[0].extra_us, 0.5) << "half of the copy's microsecond";
  EXPECT_EQ(facts.sums[0].above_copy_us, 2);
}

TEST(Facts, WhatWasSkippedIsGroupedByReasonAndFailuresAreKept) {
  const Facts facts = facts_of(gpu_results(
      {ended("a", "skipped", "no row of 136 columns"), ended("a", "skipped", "no row of 200 columns"),
       ended("b", "skipped", "keeps 64 elements"), ended("c", "wrong", "codes differ"), timing("one_pass", 1)}));
  ASSERT_EQ(facts.skipped.size(), 2U);
  EXPECT_EQ(facts.skipped[0].reason, "no row of # columns");
  EXPECT_EQ(facts.skipped[0].cases, 2);
  EXPECT_EQ(facts.skipped[1].reason, "keeps 64 elements") << "numbers stay while they are the same";
  ASSERT_EQ(facts.failed.size(), 1U);
  EXPECT_EQ(facts.records.timings[facts.failed[0]].variant, "c");
}

TEST(Verdict, WrongComesBeforeErrorBeforeTheGate) {
  const auto outcome = [](Results results) { return facts_of(std::move(results)).verdict.outcome; };
  EXPECT_EQ(outcome(gpu_results({timing("a", 1)})), "passed");
  EXPECT_EQ(outcome(gpu_results({timing("a", 1), ended("b", "error", "")})), "error");
  EXPECT_EQ(outcome(gpu_results({ended("a", "wrong", ""), ended("b", "error", "")})), "wrong");
  EXPECT_EQ(outcome(gpu_results({})), "empty");
  EXPECT_EQ(outcome(gpu_results({ended("a", "skipped", "no")})), "empty") << "skipped is never passed";
  EXPECT_EQ(outcome(with_validation(gpu_results({timing("a", 1)}), validated(5, 1, 0))), "wrong");
  EXPECT_EQ(outcome(with_validation(gpu_results({timing("a", 1)}), validated(5, 0, 1))), "error");
  EXPECT_EQ(outcome(with_validation({}, validated(5, 0, 0))), "passed");
  EXPECT_EQ(outcome(with_validation({}, validated(0, 0, 0))), "empty");
}

TEST(Verdict, SaysWhetherValidationResultsWereGiven) {
  EXPECT_NE(facts_of(gpu_results({timing("a", 1)})).verdict.sentence.find("No validation results were given"),
            std::string::npos);
  EXPECT_NE(
      facts_of(with_validation(gpu_results({timing("a", 1)}), validated(5, 0, 0))).verdict.sentence.find("5 cases"),
      std::string::npos);
}

TEST(Verdict, OfTwoSetsIsTheGates) {
  const RecordSet baseline = gpu_results({timing("a", 10)}).records;
  const auto outcome = [&baseline](Results results) { return facts_of(std::move(results), &baseline).verdict.outcome; };
  EXPECT_EQ(outcome(gpu_results({timing("a", 10)})), "passed");
  EXPECT_EQ(outcome(gpu_results({timing("a", 9)})), "passed");
  EXPECT_EQ(outcome(gpu_results({timing("a", 12)})), "slower");
  EXPECT_EQ(outcome(gpu_results({timing("b", 10)})), "refused") << "nothing in common";
  EXPECT_EQ(outcome(with_validation({}, validated(5, 0, 0))), "refused") << "no records to compare";
  Timing few = timing("a", 10);
  few.samples.resize(3);
  EXPECT_EQ(outcome(gpu_results({few})), "inconclusive");
  const Facts same = facts_of(gpu_results({timing("a", 10)}), &baseline);
  EXPECT_TRUE(verdict_line(same).starts_with("NOTHING SLOWER: ")) << verdict_line(same);
}

TEST(Facts, ChangesNameTheirCases) {
  const RecordSet baseline = gpu_results({timing("a", 10), timing("b", 10), timing("gone", 10)}).records;
  const Facts facts = facts_of(gpu_results({timing("b", 12), timing("a", 10)}), &baseline);
  ASSERT_EQ(facts.changes->cases.size(), 2U);
  EXPECT_EQ(facts.changes->cases[0].variant, "b") << "the slower one first";
  EXPECT_EQ(facts.changes->cases[0].shape, "16x4096");
  EXPECT_EQ(facts.changes->result.missing.size(), 1U);
  const std::string text = render(facts, Format::table);
  EXPECT_NE(text.find("SLOWER"), std::string::npos);
  EXPECT_NE(text.find("missing: norm_quant_forward 16x4096 bfloat16 rms gone"), std::string::npos) << text;
}

/// Facts in which no list is empty.
Facts full_facts() {
  Timing backward = timing("single", 3);
  backward.op = "norm_quant_backward";
  Results results = with_validation(gpu_results({timing("one_pass", 2), timing("two_pass", 3), backward,
                                                 ended("s", "skipped", "no"), ended("w", "wrong", "codes differ")}),
                                    validated(5, 1, 0));
  results.validation.skipped = {{"norm_quant_forward", "split", "serves little", 3, "op=norm_quant_forward"}};
  results.validation.failed = {{"cuda:0", "norm_quant_forward", "one_pass", "shape=1x1", "wrong", "codes differ"}};
  const RecordSet baseline = gpu_results({timing("one_pass", 2)}).records;
  return facts_of(std::move(results), &baseline);
}

TEST(FactsAsJson, EveryListHasTheKeysOfItsSection) {
  const auto document = facts_as_json(full_facts());
  for (const Section& section : sections()) {
    const auto& list = document.at(section.name);
    ASSERT_FALSE(list.empty()) << section.name;
    std::vector<std::string> keys;
    for (const auto& [key, value] : list[0].items()) keys.push_back(key);
    EXPECT_EQ(keys, section.keys) << section.name;
  }
}

TEST(FactsAsJson, EveryKeyIsExplained) {
  const std::string glossary = read_whole(NORMQUANT_SOURCE_DIR "/docs/reports.md").value_or("");
  for (const Section& section : sections()) {
    EXPECT_NE(glossary.find("`" + section.name + "`"), std::string::npos) << section.name;
    for (const std::string& key : section.keys) EXPECT_NE(glossary.find("`" + key + "`"), std::string::npos) << key;
  }
}

TEST(FactsAsJson, CasesAndTimingsBelongTogether) {
  const auto document = facts_as_json(full_facts());
  EXPECT_EQ(document["schema"], "normquant.report/1");
  EXPECT_EQ(document["cases"][0]["best_variant"], "one_pass");
  EXPECT_EQ(document["cases"][0]["floor_us"], 0.5);
  EXPECT_EQ(document["timings"][1]["variant"], "two_pass");
  EXPECT_EQ(document["timings"][1]["case"], 0);
  EXPECT_EQ(document["timings"][1]["ratio_to_best"], 1.5);
  EXPECT_EQ(document["timings"][2]["case"], 1);
}

TEST(Render, EverySectionIsATableAndCsv) {
  const Facts facts = full_facts();
  for (const Section& section : sections()) {
    const std::string csv = render(facts, Format::csv, section.name);
    EXPECT_TRUE(csv.starts_with(section.keys[0] + "," + section.keys[1])) << csv;
    EXPECT_GE(std::count(csv.begin(), csv.end(), '\n'), 2) << section.name;
    EXPECT_FALSE(render(facts, Format::table, section.name).empty());
    EXPECT_TRUE(render(facts, Format::markdown, section.name).starts_with("| ")) << section.name;
  }
}

TEST(Render, MarkdownSaysWhatIsMissing) {
  const std::string text = render(facts_of(gpu_results({timing("one_pass", 2)})), Format::markdown);
  EXPECT_NE(text.find("No validation results were given"), std::string::npos);
  const std::string full = render(full_facts(), Format::markdown);
  for (const char* part : {"WRONG RESULTS", "## Changes", "serves little", "codes differ", "shape=1x1"}) {
    EXPECT_NE(full.find(part), std::string::npos) << part;
  }
}

TEST(Render, AValidationAloneIsATable) {
  ValidatedVariant variant = validated(5, 0, 0);
  variant.worst_error_over_bound = 0.625;
  const std::string text = render(facts_of(with_validation({}, variant)), Format::table);
  for (const char* part : {"PASSED", "worst error over bound", "0.625 of its bound (norm_quant_forward one_pass)"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << text;
  }
  EXPECT_EQ(text.find("plain copy"), std::string::npos) << "nothing was timed that could have a share";
}

TEST(Render, HostileTextsAreTextOutsideTablesToo) {
  const std::string hostile = "<b>|`\x1b[31m\n```";
  const auto renamed = [&hostile](Timing timing) {
    timing.op = timing.variant = timing.reason = hostile;
    return timing;
  };
  Results results = gpu_results({renamed(timing("a", 20)), renamed(ended("b", "wrong", ""))});
  results.records.environments[0].driver = results.records.environments[0].commit = hostile;
  RecordSet baseline = gpu_results({renamed(timing("a", 10)), renamed(timing("a", 10, "2x2"))}).records;
  const Facts facts = facts_of(std::move(results), &baseline);
  ASSERT_EQ(facts.changes->result.missing.size(), 1U);
  EXPECT_EQ(render(facts, Format::table).find('\x1b'), std::string::npos);
  const std::string markdown = render(facts, Format::markdown);
  EXPECT_EQ(markdown.find('\x1b'), std::string::npos);
  const std::string before_code = markdown.substr(0, markdown.find("```text"));
  EXPECT_EQ(before_code.find("<b>"), std::string::npos) << markdown;
  EXPECT_EQ(before_code.find("```"), std::string::npos) << markdown;
}

TEST(Facts, CasesOfSeveralDevicesStayApart) {
  Results results = gpu_results({timing("one_pass", 2), timing("one_pass", 1)});
  Environment other;
  other.gpu = "NVIDIA Other";
  other.json = "{}";
  results.records.environments.push_back(other);
  results.records.timings[1].environment = 1;
  const auto document = facts_as_json(facts_of(std::move(results)));
  ASSERT_EQ(document["cases"].size(), 2U);
  EXPECT_EQ(document["cases"][0]["device"], "NVIDIA Invented");
  EXPECT_EQ(document["cases"][1]["device"], "NVIDIA Other");
  EXPECT_TRUE(document["cases"][1]["floor_us"].is_null());
}

}  // namespace
}  // namespace normquant::reports
