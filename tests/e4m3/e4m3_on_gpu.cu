#include "e4m3_on_gpu.hpp"

#include "device/e4m3.cuh"

namespace normquant::e4m3_test {
namespace {

__global__ void convert(std::uint32_t first, std::uint32_t step, std::uint32_t count, std::uint8_t* codes,
                        unsigned* differing) {
  const std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const std::uint32_t bits = first + i * step;
  const float value = __uint_as_float(bits), other = __uint_as_float(bits * 2654435761U + 12345U);
  const std::uint16_t as_first = cuda::e4m3_pair(value, other), as_second = cuda::e4m3_pair(other, value);
  codes[i] = static_cast<std::uint8_t>(as_first & 0xffU);
  if ((as_first & 0xffU) != as_second >> 8) atomicAdd(differing, 1U);
}

/// Of the first device; freed when it goes out of scope.
struct Memory {
  void* data = nullptr;
  ~Memory() { cudaFree(data); }
};

}  // namespace

bool codes_on_gpu(std::uint32_t first, std::uint32_t step, std::vector<std::uint8_t>& codes, std::string& why) {
  Memory on_device, count_on_device;
  unsigned differing = 0;
  cudaError_t error = cudaMalloc(&on_device.data, codes.size());
  if (error == cudaSuccess) error = cudaMalloc(&count_on_device.data, sizeof(differing));
  if (error == cudaSuccess) error = cudaMemset(count_on_device.data, 0, sizeof(differing));
  if (error == cudaSuccess) {
    const auto count = static_cast<std::uint32_t>(codes.size());
    convert<<<(count + 255) / 256, 256>>>(first, step, count, static_cast<std::uint8_t*>(on_device.data),
                                          static_cast<unsigned*>(count_on_device.data));
    error = cudaGetLastError();
  }
  if (error == cudaSuccess) {
    error = cudaMemcpy(codes.data(), on_device.data, codes.size(), cudaMemcpyDeviceToHost);
  }
  if (error == cudaSuccess) {
    error = cudaMemcpy(&differing, count_on_device.data, sizeof(differing), cudaMemcpyDeviceToHost);
  }
  if (error != cudaSuccess) why = cudaGetErrorString(error);
  if (error == cudaSuccess && differing > 0)
    why = std::to_string(differing) + " floats differ by their place in a pair";
  return why.empty();
}

}  // namespace normquant::e4m3_test
