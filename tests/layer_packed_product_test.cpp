// packed_product: exact for every way that it divides the work, on the host device.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include <normquant/weight_quant.hpp>

#include "bit_linear/layer_kernels.hpp"

namespace normquant {
namespace {

/// A product of codes by packed codes and, computed here, what it must be bit for bit.
void expect_exact_packed_product(std::int64_t m, std::int64_t depth, std::int64_t features, int sm_count) {
  SCOPED_TRACE(std::to_string(m) + " x " + std::to_string(depth) + " x " + std::to_string(features));
  std::mt19937 generator(7);
  std::vector<std::int8_t> codes(static_cast<std::size_t>(m * depth));
  for (std::int8_t& code : codes) code = static_cast<std::int8_t>(static_cast<int>(generator() % 255) - 127);
  const std::int64_t row_bytes = packed_row_bytes(depth);
  std::vector<std::uint8_t> packed(static_cast<std::size_t>(features * row_bytes));
  std::vector<int> ternary(static_cast<std::size_t>(features * depth));
  for (std::int64_t o = 0; o < features; ++o) {
    for (std::int64_t k = 0; k < depth; ++k) {
      const int code = static_cast<int>(generator() % 3) - 1;
      ternary[static_cast<std::size_t>(o * depth + k)] = code;
      packed[static_cast<std::size_t>(o * row_bytes + k / 4)] |= static_cast<std::uint8_t>((code + 1) << 2 * (k % 4));
    }
  }
  const std::vector<float> scales(static_cast<std::size_t>(m), 1.0F);
  const float factor = 1;
  std::vector<float> out(static_cast<std::size_t>(m * features), NAN);
  const PackedProduct product{m,
                              features,
                              depth,
                              codes.data(),
                              depth,
                              packed.data(),
                              row_bytes,
                              {scales.data(), &factor, {}},
                              {out.data(), DType::float32, features}};
  const auto device = open_host_device(3, sm_count);
  ASSERT_TRUE(packed_product(product, device->info(), nullptr).ok());
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t o = 0; o < features; ++o) {
      int sum = 0;
      for (std::int64_t k = 0; k < depth; ++k) {
        sum += codes[static_cast<std::size_t>(i * depth + k)] * ternary[static_cast<std::size_t>(o * depth + k)];
      }
      ASSERT_EQ(out[static_cast<std::size_t>(i * features + o)], static_cast<float>(sum)) << i << ", " << o;
    }
  }
}

TEST(LayerProducts, PackedIsExactWhereFeaturesAreStreamed) {
  expect_exact_packed_product(16, 300, 200, 2);   // several tiles a block, the last one partly there
  expect_exact_packed_product(3, 4100, 150, 2);   // two steps of the depth
  expect_exact_packed_product(16, 8192, 100, 2);  // all of both
}

TEST(LayerProducts, PackedIsExactWhereTheyAreNot) {
  expect_exact_packed_product(16, 300, 60, 4);   // few features
  expect_exact_packed_product(20, 300, 200, 2);  // more than 16 rows
  expect_exact_packed_product(2, 8200, 100, 2);  // too deep
}

}  // namespace
}  // namespace normquant
