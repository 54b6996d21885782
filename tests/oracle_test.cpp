// Honest float32 evaluations, however ordered and rounded, stay inside the bounds, and come near them.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "run_program.hpp"
#include "validate/oracle/tightness.hpp"

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

/// Found by the fuzzer of problems: products that leave float32 though y does not (huge_weight), quotients of 0 (zeros) and
/// below the normal numbers (subnormals).
TEST(Oracle, NoKindOfValuesIsAFalseAlarm) {
  int asked = 0;
  for (const char* plain :
       {"op=forward norm=rms", "op=forward norm=layer", "op=forward norm=layer bias=float32", "op=backward norm=rms",
        "op=backward norm=layer", "op=activation_quant", "op=weight_quant"}) {
    const bool takes_weight = std::string(plain).find("norm=") != std::string::npos;
    for (int kind = 0; kind <= static_cast<int>(validate::Values::nan_weight); ++kind) {
      for (int columns : {1, 2, 5, 32, 40}) {
        std::string why;
        const auto problem = validate::parse_problem(
            fmt::format("{} shape=3x{} values={}{}", plain, columns, name_of(static_cast<validate::Values>(kind)),
                        takes_weight ? " weight=float32" : ""),
            why);
        if (!problem) continue;  // values that the operation has no tensor for
        ++asked;
        for (const Nearest& one : nearest_of(*problem)) {
          EXPECT_EQ(one.outside, 0) << one.tensor << " of " << one.problem << ": " << one.worst_style;
        }
      }
    }
  }
  EXPECT_GT(asked, 700);
}

TEST(Oracle, EveryBoundIsTight) {
  const auto all = tightness_of(all_cases());
  EXPECT_EQ(all.size(), 18U);  // 11 tensors, 7 of them also by Welford's algorithms
  for (const Tightness& t : all) {
    EXPECT_GT(t.lengths, 3) << name_of(t.op) << " " << t.tensor;
    EXPECT_LE(t.median, most_loose) << name_of(t.op) << " " << t.tensor;
    EXPECT_GE(t.median, 1) << name_of(t.op) << " " << t.tensor;
  }
}

TEST(Oracle, AnErrorBeyondTheBoundIsCounted) {
  Nearest outside{Operation::weight_quant, "t", "", 8, 1.5, "", 10, 2};
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
