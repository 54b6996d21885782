// Honest float32 evaluations, however ordered and rounded, stay inside the bounds, and come near them.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "oracle/tightness.hpp"
#include "run_program.hpp"

namespace normquant::oracle {
namespace {

/// Made once: all problems in all styles.
const std::vector<Nearest>& all_cases() {
  static const std::vector<Nearest> cases = [] {
    std::vector<Nearest> all;
    for (const validate::Problem& problem : tightness_problems(5)) {
      if (problem.columns > 1024) continue;
      for (Nearest& one : nearest_of(problem)) all.push_back(std::move(one));
    }
    return all;
  }();
  return cases;
}

TEST(Oracle, EveryHonestEvaluationIsInside) {
  for (const Nearest& one : all_cases()) {
    EXPECT_EQ(one.outside, 0) << one.tensor << " of " << one.problem << ": " << one.worst << " of the bound, "
                              << one.worst_style;
  }
}

/// (h - mean) * weight leaves float32 though y does not: whoever factors rstd out must look.
TEST(Oracle, ProductsThatOverflowAreNoFalseAlarm) {
  for (const char* norm : {"rms", "layer"}) {
    for (int columns : {1, 2, 5, 8, 40}) {
      std::string why;
      const auto problem = validate::parse_problem(
          fmt::format("op=forward shape=2x{} weight=float32 norm={} values=huge_weight", columns, norm), why);
      ASSERT_TRUE(problem) << why;
      for (const Nearest& one : nearest_of(*problem)) EXPECT_EQ(one.outside, 0) << one.tensor << " of " << one.problem;
    }
  }
}

TEST(Oracle, EveryBoundIsTight) {
  const auto all = tightness_of(all_cases());
  EXPECT_EQ(all.size(), 11U);
  for (const Tightness& t : all) {
    EXPECT_GT(t.lengths, 3) << name_of(t.op) << " " << t.tensor;
    EXPECT_LE(t.median, most_loose) << name_of(t.op) << " " << t.tensor;
    EXPECT_GE(t.median, 1) << name_of(t.op) << " " << t.tensor;
  }
}

TEST(Oracle, AnErrorBeyondTheBoundIsCounted) {
  Nearest outside{validate::Operation::weight_quant, "t", "", 8, 1.5, "", 10, 2};
  EXPECT_EQ(tightness_of({outside}).front().outside, 2);
}

TEST(OracleCommand, SaysWhatTheChecksAreWorth) {
  using tests::expect_answer;
  expect_answer("oracle --elements 0", 0, "nothing speaks against the checks");
  expect_answer("oracle --op activation_quant --elements 1", 0, "0 false alarms, 0 errors");
  expect_answer("oracle --suite huge", 2, "huge");
  expect_answer("oracle --op sideways", 2, "sideways");
  expect_answer("oracle --elements nan", 2, "--elements");
  expect_answer("oracle --json /nonexistent/f.json", 5, "cannot write");
}

}  // namespace
}  // namespace normquant::oracle
