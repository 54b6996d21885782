// Rounding to integers and to storage types, as the reference does it.
#include "reference/types.hpp"

#include <cmath>

#include <gtest/gtest.h>

#include "tests/random_arrays.hpp"

namespace normquant::reference {
namespace {

TEST(ReferenceRoundToInteger, SendsTiesAwayFromZeroForHalfAway) {
  const double ties[][2] = {{0.5, 1}, {1.5, 2}, {2.5, 3}, {126.5, 127}, {-0.5, -1}, {-1.5, -2}, {-2.5, -3}};
  for (const auto& [value, expected] : ties) EXPECT_EQ(round_to_integer(value, Rounding::half_away), expected) << value;
}

TEST(ReferenceRoundToInteger, SendsTiesToTheEvenIntegerForHalfEven) {
  const double ties[][2] = {{0.5, 0}, {1.5, 2}, {2.5, 2}, {3.5, 4}, {126.5, 126}, {-0.5, 0}, {-1.5, -2}, {-2.5, -2}};
  for (const auto& [value, expected] : ties) EXPECT_EQ(round_to_integer(value, Rounding::half_even), expected) << value;
}

TEST(ReferenceRoundToInteger, BothRoundingsTakeTheNearestIntegerNextToATie) {
  for (const double tie : {0.5, 1.5, 2.5, 126.5, -0.5, -1.5, -126.5}) {
    const double above = std::nextafter(tie, infinity), below = std::nextafter(tie, -infinity);
    for (const Rounding rounding : {Rounding::half_away, Rounding::half_even}) {
      EXPECT_EQ(round_to_integer(above, rounding), tie + 0.5) << tie;
      EXPECT_EQ(round_to_integer(below, rounding), tie - 0.5) << tie;
    }
  }
}

TEST(ReferenceRoundToInteger, KeepsNaN) {
  EXPECT_TRUE(std::isnan(round_to_integer(nan, Rounding::half_away)));
  EXPECT_TRUE(std::isnan(round_to_integer(nan, Rounding::half_even)));
}

TEST(ReferenceRoundToStorage, KeepsEveryBitOfFloat64) {
  EXPECT_EQ(round_to_storage(1.0 + 0x1p-52, Storage::float64), 1.0 + 0x1p-52);
}

TEST(ReferenceRoundToStorage, RoundsTiesToEvenInEachType) {
  // The spacing above 1 is 2^-23, 2^-10, 2^-7: one and a half spacings lie between an odd and an even neighbour.
  const struct {
    Storage storage;
    double spacing;
  } types[] = {{Storage::float32, 0x1p-23}, {Storage::float16, 0x1p-10}, {Storage::bfloat16, 0x1p-7}};
  for (const auto& [storage, spacing] : types) {
    EXPECT_EQ(round_to_storage(1 + 0.5 * spacing, storage), 1.0);
    EXPECT_EQ(round_to_storage(1 + 1.5 * spacing, storage), 1 + 2 * spacing);
    EXPECT_EQ(round_to_storage(-1 - 0.75 * spacing, storage), -1 - spacing);
  }
}

TEST(ReferenceRoundToStorage, RoundsThroughFloat32AsAFloat32KernelStores) {
  // Just above a bfloat16 tie: float32 loses the excess, and the tie then goes to even.
  EXPECT_EQ(round_to_storage(1 + 0x1p-8 + 0x1p-40, Storage::bfloat16), 1.0);
  EXPECT_EQ(round_to_storage(1 + 0x1p-11 + 0x1p-40, Storage::float16), 1.0);
}

TEST(ReferenceRoundToStorage, OverflowsAndKeepsNonFiniteValuesLikeTheType) {
  EXPECT_EQ(round_to_storage(65504.0, Storage::float16), 65504.0);
  EXPECT_EQ(round_to_storage(65520.0, Storage::float16), infinity);
  EXPECT_EQ(round_to_storage(65520.0, Storage::bfloat16), 65536.0);
  EXPECT_EQ(round_to_storage(-1e39, Storage::float32), -infinity);
  for (const Storage storage : {Storage::float32, Storage::float16, Storage::bfloat16}) {
    EXPECT_EQ(round_to_storage(infinity, storage), infinity);
    EXPECT_TRUE(std::isnan(round_to_storage(nan, storage)));
  }
}

TEST(ReferenceRoundToStorage, KeepsSubnormalsOfFloat16) {
  EXPECT_EQ(round_to_storage(0x1p-24, Storage::float16), 0x1p-24);
  EXPECT_EQ(round_to_storage(0x1p-26, Storage::float16), 0.0);
}

TEST(ReferenceRoundToStorage, RoundsEveryElementOfAnArray) {
  Array values(2, 2);
  values << 1 + 0x1p-9, 1 + 0x1p-7, -3.0, 257.0;
  Array expected(2, 2);
  expected << 1.0, 1 + 0x1p-7, -3.0, 256.0;
  EXPECT_TRUE((round_to_storage(values, Storage::bfloat16) == expected).all());
}

TEST(ReferenceE4m3, ItsNumbersAreThoseOfTheFormat) {
  EXPECT_EQ(e4m3::of_bits(0x00), 0);
  EXPECT_EQ(e4m3::of_bits(0x01), 0x1p-9);
  EXPECT_EQ(e4m3::of_bits(0x07), 7 * 0x1p-9);
  EXPECT_EQ(e4m3::of_bits(0x08), 0x1p-6);
  EXPECT_EQ(e4m3::of_bits(0x38), 1);
  EXPECT_EQ(e4m3::of_bits(0x7E), 448);
  EXPECT_EQ(e4m3::of_bits(0xC0), -2);
  EXPECT_TRUE(std::isnan(e4m3::of_bits(0x7F)) && std::isnan(e4m3::of_bits(0xFF)));
}

TEST(ReferenceE4m3, EveryNumberIsItsOwnNearestAndTiesGoToTheEvenOne) {
  for (unsigned bits = 0; bits < 0x7E; ++bits) {
    const double here = e4m3::of_bits(bits), next = e4m3::of_bits(bits + 1), middle = (here + next) / 2;
    EXPECT_EQ(e4m3::nearest(here), here);
    EXPECT_EQ(e4m3::nearest(-here), -here);
    EXPECT_EQ(e4m3::nearest(middle), bits % 2 == 0 ? here : next) << bits;
    EXPECT_EQ(e4m3::nearest(std::nextafter(middle, 0)), here) << bits;
    EXPECT_EQ(e4m3::nearest(std::nextafter(middle, 500)), next) << bits;
    EXPECT_EQ(e4m3::spacing(here), next - here) << bits;
  }
}

TEST(ReferenceE4m3, SaturatesAndKeepsNanAndTheSignOfZero) {
  for (const double value : {448.0, 449.0, 464.0, 1e300, infinity}) {
    EXPECT_EQ(e4m3::nearest(value), 448);
    EXPECT_EQ(e4m3::nearest(-value), -448);
  }
  EXPECT_TRUE(std::isnan(e4m3::nearest(nan)));
  EXPECT_TRUE(std::signbit(e4m3::nearest(-0.0)) && std::signbit(e4m3::nearest(-0x1p-10)));
}

}  // namespace
}  // namespace normquant::reference
