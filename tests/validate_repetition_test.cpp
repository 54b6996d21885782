// The period with which the rows of a large problem repeat.
#include <gtest/gtest.h>

#include "run_variants.hpp"
#include "validate/repetition.hpp"
#include "validate/suite.hpp"

namespace normquant::validate {
namespace {

Problem forward(std::int64_t rows, std::int64_t columns, DType x) {
  Problem p;
  p.rows = rows;
  p.columns = columns;
  p.x = x;
  p.out = x;
  return p;
}

TEST(DistinctRows, IsAPrimeWhereAllRowsStartAlike) {
  EXPECT_EQ(distinct_rows(forward(4096, 4096, DType::bfloat16)), 61);
  EXPECT_EQ(distinct_rows(forward(4096, 2564, DType::float32)), 61);
}

TEST(DistinctRows, IsAMultipleOfTheAlignmentsPeriod) {
  EXPECT_EQ(distinct_rows(forward(4096, 4097, DType::float32)), 61 * 4);
  EXPECT_EQ(distinct_rows(forward(4096, 4097, DType::bfloat16)), 61 * 8);
  EXPECT_EQ(distinct_rows(forward(4096, 4098, DType::bfloat16)), 61 * 4);
  EXPECT_EQ(distinct_rows(forward(4096, 4100, DType::bfloat16)), 61 * 2);
}

TEST(DistinctRows, TheMatrixWithTheLongestPeriodDecides) {
  Problem p = forward(4096, 4100, DType::float32);
  EXPECT_EQ(distinct_rows(p), 61);
  p.residual = DType::float16;
  EXPECT_EQ(distinct_rows(p), 61 * 2);
  p.codes = true;
  EXPECT_EQ(distinct_rows(p), 61 * 4);
}

TEST(DistinctRows, ThePaddingCounts) {
  Problem p = forward(4096, 4096, DType::bfloat16);
  p.row_padding = 3;
  EXPECT_EQ(distinct_rows(p), 61 * 8);
  p = forward(4096, 4093, DType::bfloat16);
  p.row_padding = 3;
  EXPECT_EQ(distinct_rows(p), 61);
}

TEST(DistinctRows, VectorsAndMatrixSumsHaveNoRowsToAlign) {
  Problem p = forward(4096, 4100, DType::float32);
  p.weight = p.bias = DType::bfloat16;
  EXPECT_EQ(distinct_rows(p), 61);
  p.op = Operation::weight_quant;
  p.columns = 4097;
  EXPECT_EQ(distinct_rows(p), 61);
}

TEST(DistinctRows, StartAlikeOnePeriodApartInEverySuite) {
  for (Operation op : {Operation::norm_quant_forward, Operation::norm_quant_backward, Operation::activation_quant}) {
    for (const Case& c : suite_cases(op, SuiteSize::exhaustive, 5, {})) {
      const Problem& p = c.problem;
      std::vector<std::int64_t> paddings = {p.row_padding};
      for (const auto& [tensor, padding] : p.paddings) paddings.push_back(padding);
      for (std::int64_t padding : paddings) {
        const std::int64_t stride = distinct_rows(p) * (p.columns + padding);
        for (const auto& type :
             {std::optional(p.x), p.residual, p.residual_out, p.out, p.dy, p.dresidual, p.dx_residual, p.dx}) {
          const auto bytes = static_cast<std::int64_t>(type ? size_of(*type) : 0);
          EXPECT_EQ(stride * bytes % 16, 0) << to_text(p);
        }
        EXPECT_EQ(p.codes ? stride % 16 : 0, 0) << to_text(p);
      }
    }
  }
}

TEST(DistinctRows, LongRowsHaveFewerButStartAlikeStill) {
  for (std::int64_t columns : {8209, 32771, 131073, 1048577, 16777217}) {
    const std::int64_t distinct = distinct_rows(forward(4096, columns, DType::float16));
    EXPECT_EQ(distinct % 8, 0);
    EXPECT_GE(distinct, 3 * 8);
    EXPECT_LE(distinct, 61 * 8);
    EXPECT_TRUE(distinct == std::int64_t{3} * 8 || distinct * columns <= std::int64_t{1} << 22);
  }
}

/// More rows than the period, at four alignments: equal rows must be equal in every bit on every variant.
TEST(DistinctRows, UnalignedRowsPassOnEveryVariant) {
  Problem p = forward(61 * 4 + 40, 67, DType::float32);
  p.seed = 7;
  tests::expect_all_variants_pass(p, distinct_rows(p));
  p.op = Operation::norm_quant_backward;
  p.dy = DType::float32;
  tests::expect_all_variants_pass(p, distinct_rows(p));
}

}  // namespace
}  // namespace normquant::validate
