// The limits of the device at hand, measured in the same run: the time of the fastest plain copy that moves as many
// bytes, and the time of a kernel that does nothing.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <normquant/device.hpp>
#include <normquant/status.hpp>

#include "bench/fastest_way.hpp"
#include "bench/timer.hpp"

namespace normquant::bench {

/// `bytes` rounded to the nearest multiple of 32 with 9 significant bits: at most 0.2% off (from 16 KB up), below what
/// the sampler resolves, so that a sweep's many slightly different sizes share their copies.
std::int64_t rounded_traffic(std::int64_t bytes);

/// One way of copying.
class Copier {
 public:
  virtual ~Copier() = default;
  /// Ways there are.
  virtual int ways() const = 0;
  virtual std::string name(int way) const = 0;
  /// Enqueues a copy of `bytes` (a multiple of 16) from `from` to `to`, 16-byte aligned.
  virtual Status enqueue(int way, void* to, const void* from, std::int64_t bytes, Stream stream) const = 0;
  /// Enqueues a kernel that does nothing.
  virtual Status enqueue_nothing(Stream stream) const = 0;
  /// Fills memory with bits that look random: constant data draws less power and may run at higher clocks.
  virtual Status fill(void* memory, std::int64_t bytes, Stream stream) const = 0;
};

/// Null in a build without CUDA.
std::unique_ptr<Copier> open_cuda_copier(const DeviceInfo& device);

/// Measures limits with the timer that also times the cases. Results are kept, so each size costs its time once.
class CopyLimit {
 public:
  CopyLimit(Device& device, Timer& timer, std::unique_ptr<Copier> copier, std::size_t (*free_bytes)());

  /// Fastest copy with a total traffic of `bytes` (half read, half written) over rotated buffers. Fails when memory
  /// runs out. Allocates for the time of the call only.
  Status copy_time(std::int64_t bytes, WayTime& fastest);
  /// Median microseconds of an empty kernel in a graph: no launch is shorter.
  Status launch_floor(double& microseconds);

 private:
  Device& device_;
  Timer& timer_;
  std::unique_ptr<Copier> copier_;
  std::size_t (*free_bytes_)();
  std::map<std::int64_t, WayTime> known_;
};

}  // namespace normquant::bench
