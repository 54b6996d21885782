#include "app/product_buffers.hpp"

#include <algorithm>
#include <cmath>
#include <random>
#include <string>

#include "exit_status.hpp"
#include "refusal.hpp"
#include "validate/host_tensor.hpp"

namespace normquant::bench {

void must(const Status& status) {
  if (!status.ok()) throw Refusal{exit_infrastructure, status.message};
}

Memory::Memory(Device& device, std::size_t bytes) : device_(device) {
  std::string why;
  data_ = device.allocate(bytes, why);
  if (data_ == nullptr) throw Refusal{exit_infrastructure, why};
}

Filler::Filler(Device& device) : device_(device) {
  std::mt19937 generator(1);
  std::normal_distribution<double> normal;
  Eigen::Index i = 0;
  validate::Array activations(1, drawn), weights(1, drawn);
  for (std::int64_t n = 0; n < drawn; ++n, ++i) {
    const double code = std::clamp(std::round(normal(generator) * 32), -127.0, 127.0);
    const double ternary = std::clamp(std::round(normal(generator) / 0.8), -1.0, 1.0);
    y_codes.push_back(static_cast<unsigned char>(static_cast<signed char>(code)));
    w_codes.push_back(static_cast<unsigned char>(static_cast<signed char>(ternary)));
    activations(0, i) = code / 32;
    weights(0, i) = ternary * 0.02;
  }
  y = validate::HostTensor::of(DType::bfloat16, activations).bytes;
  w = validate::HostTensor::of(DType::bfloat16, weights).bytes;
  for (std::int64_t n = 0; n < drawn; n += 4) {
    unsigned byte = 0;
    for (unsigned j = 0; j < 4; ++j) {
      byte |= static_cast<unsigned>(static_cast<signed char>(w_codes[static_cast<std::size_t>(n + j)]) + 1) << 2 * j;
    }
    packed.push_back(static_cast<unsigned char>(byte));
  }
}

void Filler::fill(void* memory, std::size_t bytes, const std::vector<unsigned char>& with) {
  for (std::size_t done = 0; done < bytes; done += with.size()) {
    must(device_.copy_to_device(static_cast<char*>(memory) + done, with.data(), std::min(with.size(), bytes - done)));
  }
}

Slot::Slot(Device& device, Filler& filler, ProductSizes s)
    : sizes(s),
      y(device, bytes(s.rows * s.k_in * 2)),
      w(device, bytes(s.k_out * s.k_in * 2)),
      y_codes(device, bytes(s.rows * s.k_in)),
      w_codes(device, bytes(s.k_out * s.k_in)),
      packed(device, bytes(s.k_out * s.k_in / 4)),
      dequant_scale(device, bytes(s.rows * 4)),
      dequant_factor(device, 4),
      out(device, bytes(s.rows * s.k_out * 2)),
      sums(device, bytes(s.rows * s.k_out * 4)),
      dx(device, bytes(s.rows * s.k_in * 2)),
      dw(device, bytes(s.k_out * s.k_in * 2)) {
  filler.fill(y.as(), bytes(s.rows * s.k_in * 2), filler.y);
  filler.fill(w.as(), bytes(s.k_out * s.k_in * 2), filler.w);
  filler.fill(y_codes.as(), bytes(s.rows * s.k_in), filler.y_codes);
  filler.fill(w_codes.as(), bytes(s.k_out * s.k_in), filler.w_codes);
  filler.fill(packed.as(), bytes(s.k_out * s.k_in / 4), filler.packed);
  filler.fill(out.as(), bytes(s.rows * s.k_out * 2), filler.y);
  const std::vector<float> scales(static_cast<std::size_t>(s.rows), 1.0F / 32);
  must(device.copy_to_device(dequant_scale.as(), scales.data(), scales.size() * sizeof(float)));
  const float factor = 0.02F;
  must(device.copy_to_device(dequant_factor.as(), &factor, sizeof factor));
}

}  // namespace normquant::bench
