// Arguments that the layer refuses, each with a sentence that names it.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "tests/small_network.hpp"

namespace normquant::small_network {
namespace {

template <class Args>
void expect_refused(Network& n, const Args& args, const std::string& named) {
  for (const Variant<Args>& variant : variants<Args>(DeviceKind::host)) {
    const Status status = n.run(args, variant.name);
    EXPECT_EQ(status.code, StatusCode::invalid_argument) << named;
    EXPECT_NE(status.message.find(named), std::string::npos) << status.message;
  }
  for (float value : n.out) EXPECT_EQ(value, 0.0F);
}

TEST(LayerArguments, ForwardRefusalsNameTheArgument) {
  using Change = std::function<void(BitLinearForward&)>;
  const std::vector<std::pair<std::string, Change>> wrongs = {
      {"rows", [](auto& a) { a.rows = -1; }},
      {"k_in", [](auto& a) { a.layer.k_in = 0; }},
      {"k_out", [](auto& a) { a.layer.k_out = 0; }},
      {"x is null", [](auto& a) { a.x = {}; }},
      {"out is null", [](auto& a) { a.out = {}; }},
      {"out's row stride", [](auto& a) { a.out.ld = k_out - 1; }},
      {"linear_weight's row stride", [](auto& a) { a.linear_weight.ld = 1; }},
      {"eps", [](auto& a) { a.layer.eps = 0.0F; }},
      {"operand", [](auto& a) { a.layer.operand = DType::bfloat16; }},
      {"weights.packed", [](auto& a) { a.layer.weights.ld_packed = 1; }},
      {"dequant_factor", [](auto& a) { a.layer.weights.dequant_factor = nullptr; }},
      {"all null", [](auto& a) { a.layer.weights = {}; }},
      {"mean", [](auto& a) { a.layer.norm = NormKind::rms, a.mean = a.rstd; }},
  };
  for (const auto& [named, change] : wrongs) {
    Network n;
    BitLinearForward args = n.forward(layer_norm_linear_quant(), true);
    change(args);
    expect_refused(n, args, named);
  }
}

TEST(LayerArguments, BackwardRefusalsNameTheArgument) {
  using Change = std::function<void(BitLinearBackward&)>;
  const std::vector<std::pair<std::string, Change>> wrongs = {
      {"products", [](auto& a) { a.products = nullptr; }},
      {"weights.operand", [](auto& a) { a.layer.weights.operand = {}; }},
      {"dout is null", [](auto& a) { a.dout = {}; }},
      {"dout's type", [](auto& a) { a.dout.type = DType::bfloat16; }},
      {"rstd", [](auto& a) { a.rstd = nullptr; }},
      {"mean", [](auto& a) { a.mean = nullptr; }},
      {"dx is null", [](auto& a) { a.dx = {}; }},
      {"dlinear_weight's row stride", [](auto& a) { a.dlinear_weight.ld = 3; }},
  };
  for (const auto& [named, change] : wrongs) {
    Network n;
    BitLinearBackward args = n.backward(n.forward(layer_norm_linear_quant(), true), true);
    change(args);
    expect_refused(n, args, named);
  }
}

TEST(LayerArguments, AWorkspaceThatIsTooSmallIsRefused) {
  Network n;
  const BitLinearForward forward = n.forward(bit_linear(), false);
  const auto& variant = choose_variant(forward, n.device->info());
  const std::size_t needed = variant.workspace_bytes(variant, forward, n.device->info());
  std::vector<unsigned char> scratch(needed);
  const Status status = launch(variant, forward, n.device->info(), {scratch.data(), needed - 1}, nullptr);
  EXPECT_EQ(status.code, StatusCode::invalid_argument);
  EXPECT_NE(status.message.find(std::to_string(needed)), std::string::npos) << status.message;
}

}  // namespace
}  // namespace normquant::small_network
