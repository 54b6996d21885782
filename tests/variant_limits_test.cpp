// What why_not says on a limit and beside it. No suite can: the host device has no memory for 2^31 rows, and the classes of a suite
// are what why_not lets pass.
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>

#include <normquant/bit_linear.hpp>

#include "bit_linear/matrix_products.hpp"
#include "validate/space/served.hpp"

namespace normquant::validate {
namespace {

constexpr std::int64_t most_blocks = 0x7fffffff;  ///< of a grid, along x

/// The plain problem, which every variant has a form for.
Problem plain(Operation op, DType x, std::int64_t rows, std::int64_t columns) {
  Problem p;
  p.op = op;
  p.rows = rows, p.columns = columns;
  p.x = x;
  p.out = x;
  if (op != Operation::activation_quant) p.weight = x;
  if (op == Operation::norm_quant_backward) p.dy = x;
  return p;
}

/// A length that the variant serves: 0 when there is none.
std::int64_t some_length(const space::Served& served, std::size_t variant, Operation op) {
  for (std::int64_t columns = 8; columns <= std::int64_t{1} << 20; columns *= 2) {
    if (served.by(variant, plain(op, DType::bfloat16, 1, columns))) return columns;
  }
  return 0;
}

void expect_most_rows(const space::Served& served, std::size_t variant, Operation op, std::int64_t columns,
                      std::int64_t most) {
  const std::string name(served.variants()[variant].name);
  EXPECT_TRUE(served.by(variant, plain(op, DType::bfloat16, most, columns))) << name << ", " << most << " rows";
  EXPECT_FALSE(served.by(variant, plain(op, DType::bfloat16, most + 1, columns))) << name << ", " << most + 1;
}

TEST(Limits, RowsAreAsManyAsAGridHasBlocks) {
  const auto device = open_host_device();
  for (Operation op : {Operation::norm_quant_forward, Operation::norm_quant_backward, Operation::activation_quant}) {
    const space::Served served(op, device->info());
    for (std::size_t v = 0; v < served.variants().size(); ++v) {
      const VariantEntry& entry = served.variants()[v];
      const Tuning& t = entry.tuning;
      const std::int64_t columns = some_length(served, v, op);
      ASSERT_GT(columns, 0) << entry.name;
      if (entry.name.starts_with("two_pass")) {
        expect_most_rows(served, v, op, columns, most_blocks);
      } else if (op == Operation::activation_quant) {
        expect_most_rows(served, v, op, columns, most_blocks * t.rows_per_block);
      } else if (entry.name == "split") {
        const std::int64_t piece = 8192;  // columns of 16 bits
        for (std::int64_t pieces : {1, 2, 3}) {
          expect_most_rows(served, v, op, pieces * piece, most_blocks / pieces);
          expect_most_rows(served, v, op, (pieces - 1) * piece + 8, most_blocks / pieces);
        }
      } else if (op == Operation::norm_quant_forward) {
        expect_most_rows(served, v, op, columns, most_blocks / t.cluster);
      } else if (entry.name.starts_with("single")) {
        expect_most_rows(served, v, op, columns, 256);
      } else {  // its blocks walk
        EXPECT_TRUE(served.by(v, plain(op, DType::bfloat16, std::int64_t{1} << 33, columns))) << entry.name;
      }
    }
  }
}

/// The longest row of a variant in bfloat16 and in float32: threads of the largest block that its registers allow, times their
/// elements, times the blocks of a cluster.
using Lengths = std::map<std::string, std::pair<std::int64_t, std::int64_t>, std::less<>>;

std::int64_t longest(const space::Served& served, std::size_t variant, Operation op, DType x) {
  std::int64_t last = 0;
  for (std::int64_t columns = 64; columns <= std::int64_t{1} << 19; columns += 64) {
    if (served.by(variant, plain(op, x, 1, columns))) last = columns;
  }
  std::int64_t beyond = last;
  for (std::int64_t columns = last + 1; columns < last + 64; ++columns) {
    if (served.by(variant, plain(op, x, 1, columns))) beyond = columns;
  }
  return beyond;
}

void expect_longest_rows(Operation op, const Lengths& expected) {
  const auto device = open_host_device();
  const space::Served served(op, device->info());
  for (std::size_t v = 0; v < served.variants().size(); ++v) {
    const std::string name(served.variants()[v].name);
    if (name.starts_with("two_pass") || name == "split") continue;  // any length
    const std::pair found = {longest(served, v, op, DType::bfloat16), longest(served, v, op, DType::float32)};
    const auto known = expected.find(name);
    if (known == expected.end()) {
      ADD_FAILURE() << name << " is new: {" << found.first << ", " << found.second << "}";
    } else {
      EXPECT_EQ(found, known->second) << name;
    }
  }
}

TEST(Limits, RowsAreAsLongAsRegistersHold) {
  expect_longest_rows(Operation::activation_quant, {
                                                       {"one_pass_t16_r8_v16", {1024, 512}},
                                                       {"one_pass_t32_r4_v16", {2048, 1024}},
                                                       {"one_pass_t128_r1_v16", {8192, 4096}},
                                                       {"one_pass_t256_r1_v16", {16384, 8192}},
                                                       {"one_pass_t1024_r1_v16", {16384, 16384}},
                                                       {"one_pass_t256_r1_v1", {2048, 2048}},
                                                   });
  expect_longest_rows(Operation::norm_quant_forward, {{"one_pass_l8_e8", {64, 64}},
                                                      {"one_pass_l8_e32", {256, 256}},
                                                      {"one_pass_l16_e32", {512, 512}},
                                                      {"one_pass_e8", {8192, 8192}},
                                                      {"one_pass_e16", {12288, 16384}},
                                                      {"one_pass_e32", {16384, 16384}},
                                                      {"one_pass_e64", {65536, 0}},
                                                      {"cluster_c2_e32", {32768, 32768}},
                                                      {"cluster_c4_e32", {65536, 65536}},
                                                      {"cluster_c8_e32", {131072, 131072}},
                                                      {"cluster_c16_e32", {262144, 262144}},
                                                      {"cluster_c2_e64", {131072, 0}},
                                                      {"striped_e8", {8192, 8192}},
                                                      {"striped_e16", {12288, 12288}},
                                                      {"striped_e24", {12288, 12288}},
                                                      {"striped_e32", {16384, 16384}},
                                                      {"striped_c4_e32", {65536, 65536}},
                                                      {"striped_c16_e32", {262144, 262144}}});
  // Rows of a walk lie in shared memory too, which for float32 is full first: 227 KiB hold two stages of h and dy of 14476 columns
  // with their gaps, and 768 bytes of scratch. Where rows start at any address, up to a packet less one is lost.
  expect_longest_rows(Operation::norm_quant_backward, {{"single_e8", {8192, 8192}},
                                                       {"single_e16", {8192, 8192}},
                                                       {"single_striped_e8", {8192, 8192}},
                                                       {"staged_l8_e16", {128, 128}},
                                                       {"staged_e8", {8192, 5120}},
                                                       {"staged_e16", {12288, 8192}},
                                                       {"staged_e32", {16384, 12288}},
                                                       {"staged_c2_e32", {32768, 24576}},
                                                       {"staged_c4_e32", {65536, 49152}},
                                                       {"staged_c8_e32", {131072, 98304}},
                                                       {"staged_c16_e32", {262144, 196608}},
                                                       {"staged_shifted_e16", {8192 - 7, 8192 - 3}},
                                                       {"staged_shifted_e32", {12288 - 7, 12288 - 3}},
                                                       {"striped_e16", {10240, 10240}},
                                                       {"striped_e32", {16384, 14476}},
                                                       {"one_pass_t32_r4_v16", {1024, 1024}},
                                                       {"one_pass_t128_r1_v16", {4096, 4096}},
                                                       {"one_pass_t512_r1_v16", {8192, 8192}},
                                                       {"one_pass_t256_r1_v1", {1024, 1024}},
                                                       {"one_pass_t1024_r1_v1", {4096, 4096}}});
}

TEST(Limits, PacketsAskForWholeOnesAndForAlignment) {
  const auto device = open_host_device();
  const space::Served served(Operation::activation_quant, device->info());
  for (std::size_t v = 0; v < served.variants().size(); ++v) {
    const bool single = served.variants()[v].tuning.access_bytes == 1;
    for (const auto& [x, packet] : {std::pair{DType::bfloat16, 8}, std::pair{DType::float32, 4}}) {
      for (std::int64_t off = 1; off < packet; ++off) {
        Problem p = plain(Operation::activation_quant, x, 3, 64);
        EXPECT_TRUE(served.by(v, p));
        p.columns = 64 + off;
        EXPECT_EQ(served.by(v, p), single) << served.variants()[v].name << " N = " << p.columns;
        p.columns = 64, p.row_padding = off;
        EXPECT_EQ(served.by(v, p), single) << served.variants()[v].name << " padding " << off;
        p.row_padding = 0, p.offset = static_cast<int>(off);
        EXPECT_EQ(served.by(v, p), single) << served.variants()[v].name << " offset " << off;
      }
    }
  }
}

/// A layer of bfloat16 with every form of the weights, at addresses that nothing reads.
struct Layer {
  std::shared_ptr<MatrixProducts> products;
  BitLinearForward a;

  explicit Layer(const DeviceInfo& device, std::int64_t k_in, DType out = DType::bfloat16) {
    std::string why;
    products = open_matrix_products(device, why);
    const auto at = [](int number) { return reinterpret_cast<void*>(std::uintptr_t{1} << 30 << number); };
    a.rows = 1, a.products = products.get();
    a.x = {at(0), DType::bfloat16, k_in};
    a.out = {at(1), out, 8};
    BitLinearLayer& layer = a.layer;
    layer.k_in = k_in, layer.k_out = 8, layer.eps = 1e-6F;
    layer.weights.operand = {at(2), DType::bfloat16, k_in};
    layer.weights.codes = static_cast<std::int8_t*>(at(3)), layer.weights.ld_codes = k_in;
    layer.weights.packed = static_cast<std::uint8_t*>(at(4)), layer.weights.ld_packed = packed_row_bytes(k_in);
    layer.weights.dequant_factor = static_cast<float*>(at(5));
  }
};

std::string why_not(std::string_view variant, const BitLinearForward& a, const DeviceInfo& device) {
  EXPECT_TRUE(check_arguments(a).ok()) << check_arguments(a).message;
  for (const auto& one : variants<BitLinearForward>(device.kind)) {
    if (one.name == variant) return one.why_not(one, a, device);
  }
  return "there is no variant of that name";
}

TEST(Limits, IntegerSumsHoldTheDepth) {
  const DeviceInfo device = open_host_device()->info();
  const Layer deepest(device, most_integer_depth), deeper(device, most_integer_depth + 1);
  for (const char* variant : {"integer", "packed"}) {
    EXPECT_EQ(why_not(variant, deepest.a, device), "") << variant;
    EXPECT_EQ(why_not(variant, deeper.a, device), "needs K_in to be at most " + std::to_string(most_integer_depth));
  }
  EXPECT_EQ(why_not("fake_quantised", deeper.a, device), "");
  EXPECT_GE(std::int64_t{most_integer_depth} * 128, std::int64_t{1} << 29);
  EXPECT_LT(std::int64_t{most_integer_depth} * 128, std::int64_t{1} << 31) << "a sum of codes fits 32 bits";
}

TEST(Limits, FakeQuantisedAddsABiasOfOutsType) {
  const DeviceInfo device = open_host_device()->info();
  Layer layer(device, 64);
  EXPECT_EQ(why_not("fake_quantised", layer.a, device), "") << "no bias has no type";
  const float bias[8] = {};
  layer.a.layer.linear_bias = {bias, DType::bfloat16};
  EXPECT_EQ(why_not("fake_quantised", layer.a, device), "");
  layer.a.layer.linear_bias.type = DType::float32;
  EXPECT_EQ(why_not("fake_quantised", layer.a, device), "needs linear_bias in out's type");
  layer.a.rows = 0;
  EXPECT_EQ(why_not("fake_quantised", layer.a, device), "needs linear_bias in out's type");
  layer.a.layer.reproduce_dropped_bias = true;
  EXPECT_EQ(why_not("fake_quantised", layer.a, device), "") << "a bias that is not added";
}

TEST(Limits, AVariantSaysWhichFormOfTheWeightsItLacks) {
  const DeviceInfo device = open_host_device()->info();
  for (const auto& [variant, lacking] :
       {std::pair{"fake_quantised", "needs weights.operand"}, std::pair{"integer", "needs weights.codes"},
        std::pair{"packed", "needs weights.packed"}}) {
    Layer layer(device, 64);
    BitLinearWeights& weights = layer.a.layer.weights;
    if (std::string_view(variant) == "fake_quantised") weights.operand = {};
    if (std::string_view(variant) == "integer") weights.codes = nullptr;
    if (std::string_view(variant) == "packed") weights.packed = nullptr;
    EXPECT_EQ(why_not(variant, layer.a, device), lacking);
    layer.a.products = nullptr;
    if (std::string_view(variant) != "packed") {
      EXPECT_EQ(why_not(variant, layer.a, device), "needs products (open_matrix_products)");
    }
  }
}

}  // namespace
}  // namespace normquant::validate
