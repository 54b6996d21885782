// One row through every forward variant of the layer on the host device, through the installed public headers only.
#include <array>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include <normquant/bit_linear.hpp>
#include <normquant/device.hpp>

namespace {

constexpr std::int64_t k_in = 4, k_out = 2;

// The norm divides x by its root mean square r = sqrt((127^2 + 64^2 + 1) / 4): codes 127, -64, 1, 0 at a scale of 1 / r.
// All magnitudes of the weight are 2: codes are signs, and the factor is 2.
constexpr std::array<float, k_in> x = {127.0F, -64.0F, 1.0F, 0.0F};
constexpr std::array<float, k_out* k_in> linear_weight = {2.0F, 2.0F, 2.0F, 2.0F, -2.0F, 2.0F, -2.0F, 2.0F};
constexpr std::array<int, k_out> sums = {127 - 64 + 1, -127 - 64 - 1};

}  // namespace

int main() {
  using namespace normquant;
  const auto device = open_host_device();
  std::string why;
  const auto products = open_matrix_products(device->info(), why);
  std::array<float, k_out * k_in> operand{};
  std::array<std::int8_t, k_out * k_in> codes{};
  std::array<std::uint8_t, k_out> packed{};
  std::array<float, k_out> out{};
  float factor = 0, rstd = 0;

  BitLinearForward args;
  args.rows = 1;
  args.layer = bit_linear();
  args.layer.k_in = k_in;
  args.layer.k_out = k_out;
  args.layer.operand = DType::float32;
  args.layer.weights = {{operand.data(), DType::float32, k_in}, codes.data(), k_in, packed.data(), 1, &factor};
  args.products = products.get();
  args.linear_weight = {linear_weight.data(), DType::float32, k_in};
  args.x = {x.data(), DType::float32, k_in};
  args.out = {out.data(), DType::float32, k_out};
  args.rstd = &rstd;

  int right = 0;
  for (const auto& variant : variants<BitLinearForward>(DeviceKind::host)) {
    std::vector<unsigned char> scratch(variant.workspace_bytes(variant, args, device->info()));
    const Status status = launch(variant, args, device->info(), {scratch.data(), scratch.size()}, nullptr);
    for (std::size_t o = 0; o < out.size(); ++o) {
      const float expected = 2.0F * static_cast<float>(sums[o]) * rstd;
      const float error = out[o] - expected;
      if (!status.ok() || !(error * error < 1e-8F)) {
        std::printf("%s: out[%zu] is %g, expected %g. %s\n", std::string(variant.name).c_str(), o,
                    static_cast<double>(out[o]), static_cast<double>(expected), status.message.c_str());
        return 1;
      }
    }
    ++right;
  }
  std::printf("%d forward variants of the layer agree on the host\n", right);
  return right > 0 ? 0 : 1;
}
