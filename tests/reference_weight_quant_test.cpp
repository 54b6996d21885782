// The reference's weight_quant and its packed codes against hand-computed matrices.
#include "reference/weight_quant.hpp"

#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "tests/random_arrays.hpp"

namespace normquant::reference {
namespace {

Array random_codes(Eigen::Index rows, Eigen::Index columns) {
  std::mt19937_64 generator(20);
  return Array::NullaryExpr(rows, columns, [&] { return static_cast<double>(generator() % 3) - 1.0; });
}

TEST(ReferenceWeightQuant, MatchesAMatrixComputedByHand) {
  Array w(2, 2);
  w << 1.0, -1.0, 0.25, 3.75;  // absmean 1.5: 0.67 -> 1, -0.67 -> -1, 0.17 -> 0, 2.5 -> 1 (clamped)
  Array code(2, 2);
  code << 1, -1, 0, 1;
  const WeightQuantResult result = weight_quant(w);
  EXPECT_EQ(result.absmean, 1.5);
  EXPECT_EQ(result.weight_scale, 1.0 / 1.5);
  EXPECT_EQ(result.dequant_factor, 1.5);
  EXPECT_TRUE((result.code == code).all()) << result.code;
  EXPECT_TRUE(((result.out - 1.5 * code).abs() <= 0x1p-52).all()) << result.out;  // one unit in the last place
}

TEST(ReferenceWeightQuant, RoundsTiesToEvenAndClampsBothEnds) {
  Array w(1, 6);
  w << 0.5, -0.5, 1.5, -1.5, 1.0, -1.0;  // absmean 1: the halves go to 0, the others to the ends
  Array code(1, 6);
  code << 0, 0, 1, -1, 1, -1;
  const WeightQuantResult result = weight_quant(w);
  EXPECT_EQ(result.weight_scale, 1.0);
  EXPECT_TRUE((result.code == code).all()) << result.code;
}

TEST(ReferenceWeightQuant, RoundsUpJustAboveTheTie) {
  Array w(1, 6);
  const double above = std::nextafter(0.5, 1.0);
  w << above, -above, 1.5, -1.5, 1.0, -1.0;  // absmean rounds to 1
  const WeightQuantResult result = weight_quant(w);
  EXPECT_EQ(result.code(0, 0), 1.0);
  EXPECT_EQ(result.code(0, 1), -1.0);
}

TEST(ReferenceWeightQuant, FloorsTheScaleOfTinyWeights) {
  Array w(1, 4);
  w << 6e-6, -6e-6, 4e-6, 0.0;  // absmean 4e-6 is below the floor 1e-5: 0.6 -> 1, -1, 0.4 -> 0, 0
  Array code(1, 4);
  code << 1, -1, 0, 0;
  const WeightQuantResult result = weight_quant(w);
  EXPECT_DOUBLE_EQ(result.absmean, 4e-6);
  EXPECT_EQ(result.dequant_factor, 1e-5);
  EXPECT_TRUE((result.code == code).all()) << result.code;
  EXPECT_DOUBLE_EQ(result.out(0, 1), -1e-5);
}

TEST(ReferenceWeightQuant, GivesZerosForAMatrixOfZeros) {
  const WeightQuantResult result = weight_quant(Array::Zero(3, 5));
  EXPECT_EQ(result.absmean, 0.0);
  EXPECT_EQ(result.dequant_factor, 1e-5);
  EXPECT_TRUE((result.code == 0.0).all());
  EXPECT_TRUE((result.out == 0.0).all());
}

TEST(ReferenceWeightQuant, TurnsEverythingIntoNaNForOneNonFiniteElement) {
  for (const double bad : {nan, infinity, -infinity}) {
    for (Eigen::Index i = 0; i < 15; ++i) {
      Array w = Array::Ones(3, 5);
      w(i / 5, i % 5) = bad;
      const WeightQuantResult result = weight_quant(w);
      ASSERT_TRUE(std::isnan(result.absmean) && std::isnan(result.weight_scale) && std::isnan(result.dequant_factor));
      ASSERT_TRUE((result.code == 0.0).all()) << bad << " at " << i;
      ASSERT_TRUE(result.out.isNaN().all()) << bad << " at " << i;
    }
  }
}

TEST(ReferencePackedCodes, PlaceFourCodesInAByteLowestBitsFirst) {
  Array code(2, 4);
  code << -1, 0, 1, 0,  // fields 0 1 2 1
      1, 1, -1, -1;     // fields 2 2 0 0
  const PackedCodes packed = pack_codes(code);
  ASSERT_EQ(packed.rows(), 2);
  ASSERT_EQ(packed.cols(), 1);
  EXPECT_EQ(packed(0, 0), 0b01'10'01'00);
  EXPECT_EQ(packed(1, 0), 0b00'00'10'10);
}

TEST(ReferencePackedCodes, FillTheLastByteWithCodeZero) {
  Array code(1, 5);
  code << 1, 1, 1, 1, -1;
  const PackedCodes packed = pack_codes(code);
  ASSERT_EQ(packed.cols(), 2);
  EXPECT_EQ(packed(0, 0), 0b10'10'10'10);
  EXPECT_EQ(packed(0, 1), 0b01'01'01'00);
  EXPECT_TRUE((unpack_codes(packed, 8).rightCols(3) == 0.0).all());
}

TEST(ReferencePackedCodes, ComeBackUnchangedForEveryRemainderOfFour) {
  for (Eigen::Index columns = 1; columns <= 13; ++columns) {
    const Array code = random_codes(3, columns);
    const PackedCodes packed = pack_codes(code);
    ASSERT_EQ(packed.cols(), (columns + 3) / 4);
    const Array back = unpack_codes(packed, columns);
    ASSERT_EQ(back.cols(), columns);
    ASSERT_TRUE((back == code).all()) << columns;
  }
}

TEST(ReferencePackedCodes, ShowABitPairThatNoCodeHas) {
  PackedCodes packed(1, 1);
  packed << 0b11'01'01'01;
  const Array code = unpack_codes(packed, 4);
  EXPECT_EQ(code(0, 0), 0.0);
  EXPECT_EQ(code(0, 3), 2.0);
}

}  // namespace
}  // namespace normquant::reference
