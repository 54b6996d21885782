// Several matrices read and written packet by packet, a packet or two a thread, in as many blocks as that takes. Every byte once, no
// floating-point operations: what is written is the exclusive or of what was read.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "bench/random_fill.cuh"
#include "bench/stream_limit.hpp"

namespace normquant::bench {
namespace {

__device__ __forceinline__ uint4 load_bytes(const unsigned char* from, int bytes) {
  uint4 words = {};
  if (bytes == 16) return *reinterpret_cast<const uint4*>(from);
  if (bytes == 8) {
    const uint2 half = *reinterpret_cast<const uint2*>(from);
    words.x = half.x, words.y = half.y;
  } else if (bytes == 4) {
    words.x = *reinterpret_cast<const std::uint32_t*>(from);
  } else if (bytes == 2) {
    words.x = *reinterpret_cast<const std::uint16_t*>(from);
  } else {
    words.x = *from;
  }
  return words;
}

__device__ __forceinline__ void store_bytes(unsigned char* to, int bytes, uint4 words) {
  if (bytes == 16) {
    *reinterpret_cast<uint4*>(to) = words;
  } else if (bytes == 8) {
    *reinterpret_cast<uint2*>(to) = uint2{words.x, words.y};
  } else if (bytes == 4) {
    *reinterpret_cast<std::uint32_t*>(to) = words.x;
  } else if (bytes == 2) {
    *reinterpret_cast<std::uint16_t*>(to) = static_cast<std::uint16_t>(words.x);
  } else {
    *to = static_cast<unsigned char>(words.x);
  }
}

/// All loads of a thread are under way before the first of its stores.
template <int unroll>
__global__ void move_kernel(const __grid_constant__ SharedOut matrices) {
  const std::int64_t first = blockIdx.x * static_cast<std::int64_t>(unroll * blockDim.x) + threadIdx.x;
  uint4 held[unroll][SharedOut::most] = {};
#pragma unroll
  for (int i = 0; i < unroll; ++i) {
    const std::int64_t packet = first + i * static_cast<std::int64_t>(blockDim.x);
#pragma unroll
    for (int m = 0; m < SharedOut::most; ++m) {
      const SharedOut::Matrix& matrix = matrices.matrix[m];
      if (m >= matrices.count || matrix.written || packet >= matrices.packets) continue;
      held[i][m] = load_bytes(matrix.data + packet * matrix.packet, matrix.packet);
    }
  }
#pragma unroll
  for (int i = 0; i < unroll; ++i) {
    const std::int64_t packet = first + i * static_cast<std::int64_t>(blockDim.x);
    if (packet >= matrices.packets) continue;
    uint4 mixed = {};
#pragma unroll
    for (int m = 0; m < SharedOut::most; ++m) {
      mixed.x ^= held[i][m].x, mixed.y ^= held[i][m].y, mixed.z ^= held[i][m].z, mixed.w ^= held[i][m].w;
    }
#pragma unroll
    for (int m = 0; m < SharedOut::most; ++m) {
      const SharedOut::Matrix& matrix = matrices.matrix[m];
      if (m < matrices.count && matrix.written) {
        store_bytes(matrix.data + packet * matrix.packet, matrix.packet, mixed);
      }
    }
  }
}

struct Way {
  const char* name;
  void (*kernel)(SharedOut);
  int threads, unroll;
};

constexpr Way all_ways[] = {
    {"streams_256x1", move_kernel<1>, 256, 1},   {"streams_512x1", move_kernel<1>, 512, 1},
    {"streams_1024x1", move_kernel<1>, 1024, 1}, {"streams_256x2", move_kernel<2>, 256, 2},
    {"streams_512x2", move_kernel<2>, 512, 2},
};

class CudaMover final : public Mover {
 public:
  explicit CudaMover(int sm_count) : sm_count_(sm_count) {}
  int ways() const override { return static_cast<int>(std::size(all_ways)); }
  std::string name(int way) const override { return all_ways[way].name; }
  Status enqueue(int index, const SharedOut& matrices, Stream stream) const override {
    const Way& way = all_ways[index];
    const std::int64_t a_block = std::int64_t{way.unroll} * way.threads;
    const auto blocks = static_cast<unsigned>(std::max<std::int64_t>((matrices.packets + a_block - 1) / a_block, 1));
    way.kernel<<<blocks, way.threads, 0, static_cast<cudaStream_t>(stream)>>>(matrices);
    return status_of(cudaGetLastError(), way.name);
  }
  Status fill(void* memory, std::int64_t bytes, Stream stream) const override {
    return enqueue_fill(memory, bytes, sm_count_, stream);
  }

 private:
  int sm_count_;
};

}  // namespace

std::unique_ptr<Mover> open_cuda_mover(const DeviceInfo& device) {
  return std::make_unique<CudaMover>(device.sm_count);
}

}  // namespace normquant::bench
