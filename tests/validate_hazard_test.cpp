// What a device that watches its kernels found is a verdict of its own, and never passes.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "exit_status.hpp"
#include "validate/result_files.hpp"
#include "validate/run.hpp"
#include "validate/summary.hpp"

namespace normquant::validate {
namespace {

CaseResult result(Outcome outcome, std::uint64_t schedule_seed = 1) {
  CaseResult one;
  one.device = "host";
  one.variant = "one_pass";
  one.schedule_seed = schedule_seed;
  one.verdict.outcome = outcome;
  one.verdict.watched = true;
  if (outcome == Outcome::hazard) {
    one.verdict.findings = {"race: one", "unwritten: two"};
    one.verdict.reason = one.verdict.findings.front();
  }
  return one;
}

TEST(Hazard, CountsAsWrongAndIsCountedForItself) {
  const auto variants = summarise({result(Outcome::pass), result(Outcome::hazard), result(Outcome::wrong)});
  ASSERT_EQ(variants.size(), 1U);
  EXPECT_EQ(variants[0].failed, 2);
  EXPECT_EQ(variants[0].hazards, 1);
  EXPECT_TRUE(totals(variants).watched);
  EXPECT_EQ(exit_status_of(totals(variants), {}), exit_wrong_results);
}

TEST(Hazard, IsWrittenWithAllFindings) {
  const auto document = nlohmann::json::parse(as_json({result(Outcome::pass), result(Outcome::hazard)}));
  EXPECT_EQ(document["summary"]["hazards"], 1);
  ASSERT_EQ(document["results"].size(), 1U);
  EXPECT_EQ(document["results"][0]["outcome"], "hazard");
  EXPECT_EQ(document["results"][0]["findings"], (std::vector<std::string>{"race: one", "unwritten: two"}));
  EXPECT_NE(as_junit({result(Outcome::hazard)}).find("<failure message=\"race: one\">"), std::string::npos);
}

TEST(Hazard, WhereNobodyLookedNothingIsSaidOfHazards) {
  CaseResult one = result(Outcome::pass);
  one.verdict.watched = false;
  const auto document = nlohmann::json::parse(as_json({one}));
  EXPECT_FALSE(document["summary"].contains("hazards"));
}

TEST(Hazard, TheReproducingCommandNamesProgramAndSchedule) {
  const std::string command = reproducing_command(result(Outcome::hazard, 7));
  EXPECT_EQ(command.rfind("normquant-watched validate --device host --schedule-seed 7 --variant '^one_pass$'", 0), 0U)
      << command;
  CaseResult plain = result(Outcome::wrong);
  plain.verdict.watched = false;
  EXPECT_EQ(reproducing_command(plain).rfind("normquant validate --device host --variant", 0), 0U);
}

}  // namespace
}  // namespace normquant::validate
