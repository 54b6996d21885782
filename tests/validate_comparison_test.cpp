// The comparison accepts by error <= bound, and notices every kind of damage.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "validate/comparison.hpp"
#include "validate/device_tensor.hpp"
#include "validate/operations/prepared_problem.hpp"
#include "validate/summary.hpp"

namespace normquant::validate {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double inf = std::numeric_limits<double>::infinity();

bool value_passes(DType type, double actual, double truth, double bound) {
  Comparison comparison;
  comparison.value("t", 0, 0, type, encode(type, actual), truth, bound);
  return comparison.verdict().outcome == Outcome::pass;
}

TEST(Comparison, ValuesPassWithinTheBoundOnly) {
  EXPECT_TRUE(value_passes(DType::float32, 1.0, 1.0, 0));
  EXPECT_TRUE(value_passes(DType::float32, 1.01, 1.0, 0.011));
  EXPECT_FALSE(value_passes(DType::float32, 1.01, 1.0, 0.009));
  EXPECT_FALSE(value_passes(DType::float32, -1.0, 1.0, 0.5));
}

TEST(Comparison, NanPassesOnlyWhereNanIsTheTruth) {
  EXPECT_FALSE(value_passes(DType::float32, nan, 1.0, 1e30));
  EXPECT_FALSE(value_passes(DType::float32, 1.0, nan, 1e30));
  EXPECT_TRUE(value_passes(DType::bfloat16, nan, nan, 0));
}

TEST(Comparison, InfinityPassesOnlyWhereTheTypeOverflows) {
  EXPECT_TRUE(value_passes(DType::float16, inf, 70000.0, 0));
  EXPECT_FALSE(value_passes(DType::float16, -inf, 70000.0, 0));
  EXPECT_FALSE(value_passes(DType::float16, inf, 60000.0, 0));
  EXPECT_FALSE(value_passes(DType::float32, inf, 70000.0, 0));
  EXPECT_TRUE(value_passes(DType::float32, inf, inf, 0));
  EXPECT_FALSE(value_passes(DType::float32, 1e38, inf, 0));
}

TEST(Comparison, AnythingWrittenPassesWhereTheBoundIsInfinite) {
  EXPECT_TRUE(value_passes(DType::float32, nan, 1.0, inf));
  EXPECT_TRUE(value_passes(DType::float32, -7.0, 1.0, inf));
  EXPECT_FALSE(value_passes(DType::float32, 1.0, nan, inf)) << "the truth's class comes first";
}

TEST(Comparison, TheSignOfAnExactZeroCounts) {
  for (const double truth : {0.0, -0.0}) {
    for (const double actual : {0.0, -0.0}) {
      Comparison comparison;
      comparison.exact("t", 0, 0, DType::bfloat16, encode(DType::bfloat16, actual), truth);
      EXPECT_EQ(comparison.verdict().outcome == Outcome::pass, std::signbit(truth) == std::signbit(actual));
      EXPECT_TRUE(value_passes(DType::bfloat16, actual, truth, 0)) << "elsewhere both zeros are one value";
    }
  }
}

/// What two launches over the two poisons left in one element of that type: the verdicts of both. `code`: an int8 code.
struct AfterTwoLaunches {
  Verdict first, second;
  AfterTwoLaunches(DType type, std::uint32_t after_first, std::uint32_t after_second, double truth, double bound) {
    Unwritten unwritten;
    for (const auto& [poison, bits] :
         {std::pair{Poison::first, after_first}, std::pair{Poison::second, after_second}}) {
      unwritten.begin(poison);
      Comparison comparison(unwritten);
      comparison.value("t", 0, 3, type, bits, truth, bound);
      (poison == Poison::first ? first : second) = comparison.verdict();
    }
  }
};

TEST(Comparison, WhatHoldsBothPoisonsWasNeverWritten) {
  for (const auto& [type, first, second] :
       {std::tuple{DType::float32, 0xFFFFFFFFU, 0x5A5A5A5AU}, std::tuple{DType::float16, 0xFFFFU, 0x5A5AU},
        std::tuple{DType::bfloat16, 0xFFFFU, 0x5A5AU}}) {
    for (const auto& [truth, bound] : {std::pair{nan, 0.0}, std::pair{1.0, 0.0}, std::pair{1.0, inf}}) {
      const AfterTwoLaunches never(type, first, second, truth, bound);
      EXPECT_EQ(never.first.like_poison, 1);
      EXPECT_EQ(never.second.outcome, Outcome::wrong) << name_of(type) << " " << truth << " " << bound;
      EXPECT_NE(never.second.reason.find("t[0,3] is never written"), std::string::npos) << never.second.reason;
    }
    // A NaN with its sign set has the bits of the first poison; a kernel that wrote it writes it again.
    const AfterTwoLaunches written(type, first, first, nan, 0);
    EXPECT_EQ(written.first.like_poison, 1);
    EXPECT_EQ(written.first.outcome, Outcome::pass);
    EXPECT_EQ(written.second.outcome, Outcome::pass) << written.second.reason;
    EXPECT_EQ(written.second.like_poison, 0);
    // So does one that writes the bits of the second.
    const AfterTwoLaunches number(type, second, second, decode(type, second), 0);
    EXPECT_EQ(number.first.like_poison, 0);
    EXPECT_EQ(number.second.outcome, Outcome::pass) << number.second.reason;
  }
}

TEST(Comparison, ACodeThatIsThePoisonIsRightWhereItIsTheTruth) {
  const auto verdict_of = [](int after_first, int after_second, double t) {
    Unwritten unwritten;
    Verdict verdict;
    for (const auto& [poison, code] :
         {std::pair{Poison::first, after_first}, std::pair{Poison::second, after_second}}) {
      unwritten.begin(poison);
      Comparison comparison(unwritten);
      comparison.code("codes", 1, 2, code, t, 0, reference::Rounding::half_even, -128, 127);
      verdict = comparison.verdict();
    }
    return verdict;
  };
  EXPECT_EQ(verdict_of(-128, -128, -128.0).outcome, Outcome::pass);
  EXPECT_EQ(verdict_of(0x5A, 0x5A, 90.0).outcome, Outcome::pass);
  EXPECT_NE(verdict_of(-128, 0x5A, -128.0).reason.find("never written"), std::string::npos);
  EXPECT_NE(verdict_of(-128, 0x5A, nan).reason.find("never written"), std::string::npos);
  EXPECT_EQ(verdict_of(-128, -128, 5.0).reason.find("never written"), std::string::npos) << "written, and wrong";
}

bool code_passes(int actual, double t, double error) {
  Comparison comparison;
  comparison.code("codes", 0, 0, actual, t, error, reference::Rounding::half_away, -128, 127);
  return comparison.verdict().outcome == Outcome::pass;
}

TEST(Comparison, OneCodeIsAdmissibleAwayFromTies) {
  EXPECT_TRUE(code_passes(3, 3.4, 0.01));
  EXPECT_FALSE(code_passes(4, 3.4, 0.01));
  EXPECT_FALSE(code_passes(2, 3.4, 0.01));
}

TEST(Comparison, TwoCodesAreAdmissibleNextToATie) {
  EXPECT_TRUE(code_passes(3, 3.4999, 0.001));
  EXPECT_TRUE(code_passes(4, 3.4999, 0.001));
  EXPECT_FALSE(code_passes(5, 3.4999, 0.001));
}

TEST(Comparison, ARowOfNanHasCodeZero) {
  EXPECT_TRUE(code_passes(0, nan, 0));
  EXPECT_FALSE(code_passes(-128, nan, 0));
}

bool fp8_passes(int byte, double t, double error) {
  Comparison comparison;
  comparison.code("codes", 0, 0, byte, t, error, CodeGrid::of(reference::Format::fp8_e4m3, {}));
  return comparison.verdict().outcome == Outcome::pass;
}

TEST(Comparison, CodesOfFp8AreJudgedOnTheirOwnGrid) {
  EXPECT_TRUE(fp8_passes(0x58, 16.9, 0.01));  // 16; 0x59 is 18
  EXPECT_FALSE(fp8_passes(0x59, 16.9, 0.01));
  EXPECT_TRUE(fp8_passes(0x58, 17, 0)) << "an exact tie goes to the even code";
  EXPECT_FALSE(fp8_passes(0x59, 17, 0));
  EXPECT_TRUE(fp8_passes(0x59, 17, 1e-6)) << "next to a tie both are right";
  EXPECT_FALSE(fp8_passes(0x5A, 17, 1e-6));
  EXPECT_TRUE(fp8_passes(0x01, 0x1p-9, 1e-9)) << "a subnormal";
  EXPECT_FALSE(fp8_passes(0x00, 0x1p-9, 1e-9));
  EXPECT_TRUE(fp8_passes(0x7E, 1e9, 1)) << "saturated";
  EXPECT_FALSE(fp8_passes(0x7D, 1e9, 1));
  EXPECT_TRUE(fp8_passes(0x00, -1e-5, 0) && fp8_passes(0x80, -1e-5, 0) && fp8_passes(0x80, 1e-5, 0)) << "either zero";
  EXPECT_TRUE(fp8_passes(0x7F, nan, 0));
  EXPECT_FALSE(fp8_passes(0xFF, nan, 0) || fp8_passes(0x00, nan, 0) || fp8_passes(0x7E, nan, 0));
  EXPECT_FALSE(fp8_passes(0x7F, 448, 1));
}

TEST(Comparison, TheShareOfAmbiguousFp8CodesIsOfTheirSpacing) {
  Comparison comparison;
  const CodeGrid grid = CodeGrid::of(reference::Format::fp8_e4m3, {});
  comparison.code("codes", 0, 0, 0x58, 16.5, 0.1, grid);    // 0.1 of a spacing of 2, on both sides
  comparison.code("codes", 0, 1, 0x7E, 1000.0, 0.1, grid);  // saturates: none
  EXPECT_NEAR(comparison.verdict().ambiguous_expected, 0.1, 1e-12);
  EXPECT_EQ(comparison.verdict().codes_ambiguous, 0);
  EXPECT_EQ(grid.count(448, 448), 1);
  EXPECT_EQ(grid.count(-0x1p-9, 0x1p-9), 3);
  EXPECT_EQ(grid.count(0x1.ep-3, 0x1p-2), 2);
  EXPECT_EQ(grid.count(-448, 448), 253);
}

TEST(Comparison, FakeQuantisedValuesAreCheckedAsCodes) {
  const auto passes = [](double actual) {
    Comparison comparison;
    comparison.fake_quantised("out", 0, 0, DType::bfloat16, encode(DType::bfloat16, actual), 100.2, 1e-4, 0.01, 1e-6,
                              reference::Rounding::half_away, -128, 127);
    return comparison.verdict().outcome == Outcome::pass;
  };
  EXPECT_TRUE(passes(1.00));
  EXPECT_FALSE(passes(1.01));  // code 101
  EXPECT_FALSE(passes(0.99));
}

TEST(DeviceTensor, NoticesWritesToGuardsAndPadding) {
  auto device = open_host_device();
  const auto damage_after_writing = [&](std::int64_t element) {
    DeviceTensor tensor(*device, 3, 4, sizeof(float), 6, Placement{sizeof(float)}, DeviceTensor::float_poison);
    EXPECT_TRUE(tensor.upload(std::vector<unsigned char>(48, 0), 3).ok());
    static_cast<float*>(tensor.data())[element] = 1.0F;
    std::string damage;
    EXPECT_TRUE(tensor.visit([](std::int64_t, const unsigned char*) { return true; }, damage).ok());
    return damage;
  };
  EXPECT_EQ(damage_after_writing(0), "");
  EXPECT_EQ(damage_after_writing(15), "");  // the last element of the last row
  EXPECT_NE(damage_after_writing(-1), "");
  EXPECT_NE(damage_after_writing(4), "");   // padding after row 0
  EXPECT_NE(damage_after_writing(16), "");  // behind the last row
}

TEST(PreparedProblem, OutputsThatNobodyWroteFail) {
  for (Operation op : all_operations) {
    Problem p;
    p.op = op;
    p.rows = 3;
    p.columns = 40;
    p.out = DType::bfloat16;
    p.codes = true;
    auto device = open_host_device();
    std::string why;
    auto prepared = prepare(p, *device, 0, why);
    ASSERT_NE(prepared, nullptr) << why;
    ASSERT_TRUE(prepared->poison_outputs().ok());
    const Verdict verdict = check_what_was_launched(*prepared, [] { return Status{}; });
    EXPECT_EQ(verdict.outcome, Outcome::wrong) << name_of(op);
    EXPECT_NE(verdict.reason.find("never written"), std::string::npos) << name_of(op) << ": " << verdict.reason;
    ASSERT_TRUE(prepared->poison_outputs().ok());
    ASSERT_TRUE(prepared->reserve(prepared->find("auto")).ok());
    ASSERT_TRUE(prepared->launch(prepared->find("auto"), nullptr).ok());
    EXPECT_EQ(prepared->check().outcome, Outcome::pass) << name_of(op);
  }
}

TEST(Comparison, ACodeOfAnExactTieIsKeptApartFromOtherAmbiguousOnes) {
  Comparison comparison;
  const auto check = [&](double t, double error, int code) {
    comparison.code("codes", 0, 0, code, t, error, reference::Rounding::half_away, -128, 127);
    comparison.fake_quantised("out", 0, 0, DType::float32, encode(DType::float32, code), t, error, 1.0, 0,
                              reference::Rounding::half_away, -128, 127);
  };
  check(2.25, 1e-5, 2);                 // one code
  check(2.5 * (1 + 0x1p-52), 1e-5, 3);  // 127 x / absmax is a tie, but for the roundings of float64
  check(-3.5, 1e-5, -3);                // the same, and the error decides
  check(2.5 + 5e-6, 1e-5, 3);           // beside a tie: a smaller error would leave one code
  EXPECT_EQ(comparison.verdict().outcome, Outcome::pass) << comparison.verdict().reason;
  check(2.5, 1.2, 3);  // on a tie, but four codes are admissible: a tighter bound would leave two
  EXPECT_EQ(comparison.verdict().codes_checked, 10);
  EXPECT_EQ(comparison.verdict().codes_ambiguous, 8);
  EXPECT_EQ(comparison.verdict().codes_on_ties, 4);
}

TEST(Summary, ExitStatusesFollowTheResults) {
  const auto status = [](std::int64_t passed, std::int64_t failed, std::int64_t errors, std::int64_t skipped) {
    Totals t;
    t.passed = passed, t.failed = failed, t.errors = errors, t.skipped = skipped;
    return exit_status_of(t, {});
  };
  EXPECT_EQ(status(3, 0, 0, 2), 0);
  EXPECT_EQ(status(3, 1, 1, 0), 1);
  EXPECT_EQ(status(3, 0, 1, 0), 5);
  EXPECT_EQ(status(0, 0, 0, 9), 2) << "skipped is not passed";
  Problem problem;
  Totals loose;
  loose.passed = 1, loose.codes = 1000, loose.ambiguous = 20;
  loose.distinct.add(problem, 1000);
  EXPECT_EQ(exit_status_of(loose, {}), 1) << "bounds that admit too many codes cannot be trusted";
  Totals tied = loose;
  tied.on_ties = 19;
  EXPECT_EQ(exit_status_of(tied, {}), 0) << "no bound decides a tie, however tight";
  Totals fine;
  fine.passed = 1;
  EXPECT_EQ(exit_status_of(fine, {"some_variant"}), 1) << "a variant that was never checked is no success";
}

TEST(Summary, FewCodesMakeNoShare) {
  EXPECT_FALSE(too_many_ambiguous(0, 0, 0));
  EXPECT_FALSE(too_many_ambiguous(1, 1, 1));
  EXPECT_FALSE(too_many_ambiguous(1000, 2, 1000)) << "chance comes to 2 or more in a quarter of all runs";
  EXPECT_TRUE(too_many_ambiguous(1000, 20, 1000));
  EXPECT_FALSE(too_many_ambiguous(1000, 20, 10)) << "ten values, each looked at a hundred times";
  EXPECT_FALSE(too_many_ambiguous(100'000'000, 100'000, 100'000'000)) << "exactly as many as allowed";
  EXPECT_TRUE(too_many_ambiguous(100'000'000, 103'000, 100'000'000)) << "of many, little more is enough";
  EXPECT_TRUE(too_many_ambiguous(4, 4, 4)) << "all of four: once in 10^12 runs";
}

TEST(Summary, CodesOfTheSameValuesCountOnce) {
  DistinctCodes codes, others;
  Problem p;
  p.rows = 2, p.columns = 8, p.seed = 5;
  codes.add(p, 32);  // as codes and as values
  p.norm = NormKind::layer;
  codes.add(p, 16);
  EXPECT_EQ(codes.count(), 16);
  p.seed = 6;
  others.add(p, 16);
  others.add(codes);
  EXPECT_EQ(others.count(), 32);
}

TEST(Summary, OwesNoCheckToVariantsForOtherDevices) {
  const auto skipped = [](const char* variant, bool for_other_devices) {
    Verdict verdict;
    verdict.outcome = Outcome::skipped;
    verdict.for_other_devices = for_other_devices;
    verdict.reason = "needs something";
    return CaseResult{"cuda:0", variant, {}, verdict};
  };
  const auto variants = summarise({skipped("clusters", true), skipped("clusters", true), skipped("others", false)});
  EXPECT_EQ(variants[0].device_lacks, "needs something");
  EXPECT_EQ(variants[1].device_lacks, "");
  EXPECT_EQ(never_checked(variants), std::vector<std::string>{"others on cuda:0"});
}

}  // namespace
}  // namespace normquant::validate
