#include "validate/host_tensor.hpp"

#include <bit>
#include <cmath>
#include <cstring>

namespace normquant::validate {

std::uint32_t encode(DType type, double value) {
  const float single = static_cast<float>(value);
  if (type == DType::float16) return Eigen::half(single).x;
  if (type == DType::bfloat16) return Eigen::bfloat16(single).value;
  return std::bit_cast<std::uint32_t>(single);
}

double decode(DType type, std::uint32_t bits) {
  const auto low = static_cast<std::uint16_t>(bits);
  if (type == DType::float16) return static_cast<float>(Eigen::numext::bit_cast<Eigen::half>(low));
  if (type == DType::bfloat16) return static_cast<float>(Eigen::numext::bit_cast<Eigen::bfloat16>(low));
  return std::bit_cast<float>(bits);
}

double decode_at(DType type, const unsigned char* bytes) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, bytes, size_of(type));
  return decode(type, bits);
}

double unit_roundoff(DType type) {
  return type == DType::float32 ? 0x1p-24 : type == DType::float16 ? 0x1p-11 : 0x1p-8;
}

double half_smallest(DType type) {
  return type == DType::float32 ? 0x1p-150 : type == DType::float16 ? 0x1p-25 : 0x1p-134;
}

double overflow_from(DType type) {
  // Half a unit in the last place above the largest finite number.
  return type == DType::float32 ? 0x1.ffffffp127 : type == DType::float16 ? 65520.0 : 0x1.ffp127;
}

HostTensor HostTensor::of(DType type, const Array& values) {
  HostTensor tensor{type, values.rows(), values.cols(), {}};
  const std::size_t size = size_of(type);
  tensor.bytes.resize(static_cast<std::size_t>(values.size()) * size);
  for (Eigen::Index i = 0; i < values.size(); ++i) {
    const std::uint32_t bits = encode(type, values.data()[i]);
    std::memcpy(tensor.bytes.data() + static_cast<std::size_t>(i) * size, &bits, size);
  }
  return tensor;
}

Array HostTensor::values() const {
  Array wide(rows, columns);
  for (Eigen::Index i = 0; i < wide.size(); ++i) {
    wide.data()[i] = decode_at(type, bytes.data() + static_cast<std::size_t>(i) * size_of(type));
  }
  return wide;
}

}  // namespace normquant::validate
