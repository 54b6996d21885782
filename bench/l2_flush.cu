// Writes, then reads, 3 times the L2: 9 bytes of traffic a byte of L2 (with the write-backs), no floating-point operations.
#include <algorithm>
#include <cstdint>

#include "bench/cuda_handles.hpp"
#include "bench/l2_flush.hpp"

namespace normquant::bench {
namespace {

__global__ void flush_by_writing(uint4* memory, std::size_t count, unsigned value) {
  const std::size_t stride = std::size_t{gridDim.x} * blockDim.x;
  for (std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += stride) {
    memory[i] = make_uint4(value, value, value, value);
  }
}

/// The store never happens (no word is all ones here) and keeps the loads.
__global__ void flush_by_reading(uint4* memory, std::size_t count) {
  const std::size_t stride = std::size_t{gridDim.x} * blockDim.x;
  unsigned seen = 0;
  for (std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += stride) {
    const uint4 read = __ldcg(memory + i);
    seen |= read.x & read.y & read.z & read.w;
  }
  if (seen == ~0U) memory[0].x = 0;
}

class CudaL2Flush final : public L2Flush {
 public:
  Status open(const DeviceInfo& device) {
    constexpr std::size_t smallest = std::size_t{16} << 20;
    bytes_ = std::max(3 * device.l2_bytes, smallest) / sizeof(uint4) * sizeof(uint4);
    blocks_ = 8 * static_cast<unsigned>(std::max(device.sm_count, 1));
    NORMQUANT_TRY(cudaMalloc(memory_.put(), bytes_));
    return {};
  }

  Status enqueue(Stream stream) override {
    auto* const memory = static_cast<uint4*>(memory_.get());
    const std::size_t count = bytes_ / sizeof(uint4);
    auto* const on = static_cast<cudaStream_t>(stream);
    ++turn_;
    flush_by_writing<<<blocks_, 256, 0, on>>>(memory, count, turn_ & 0xffffU);
    flush_by_reading<<<blocks_, 256, 0, on>>>(memory, count);
    NORMQUANT_TRY(cudaGetLastError());
    return {};
  }

  Status reset_persisting() override {
    NORMQUANT_TRY(cudaCtxResetPersistingL2Cache());
    return {};
  }

  std::size_t bytes() const override { return bytes_; }

 private:
  OwnedMemory memory_;
  std::size_t bytes_ = 0;
  unsigned blocks_ = 1;
  unsigned turn_ = 0;
};

}  // namespace

std::unique_ptr<L2Flush> open_l2_flush(const DeviceInfo& device, std::string& why) {
  auto flush = std::make_unique<CudaL2Flush>();
  if (Status status = flush->open(device); !status.ok()) {
    why = status.message;
    return nullptr;
  }
  return flush;
}

}  // namespace normquant::bench
