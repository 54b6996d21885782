// One kernel source, two compilers: nvcc for the GPU, g++ for the host device.
// Everything that differs between the two is in this file and in host_exec/; kernels are ordinary CUDA.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>

#include <normquant/device.hpp>
#include <normquant/status.hpp>

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#define NORMQUANT_BACKEND cuda
namespace normquant::cuda {
using half_t = __half;
using bfloat16_t = __nv_bfloat16;
}  // namespace normquant::cuda
#else
#include <Eigen/Core>
#include "host/host_exec/cuda_on_host.hpp"
#define NORMQUANT_BACKEND host
namespace normquant::host {
using namespace normquant::host_exec;
using half_t = Eigen::half;
using bfloat16_t = Eigen::bfloat16;
}  // namespace normquant::host
#endif

namespace normquant::NORMQUANT_BACKEND {

/// The block's dynamic shared memory, 16-byte aligned. Kernels use no static __shared__ variables: so the host device
/// knows the extent of all shared memory, poisons it, and can give it to AddressSanitizer.
#if defined(__CUDACC__)
template <class T>
__device__ __forceinline__ T* shared_memory() {
  extern __shared__ __align__(16) unsigned char storage[];
  return reinterpret_cast<T*>(storage);
}
#else
template <class T>
T* shared_memory() {
  return reinterpret_cast<T*>(dynamic_shared_memory());
}
#endif

/// `address` as that of words, each moved in one access. It must be a multiple of their size.
template <class Word, class T>
__device__ __forceinline__ auto* words_at(T* address) {
#if !defined(__CUDACC__)
  must_be_aligned(address, sizeof(Word));
#endif
  return reinterpret_cast<std::conditional_t<std::is_const_v<T>, const Word, Word>*>(address);
}

/// Waits until `threads` threads of the block, whole warps, are at barrier `id` (1 to 15): a part of the block that need not
/// wait for the rest.
__device__ __forceinline__ void group_barrier(unsigned id, unsigned threads) {
#if defined(__CUDA_ARCH__)
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
#elif !defined(__CUDACC__)
  barrier_of_group(id, threads);
#endif
}

/// Extent of a launch. `cluster` neighbouring blocks along x form a cluster (device/cluster.cuh): grid.x must be a
/// multiple of it, and DeviceInfo::max_cluster_blocks says how many there may be.
struct LaunchShape {
  dim3 grid, block;
  std::size_t shared_bytes = 0;
  unsigned cluster = 1;
  bool cooperative = false;  ///< all blocks run at the same time, or the launch fails; see device/grid.cuh
  bool overlap = false;      ///< may start before the launch before it has ended; see device/overlap.cuh
};

#if defined(__CUDACC__)
/// Lifts the limits that a kernel has until it asks.
inline cudaError_t ask_for_more(const void* kernel, const LaunchShape& shape) {
  cudaError_t error = cudaSuccess;
  if (shape.shared_bytes > 48 * 1024) {
    // Above this a kernel must ask. It asks for all there is, always: asking for this launch's bytes would take them from
    // another thread that is about to launch the same kernel with more.
    int device = 0, most = 0;
    error = cudaGetDevice(&device);
    if (error == cudaSuccess) error = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    if (error == cudaSuccess) error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most);
  }
  if (error == cudaSuccess && shape.cluster > 8) {
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1);
  }
  return error;
}
#endif

/// A stream, and on the host device the file that launches into it, for sentences.
struct LaunchStream {
  Stream stream;
#if defined(__CUDACC__)
  LaunchStream(Stream into) : stream(into) {}  // NOLINT(google-explicit-constructor): streams are passed as they are
#else
  LaunchStream(Stream into, const char* from = __builtin_FILE()) : stream(into), file(from) {}  // NOLINT: as above
  const char* file;
#endif
};

/// kernel<<<grid, block, shared_bytes, stream>>>(args...) in clusters, with the launch's error as a Status.
template <class... Parameters, class... Args>
Status launch_kernel(void (*kernel)(Parameters...), const LaunchShape& shape, [[maybe_unused]] LaunchStream stream,
                     const Args&... args) {
#if defined(__CUDACC__)
  cudaError_t error = ask_for_more(reinterpret_cast<const void*>(kernel), shape);
  if (error == cudaSuccess) {
    cudaLaunchAttribute attributes[3] = {};  // GPUs below 9.0 refuse two of them, so only what is wanted is given
    unsigned count = 0;
    if (shape.cluster > 1) {
      attributes[count].id = cudaLaunchAttributeClusterDimension;
      attributes[count].val.clusterDim.x = shape.cluster;
      attributes[count].val.clusterDim.y = attributes[count].val.clusterDim.z = 1;
      ++count;
    }
    if (shape.cooperative) {
      attributes[count].id = cudaLaunchAttributeCooperative;
      attributes[count].val.cooperative = 1;
      ++count;
    }
    if (shape.overlap) {
      attributes[count].id = cudaLaunchAttributeProgrammaticStreamSerialization;
      attributes[count].val.programmaticStreamSerializationAllowed = 1;
      ++count;
    }
    cudaLaunchConfig_t config = {};
    config.gridDim = shape.grid;
    config.blockDim = shape.block;
    config.dynamicSmemBytes = shape.shared_bytes;
    config.stream = static_cast<cudaStream_t>(stream.stream);
    config.attrs = attributes;
    config.numAttrs = count;
    error = cudaLaunchKernelEx(&config, kernel, args...);
  }
  if (error != cudaSuccess) {
    (void)cudaGetLastError();  // reported here, and not once more by whoever asks next
    return Status::infrastructure(std::string("kernel launch failed: ") + cudaGetErrorString(error));
  }
  return {};
#else
  try {
    const unsigned together = shape.cooperative ? shape.grid.x : shape.cluster;
    run_grid({shape.grid, shape.block, shape.shared_bytes, together, shape.cooperative, stream.file},
             [&] { kernel(args...); });
    return {};
  } catch (const std::exception& error) {
    return Status::infrastructure(std::string("host execution: ") + error.what());
  }
#endif
}

/// The same without clusters.
template <class... Parameters, class... Args>
Status launch_kernel(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes,
                     LaunchStream stream, const Args&... args) {
  return launch_kernel(kernel, LaunchShape{grid, block, shared_bytes}, stream, args...);
}

/// Fills scratch memory with zero bytes, in the order of the stream.
inline Status zero_fill(void* memory, std::size_t bytes, [[maybe_unused]] Stream stream) {
#if defined(__CUDACC__)
  const cudaError_t error = cudaMemsetAsync(memory, 0, bytes, static_cast<cudaStream_t>(stream));
  if (error != cudaSuccess) return Status::infrastructure(std::string("memset failed: ") + cudaGetErrorString(error));
#else
  memset(memory, 0, bytes);
  watch::is_written(memory, bytes);
#endif
  return {};
}

}  // namespace normquant::NORMQUANT_BACKEND
