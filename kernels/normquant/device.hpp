// Devices: a CUDA GPU, or `host`, which runs the same kernel sources on the CPU.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <normquant/status.hpp>

namespace normquant {

enum class DeviceKind { host, cuda };

/// What the choice of a variant may depend on.
struct DeviceInfo {
  DeviceKind kind = DeviceKind::host;
  std::string name;                         ///< "host", or the GPU's product name
  int compute_capability = 0;               ///< 10 * major + minor; 0 on host
  int sm_count = 1;                         ///< multiprocessors; host: how many blocks a persistent grid launches
  std::size_t shared_memory_per_block = 0;  ///< largest dynamic shared memory of one block, bytes (opt-in limit)
  std::size_t l2_bytes = 0;
  int max_cluster_blocks = 1;  ///< blocks of the largest thread-block cluster; 1: there are no clusters
  /// Clusters of 2, 4, 8 and 16 blocks that run at a time when every block takes a whole multiprocessor.
  std::array<int, 4> resident_clusters = {};
};

/// Clusters of `blocks` blocks (1, 2, 4, 8 or 16) that run at a time when every block takes a whole multiprocessor.
constexpr int resident_clusters(const DeviceInfo& device, int blocks) {
  int clusters = device.sm_count;
  for (int size = 2, i = 0; size <= blocks && i < 4; size *= 2, ++i) clusters = device.resident_clusters[i];
  return clusters;
}

/// A CUDA stream (cudaStream_t), passed as an opaque pointer so that headers need no CUDA. Ignored on host.
using Stream = void*;

/// Memory and synchronisation on one device. Every function reports failure by Status; nothing throws.
class Device {
 public:
  virtual ~Device() = default;
  virtual const DeviceInfo& info() const = 0;
  /// Uninitialised memory, aligned to 256 bytes; nothing (and `why` filled) when there is not enough.
  virtual void* allocate(std::size_t bytes, std::string& why) = 0;
  virtual void release(void* memory) = 0;
  virtual Status copy_to_device(void* to, const void* from, std::size_t bytes) = 0;
  virtual Status copy_to_host(void* to, const void* from, std::size_t bytes) = 0;
  virtual Status fill_bytes(void* memory, unsigned char value, std::size_t bytes) = 0;
  /// The same, and the memory counts as never written: a kernel that reads it makes a mistake, which a device that watches
  /// its kernels finds.
  virtual Status poison_bytes(void* memory, unsigned char value, std::size_t bytes) {
    return fill_bytes(memory, value, bytes);
  }
  /// Waits for all work and reports any error that a kernel left behind.
  virtual Status synchronize() = 0;
  /// Makes this device the calling thread's current one (cudaSetDevice). Threads other than the one that opened the
  /// device call it before anything else.
  virtual Status make_current() = 0;
  /// Whether it looks for races and other misuse of memory in the kernels that it runs (docs/races.md).
  virtual bool watches() const { return false; }
  /// What it found in the launches that the calling thread made since the last call: a sentence each.
  virtual std::vector<std::string> take_findings() { return {}; }
};

/// The host device. `schedule_seed` picks the order in which the threads of a block run; the same seed gives the same
/// order. A positive `sm_count` overrides how many multiprocessors it pretends to have.
std::unique_ptr<Device> open_host_device(std::uint64_t schedule_seed = 1, int sm_count = 4);

/// Whether this build contains the CUDA kernels.
bool built_with_cuda();

/// Number of usable CUDA devices (0 without a driver); `why` then says what the runtime answered.
int cuda_device_count(std::string& why);

/// Where a CUDA device's memory comes from: own is cudaMalloc's, pooled is that of the driver's pool, which takes a tenth of
/// the time and hands memory of one tensor to the next.
enum class DeviceMemory { own, pooled };

/// CUDA device `index`; null with `why` filled when it cannot be used.
std::unique_ptr<Device> open_cuda_device(int index, std::string& why, DeviceMemory memory = DeviceMemory::own);

}  // namespace normquant
