// Quantises one row with every forward variant of the host device, through the installed public headers only.
#include <array>
#include <cstdint>
#include <cstdio>
#include <string>

#include <normquant/device.hpp>
#include <normquant/norm_quant_forward.hpp>

namespace {

constexpr std::int64_t columns = 4;

// absmax is 127, so code = round(127 * x / 127) whatever the norm divides by.
constexpr std::array<float, columns> x = {127.0F, -64.0F, 1.0F, 0.0F};
constexpr std::array<std::int8_t, columns> expected_codes = {127, -64, 1, 0};

/// The codes of `x` by that variant; nothing but the status when it does not serve the problem.
normquant::Status quantise(const normquant::Variant<normquant::NormQuantForward>& variant, normquant::Device& device,
                           std::array<std::int8_t, columns>& codes) {
  float dequant_scale = 0;  // the host device's memory is the program's own
  normquant::NormQuantForward args;
  args.rows = 1;
  args.columns = columns;
  args.eps = normquant::default_eps::rms_norm_linear_quant;
  args.x = {x.data(), normquant::DType::float32, columns};
  args.output.codes = codes.data();
  args.output.ld_codes = columns;
  args.output.dequant_scale = &dequant_scale;

  std::string why;
  normquant::Workspace workspace;
  workspace.bytes = variant.workspace_bytes(variant, args, device.info());
  workspace.data = device.allocate(workspace.bytes, why);
  if (workspace.data == nullptr) return normquant::Status::infrastructure(why);
  normquant::Status status = normquant::launch(variant, args, device.info(), workspace, nullptr);
  if (status.ok()) status = device.synchronize();
  device.release(workspace.data);
  return status;
}

}  // namespace

int main() {
  const auto device = normquant::open_host_device();
  int right = 0;
  for (const auto& variant : normquant::variants<normquant::NormQuantForward>(normquant::DeviceKind::host)) {
    std::array<std::int8_t, columns> codes = {55, 55, 55, 55};
    const normquant::Status status = quantise(variant, *device, codes);
    if (status.code == normquant::StatusCode::unsupported) continue;
    if (!status.ok() || codes != expected_codes) {
      std::printf("%s: codes %d %d %d %d, expected 127 -64 1 0. %s\n", std::string(variant.name).c_str(), codes[0],
                  codes[1], codes[2], codes[3], status.message.c_str());
      return 1;
    }
    ++right;
  }
  std::printf("%d forward variants on %s give 127 -64 1 0; built with CUDA: %s\n", right, device->info().name.c_str(),
              normquant::built_with_cuda() ? "yes" : "no");
  return right > 0 ? 0 : 1;
}
