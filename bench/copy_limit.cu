// Plain copies, each in the ways that are fastest on some GPU at some size: out[i] = in[i] in 16-byte vectors.
// 2 bytes of traffic a byte copied, no floating-point operations.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "bench/copy_limit.hpp"
#include "bench/random_fill.cuh"

namespace normquant::bench {
namespace {

/// Each thread copies `unroll` vectors a turn, a block's width apart, all loaded before the first is stored; blocks
/// stride over the rest when the grid is smaller than the work. `streaming` marks both sides as used once.
template <int unroll, bool streaming>
__global__ void copy_kernel(int4* __restrict__ to, const int4* __restrict__ from, std::int64_t count) {
  const std::int64_t tile = std::int64_t{unroll} * blockDim.x;
  for (std::int64_t base = blockIdx.x * tile; base < count; base += gridDim.x * tile) {
    int4 held[unroll];
#pragma unroll
    for (int i = 0; i < unroll; ++i) {
      const std::int64_t at = base + i * static_cast<std::int64_t>(blockDim.x) + threadIdx.x;
      if (at < count) held[i] = streaming ? __ldcs(from + at) : from[at];
    }
#pragma unroll
    for (int i = 0; i < unroll; ++i) {
      const std::int64_t at = base + i * static_cast<std::int64_t>(blockDim.x) + threadIdx.x;
      if (at >= count) continue;
      if (streaming) {
        __stcs(to + at, held[i]);
      } else {
        to[at] = held[i];
      }
    }
  }
}

__global__ void empty_kernel() {}

using CopyKernel = void (*)(int4*, const int4*, std::int64_t);

struct Way {
  const char* name;
  CopyKernel kernel;  ///< null: the copy engine of cudaMemcpyAsync
  int threads;
  int unroll;
  int blocks_per_sm;  ///< 0: as many blocks as the work fills
};

constexpr Way all_ways[] = {
    {"copy_256x1", copy_kernel<1, false>, 256, 1, 0},
    {"copy_1024x1", copy_kernel<1, false>, 1024, 1, 0},
    {"copy_256x2", copy_kernel<2, false>, 256, 2, 0},
    {"copy_256x4", copy_kernel<4, false>, 256, 4, 0},
    {"copy_512x4", copy_kernel<4, false>, 512, 4, 0},
    {"copy_128x8", copy_kernel<8, false>, 128, 8, 0},
    {"copy_256x4_streaming", copy_kernel<4, true>, 256, 4, 0},
    {"copy_512x2_streaming", copy_kernel<2, true>, 512, 2, 0},
    {"copy_512x4_persistent", copy_kernel<4, false>, 512, 4, 4},
    {"memcpy", nullptr, 0, 0, 0},
};

class CudaCopier final : public Copier {
 public:
  explicit CudaCopier(int sm_count) : sm_count_(std::max(sm_count, 1)) {}

  int ways() const override { return static_cast<int>(std::size(all_ways)); }
  std::string name(int way) const override { return all_ways[way].name; }

  Status enqueue(int index, void* to, const void* from, std::int64_t bytes, Stream stream) const override {
    const Way& way = all_ways[index];
    const auto cuda_stream = static_cast<cudaStream_t>(stream);
    if (way.kernel == nullptr) {
      const auto size = static_cast<std::size_t>(bytes);
      return status_of(cudaMemcpyAsync(to, from, size, cudaMemcpyDeviceToDevice, cuda_stream), way.name);
    }
    const std::int64_t count = bytes / 16;
    const std::int64_t tile = static_cast<std::int64_t>(way.threads) * way.unroll;
    std::int64_t blocks = std::clamp<std::int64_t>((count + tile - 1) / tile, 1, 0x7fffffff);
    if (way.blocks_per_sm > 0) blocks = std::min<std::int64_t>(blocks, way.blocks_per_sm * sm_count_);
    way.kernel<<<static_cast<unsigned>(blocks), way.threads, 0, cuda_stream>>>(static_cast<int4*>(to),
                                                                               static_cast<const int4*>(from), count);
    return status_of(cudaGetLastError(), way.name);
  }

  Status enqueue_nothing(Stream stream) const override {
    empty_kernel<<<1, 32, 0, static_cast<cudaStream_t>(stream)>>>();
    return status_of(cudaGetLastError(), "empty kernel");
  }

  Status fill(void* memory, std::int64_t bytes, Stream stream) const override {
    return enqueue_fill(memory, bytes, sm_count_, stream);
  }

 private:
  int sm_count_;
};

}  // namespace

std::unique_ptr<Copier> open_cuda_copier(const DeviceInfo& device) {
  return std::make_unique<CudaCopier>(device.sm_count);
}

}  // namespace normquant::bench
