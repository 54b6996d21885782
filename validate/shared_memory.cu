#include "validate/shared_memory.hpp"

#include <cuda_runtime.h>

namespace normquant::validate {
namespace {

__global__ void fill_shared_memory(int words) {
  extern __shared__ uint4 memory[];
  const auto at = static_cast<unsigned>(__cvta_generic_to_shared(memory));
  for (int i = static_cast<int>(threadIdx.x); i < words; i += static_cast<int>(blockDim.x)) {
    // Nothing reads it: a plain store would be left out.
    asm volatile("st.shared.v4.b32 [%0], {%1, %1, %1, %1};" ::"r"(at + i * 16), "r"(~0U) : "memory");
  }
}

Status status_of(cudaError_t error) {
  if (error == cudaSuccess) return {};
  (void)cudaGetLastError();  // not left for the next call to find
  return Status::infrastructure(std::string("filling shared memory: ") + cudaGetErrorString(error));
}

}  // namespace

Status poison_shared_memory(const DeviceInfo& device) {
  const auto bytes = static_cast<int>(device.shared_memory_per_block);
  const cudaError_t allowed =
      cudaFuncSetAttribute(fill_shared_memory, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (allowed != cudaSuccess) return status_of(allowed);
  // Blocks of that size have a multiprocessor each, and so many of them at a time.
  fill_shared_memory<<<static_cast<unsigned>(device.sm_count), 256, static_cast<std::size_t>(bytes)>>>(bytes / 16);
  return status_of(cudaGetLastError());
}

}  // namespace normquant::validate
