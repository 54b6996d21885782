#include <cuda_runtime.h>

#include "validate/card.hpp"

namespace normquant::validate {

std::string uuid_of_gpu(int index) {
  cudaDeviceProp properties{};
  if (cudaGetDeviceProperties(&properties, index) != cudaSuccess) {
    (void)cudaGetLastError();  // not left for the next call to find
    return {};
  }
  std::string text = "GPU-";
  for (int i = 0; i < 16; ++i) {  // 8-4-4-4-12 digits
    constexpr char digits[] = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(properties.uuid.bytes[i]);
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += digits[byte / 16];
    text += digits[byte % 16];
  }
  return text;
}

std::string cuda_driver() {
  int version = 0;
  if (cudaDriverGetVersion(&version) != cudaSuccess) {
    (void)cudaGetLastError();
    return {};
  }
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

}  // namespace normquant::validate
