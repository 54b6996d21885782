// What the layer asks of its matrix products (workspace, stream, reasons, tuning), and which variant it chooses. The products
// here compute nothing and keep what they were asked.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <normquant/bit_linear.hpp>

#include "kernels/bit_linear/matrix_products.hpp"

namespace normquant {
namespace {

constexpr std::int64_t rows = 5, k_in = 44, k_out = 24;
constexpr DType type = DType::float32;

/// A product that was asked for: which, and with what memory.
struct Asked {
  std::string what;
  const void *a = nullptr, *workspace = nullptr, *stream = nullptr;
  std::size_t row_bytes = 0;  ///< from one row of a to the next
};

class Products final : public MatrixProducts {
 public:
  static constexpr std::size_t bytes = 1000;
  std::string refused;  ///< the product of this name
  std::vector<Asked> asked;

  std::size_t workspace_bytes() const override { return bytes; }
  std::string why_not(const MatrixProduct& p) override { return refused == name(p) ? "refuses " + refused : ""; }
  std::string why_not(const IntegerProduct&) override { return refused == "integer" ? "refuses integer" : ""; }
  Status multiply(const MatrixProduct& p, void* workspace, Stream stream) override {
    return keep({name(p), p.a.data, workspace, stream, static_cast<std::size_t>(p.a.ld) * size_of(p.a.type)});
  }
  Status multiply(const IntegerProduct& p, void* workspace, Stream stream) override {
    std::memset(p.d, 0, sizeof(*p.d) * static_cast<std::size_t>(p.rows * p.columns));
    return keep({"integer", p.a, workspace, stream, static_cast<std::size_t>(p.lda)});
  }
  Status tune(const MatrixProduct& p, void* workspace, Stream stream) override {
    return keep({"tune " + name(p), p.a.data, workspace, stream});
  }
  Status tune(const IntegerProduct& p, void* workspace, Stream stream) override {
    return keep({"tune integer", p.a, workspace, stream});
  }

 private:
  static std::string name(const MatrixProduct& p) {
    return p.transpose_b ? "out" : p.transpose_a ? "dlinear_weight" : "dy";
  }
  Status keep(Asked one) {
    asked.push_back(std::move(one));
    return {};
  }
};

/// A layer with weights in every form; all its matrices are in memory of their own.
struct Layer {
  std::unique_ptr<Device> device = open_host_device();
  Products products;
  std::vector<float> x = std::vector<float>(rows * k_in, 1.0F), dx = x,
                     operand = std::vector<float>(k_out * k_in, 1.0F), dlinear_weight = operand,
                     out = std::vector<float>(rows * k_out, 1.0F), row_values = std::vector<float>(rows, 1.0F);
  std::vector<std::int8_t> codes = std::vector<std::int8_t>(k_out * k_in);
  std::vector<std::uint8_t> packed = std::vector<std::uint8_t>(k_out * k_in / 4);
  float factor = 1;
  int stream = 0;  // its address is one
  std::vector<unsigned char> scratch;

  BitLinearLayer layer() {
    BitLinearLayer layer = bit_linear();
    layer.k_in = k_in, layer.k_out = k_out, layer.operand = type;
    layer.weights.operand = {operand.data(), type, k_in};
    layer.weights.codes = codes.data(), layer.weights.ld_codes = k_in;
    layer.weights.packed = packed.data(), layer.weights.ld_packed = k_in / 4;
    layer.weights.dequant_factor = &factor;
    return layer;
  }
  BitLinearForward forward() {
    BitLinearForward a;
    a.rows = rows, a.layer = layer(), a.products = &products;
    a.x = {x.data(), type, k_in}, a.out = {out.data(), type, k_out};
    return a;
  }
  BitLinearBackward backward() {
    BitLinearBackward a;
    a.rows = rows, a.layer = layer(), a.products = &products;
    a.dout = {out.data(), type, k_out}, a.h = {x.data(), type, k_in}, a.rstd = row_values.data();
    a.dx = {dx.data(), type, k_in}, a.dlinear_weight = {dlinear_weight.data(), type, k_in};
    if (a.layer.norm == NormKind::layer) a.mean = row_values.data();
    return a;
  }
  Workspace workspace(std::size_t bytes) {
    scratch.assign(bytes + 256, 0);
    const auto address = reinterpret_cast<std::uintptr_t>(scratch.data());
    return {scratch.data() + (256 - address % 256) % 256, bytes};
  }
};

template <class Args>
const Variant<Args>& named(std::string_view name) {
  for (const Variant<Args>& variant : variants<Args>(DeviceKind::host)) {
    if (variant.name == name) return variant;
  }
  throw std::invalid_argument(std::string(name));
}

std::vector<std::string> names(const std::vector<Asked>& asked) {
  std::vector<std::string> all;
  for (const Asked& one : asked) all.push_back(one.what);
  return all;
}
using Names = std::vector<std::string>;

/// Each product got the stream, and memory of its own inside the workspace: not that of its operand.
void expect_workspace(const Layer& layer, const Workspace& workspace) {
  const auto* const begin = static_cast<const unsigned char*>(workspace.data);
  for (const Asked& one : layer.products.asked) {
    const auto* const piece = static_cast<const unsigned char*>(one.workspace);
    EXPECT_EQ(one.stream, &layer.stream) << one.what;
    ASSERT_GE(piece, begin) << one.what;
    ASSERT_LE(piece + Products::bytes, begin + workspace.bytes) << one.what;
    EXPECT_EQ((piece - begin) % 256, 0) << one.what;
    EXPECT_EQ(one.row_bytes % 16, 0U) << one.what;
    const auto* const operand = static_cast<const unsigned char*>(one.a);
    EXPECT_FALSE(operand + rows * k_in > piece && operand < piece + Products::bytes) << one.what;
  }
}

template <class Args>
void launch_and_tune(Layer& layer, const Args& args, std::string_view name, const Names& launched, const Names& tuned) {
  const Variant<Args>& variant = named<Args>(name);
  const DeviceInfo& info = layer.device->info();
  const Workspace workspace = layer.workspace(variant.workspace_bytes(variant, args, info));
  EXPECT_EQ(workspace.bytes % 256, 0U) << name;
  layer.products.asked.clear();
  EXPECT_TRUE(launch(variant, args, info, workspace, &layer.stream).ok());
  EXPECT_EQ(names(layer.products.asked), launched) << name;
  expect_workspace(layer, workspace);
  layer.products.asked.clear();
  EXPECT_TRUE(tune_products(variant, args, info, workspace, &layer.stream).ok());
  Names both = launched;
  both.insert(both.end(), tuned.begin(), tuned.end());
  EXPECT_EQ(names(layer.products.asked), both) << name;
  expect_workspace(layer, workspace);
}

TEST(LayerProducts, HaveAWorkspaceAndTheStream) {
  Layer layer;
  launch_and_tune(layer, layer.forward(), "fake_quantised", {"out"}, {"tune out"});
  launch_and_tune(layer, layer.forward(), "integer", {"integer"}, {"tune integer"});
  launch_and_tune(layer, layer.forward(), "packed", {}, {});
  BitLinearBackward backward = layer.backward();
  launch_and_tune(layer, backward, "fake_quantised", {"dy", "dlinear_weight"}, {"tune dy", "tune dlinear_weight"});
  backward.dlinear_weight = {};
  launch_and_tune(layer, backward, "fake_quantised", {"dy"}, {"tune dy"});
}

TEST(LayerProducts, AreNotAskedWithoutRows) {
  Layer layer;
  BitLinearForward forward = layer.forward();
  BitLinearBackward backward = layer.backward();
  forward.rows = backward.rows = 0;
  for (const char* name : {"fake_quantised", "integer", "packed"}) launch_and_tune(layer, forward, name, {}, {});
  launch_and_tune(layer, backward, "fake_quantised", {}, {});
}

TEST(LayerProducts, AFailedLaunchIsNotTuned) {
  Layer layer;
  const BitLinearForward forward = layer.forward();
  const BitLinearBackward backward = layer.backward();
  const DeviceInfo& info = layer.device->info();
  EXPECT_FALSE(tune_products(named<BitLinearForward>("integer"), forward, info, {}, nullptr).ok());
  EXPECT_FALSE(tune_products(named<BitLinearBackward>("fake_quantised"), backward, info, {}, nullptr).ok());
  EXPECT_TRUE(layer.products.asked.empty());
}

TEST(LayerProducts, WithoutRowsOnlyTheRowsOfTheGradientAreZeroed) {
  for (const std::int64_t gap : {0, 1, 5}) {
    Layer layer;
    BitLinearBackward a = layer.backward();
    a.rows = 0;
    const std::int64_t ld = k_in + gap;
    std::vector<float> gradient(static_cast<std::size_t>(k_out * ld), 7.0F);
    a.dlinear_weight = {gradient.data(), type, ld};
    const Variant<BitLinearBackward>& variant = named<BitLinearBackward>("fake_quantised");
    const DeviceInfo& info = layer.device->info();
    EXPECT_TRUE(launch(variant, a, info, layer.workspace(variant.workspace_bytes(variant, a, info)), nullptr).ok());
    for (std::int64_t i = 0; i < k_out * ld; ++i) {
      EXPECT_EQ(gradient[static_cast<std::size_t>(i)], i % ld < k_in ? 0.0F : 7.0F)
          << "gap " << gap << ", element " << i;
    }
  }
}

template <class Args>
std::string reason(Layer& layer, const Args& args, std::string_view name, const std::string& refused) {
  layer.products.refused = refused;
  const Variant<Args>& variant = named<Args>(name);
  return variant.why_not(variant, args, layer.device->info());
}

TEST(LayerProducts, AVariantRefusesWhatItsProductsRefuse) {
  Layer layer;
  BitLinearForward forward = layer.forward();
  EXPECT_EQ(reason(layer, forward, "fake_quantised", "out"), "refuses out");
  EXPECT_EQ(reason(layer, forward, "integer", "integer"), "refuses integer");
  EXPECT_EQ(reason(layer, forward, "packed", "integer"), "");
  BitLinearBackward backward = layer.backward();
  EXPECT_EQ(reason(layer, backward, "fake_quantised", "dy"), "refuses dy");
  EXPECT_EQ(reason(layer, backward, "fake_quantised", "dlinear_weight"), "refuses dlinear_weight");
  EXPECT_EQ(reason(layer, backward, "fake_quantised", "nothing"), "");
  backward.dlinear_weight = {};
  EXPECT_EQ(reason(layer, backward, "fake_quantised", "dlinear_weight"), "");
  forward.rows = backward.rows = 0;
  EXPECT_EQ(reason(layer, forward, "fake_quantised", "out"), "");
  EXPECT_EQ(reason(layer, forward, "integer", "integer"), "");
  EXPECT_EQ(reason(layer, backward, "fake_quantised", "dy"), "");
}

TEST(LayerVariants, SayWhatTheyNeed) {
  Layer layer;
  const auto says = [&](auto change, std::string_view name) {
    BitLinearForward a = layer.forward();
    change(a);
    return reason(layer, a, name, "");
  };
  EXPECT_NE(says([](auto& a) { a.products = nullptr; }, "fake_quantised"), "");
  EXPECT_NE(says([](auto& a) { a.products = nullptr; }, "integer"), "");
  EXPECT_EQ(says([](auto& a) { a.products = nullptr; }, "packed"), "");
  EXPECT_NE(says([](auto& a) { a.layer.weights.operand = {}; }, "fake_quantised"), "");
  EXPECT_NE(says([](auto& a) { a.layer.weights.codes = nullptr; }, "integer"), "");
  EXPECT_NE(says([](auto& a) { a.layer.weights.packed = nullptr; }, "packed"), "");
  // Sums of 2^22 products of codes are exact in int32, and no more are promised to be.
  for (const char* name : {"integer", "packed"}) {
    EXPECT_EQ(says([](auto& a) { a.layer.k_in = most_integer_depth; }, name), "") << name;
    EXPECT_NE(says([](auto& a) { a.layer.k_in = most_integer_depth + 1; }, name), "") << name;
  }
  const float bias = 1;
  const auto with_bias = [&](DType of_bias) {
    return [&bias, of_bias](auto& a) { a.layer.linear_bias = {&bias, of_bias}; };
  };
  EXPECT_EQ(says(with_bias(type), "fake_quantised"), "");
  EXPECT_NE(says(with_bias(DType::bfloat16), "fake_quantised"), "");
  EXPECT_EQ(says(with_bias(DType::bfloat16), "integer"), "");
  const auto unaligned = [&](auto& a) {
    a.layer.operand = a.out.type = a.layer.weights.operand.type = DType::bfloat16;
    a.layer.linear_bias = {&bias, DType::bfloat16};
    a.out.ld = k_out + 1;
  };
  EXPECT_EQ(says(unaligned, "fake_quantised"), "") << "only cuBLASLt rounds otherwise";
}

TEST(LayerVariants, AreChosenByRowsAndWeights) {
  Layer layer;
  const auto chosen = [&](std::int64_t count, auto change) {
    BitLinearForward a = layer.forward();
    a.rows = count;
    change(a.layer.weights);
    return std::string(choose_variant(a, layer.device->info()).name);
  };
  const auto all = [](BitLinearWeights&) {};
  EXPECT_EQ(chosen(1, all), "packed");
  EXPECT_EQ(chosen(16, all), "packed");
  EXPECT_EQ(chosen(17, all), "integer");
  const auto without_packed = [](BitLinearWeights& weights) { weights.packed = nullptr; };
  EXPECT_EQ(chosen(1, without_packed), "integer");
  const auto only_operand = [](BitLinearWeights& weights) { weights.packed = nullptr, weights.codes = nullptr; };
  EXPECT_EQ(chosen(17, only_operand), "fake_quantised");
  const auto only_packed = [](BitLinearWeights& weights) { weights.operand = {}, weights.codes = nullptr; };
  EXPECT_EQ(chosen(17, only_packed), "packed");
  for (const auto& variant : variants<BitLinearForward>(DeviceKind::host)) EXPECT_NE(variant.name, "integer_fused");
}

/// With weights that are cached: nothing else looks at them then.
TEST(LayerArguments, RefusalsOfCachedWeightsNameTheLayer) {
  const float one = 1;
  const std::vector<std::pair<std::string, std::function<void(BitLinearForward&)>>> wrongs = {
      {"bit_linear_forward: rows", [](auto& a) { a.rows = -1; }},
      {"bit_linear_forward: norm_weight's type",
       [&](auto& a) {
         a.layer.norm_weight = {&one, static_cast<DType>(9)};
       }},
      {"bit_linear_forward: norm_bias's type",
       [&](auto& a) {
         a.layer.norm_bias = {&one, static_cast<DType>(9)};
       }},
      {"bit_linear_forward: linear_bias's type",
       [&](auto& a) {
         a.layer.linear_bias = {&one, static_cast<DType>(9)};
       }},
      {"weights.operand's row stride", [](auto& a) { a.layer.weights.operand.ld = k_in - 1; }},
      {"weights.operand's type", [](auto& a) { a.layer.weights.operand.type = DType::bfloat16; }},
      {"weights.codes's row stride", [](auto& a) { a.layer.weights.ld_codes = k_in - 1; }},
      {"weights.packed's row stride", [](auto& a) { a.layer.weights.ld_packed = k_in / 4 - 1; }},
      {"weights.dequant_factor", [](auto& a) { a.layer.weights.dequant_factor = nullptr; }},
      {"y_q.out's type",
       [](auto& a) {
         a.y_q.out = {a.out.data, DType::bfloat16, k_in};
       }},
  };
  for (const auto& [named, change] : wrongs) {
    Layer layer;
    BitLinearForward args = layer.forward();
    change(args);
    const Status status = check_arguments(args);
    EXPECT_EQ(status.code, StatusCode::invalid_argument) << named;
    EXPECT_NE(status.message.find(named), std::string::npos) << named << ": " << status.message;
  }
}

}  // namespace
}  // namespace normquant
