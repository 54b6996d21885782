// The gate's verdict as JUnit, markdown and annotations.
#include <gtest/gtest.h>

#include <string>

#include "bench/gate/ci_output.hpp"

namespace normquant::gate {
namespace {

GateReport invented_report() {
  GateReport report;
  report.result.comparisons = {
      {"case <a> & \"b\"", 10, 11, 1.1, reports::Interval{1.09, 1.11}, reports::Change::slower},
      {"open", 10, 10.2, 1.02, std::nullopt, reports::Change::inconclusive},
      {"calm", 10, 10, 1, reports::Interval{0.99, 1.01}, reports::Change::same}};
  report.result.missing = {"gone (wrong: 100%\nof codes)"};
  report.notes = {"qualified & well"};
  return report;
}

TEST(CiOutput, JunitNeverPassesWhatIsNotDecided) {
  const std::string xml = junit_xml(invented_report());
  EXPECT_NE(xml.find("tests=\"4\" failures=\"1\" errors=\"2\" skipped=\"0\""), std::string::npos) << xml;
  EXPECT_NE(xml.find("case &lt;a&gt; &amp; &quot;b&quot;"), std::string::npos) << xml;
  EXPECT_NE(xml.find("INCONCLUSIVE: 1.0200 times as long, too little for an interval"), std::string::npos) << xml;
  GateReport refused;
  refused.result.refusal = "the GPUs differ";
  EXPECT_NE(junit_xml(refused).find("errors=\"1\""), std::string::npos);
}

TEST(CiOutput, AnnotationsCannotBeBrokenByText) {
  const std::string text = annotations(invented_report());
  EXPECT_NE(text.find("::error title=SLOWER::case <a>"), std::string::npos) << text;
  EXPECT_NE(text.find("::warning title=missing in the candidate::gone (wrong: 100%25%0Aof codes)\n"), std::string::npos)
      << text;
  GateReport many = invented_report();
  many.result.comparisons.assign(50, many.result.comparisons.front());
  std::size_t shown = 0;
  const std::string all = annotations(many);
  for (std::size_t at = all.find("::error"); at != std::string::npos; at = all.find("::error", at + 1)) ++shown;
  EXPECT_EQ(shown, 10U);
}

TEST(CiOutput, WhatWasNotTimedHasNoFigures) {
  GateReport report;
  report.result.comparisons = {{"calm", 0, 0, 0, std::nullopt, reports::Change::same, "", true}};
  for (const std::string& text : {junit_xml(report), markdown_summary(report), reports::gate_text(report.result, {})}) {
    EXPECT_NE(text.find("same machine code"), std::string::npos) << text;
    EXPECT_EQ(text.find("0.0"), std::string::npos) << text;
  }
}

TEST(CiOutput, MarkdownLeadsWithTheVerdict) {
  const std::string text = markdown_summary(invented_report());
  EXPECT_EQ(text.find("### normquant gate: 1 SLOWER"), 0U) << text;
  EXPECT_NE(text.find("<details><summary>1 SAME</summary>"), std::string::npos) << text;
  EXPECT_EQ(text.find("case <a>"), std::string::npos) << "escaped: " << text;
  GateReport refused;
  refused.result.refusal = "the GPUs differ";
  EXPECT_NE(markdown_summary(refused).find("not compared"), std::string::npos);
}

}  // namespace
}  // namespace normquant::gate
