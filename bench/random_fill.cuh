// Memory filled with bits that look random, for kernels that are timed on data nobody reads.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <string>
#include <normquant/device.hpp>
#include <normquant/status.hpp>

namespace normquant::bench {

inline Status status_of(cudaError_t error, const std::string& what) {
  if (error == cudaSuccess) return {};
  return Status::infrastructure(what + ": " + cudaGetErrorString(error));
}

/// A 32-bit mix (the finaliser of MurmurHash3) of the word's index.
static __global__ void fill_kernel(std::uint32_t* words, std::int64_t count) {
  const std::int64_t first = blockIdx.x * static_cast<std::int64_t>(blockDim.x) + threadIdx.x;
  for (std::int64_t i = first; i < count; i += static_cast<std::int64_t>(gridDim.x) * blockDim.x) {
    auto mixed = static_cast<std::uint32_t>(i) ^ static_cast<std::uint32_t>(i >> 32);
    mixed = (mixed ^ mixed >> 16) * 0x85ebca6bU;
    mixed = (mixed ^ mixed >> 13) * 0xc2b2ae35U;
    words[i] = mixed ^ mixed >> 16;
  }
}

/// Enqueues the filling of `bytes` bytes, a multiple of 4.
inline Status enqueue_fill(void* memory, std::int64_t bytes, int sm_count, Stream stream) {
  fill_kernel<<<8 * sm_count, 256, 0, static_cast<cudaStream_t>(stream)>>>(static_cast<std::uint32_t*>(memory),
                                                                           bytes / 4);
  return status_of(cudaGetLastError(), "fill");
}

}  // namespace normquant::bench
