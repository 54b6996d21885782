// What no kernel can be faster than, because the memory cannot be. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <normquant/device.hpp>

namespace normquant::bench {

/// What one launch moves, and through what.
struct MemoryTraffic {
  std::int64_t bytes = 0;               ///< each input read once, each output written once
  std::int64_t rotated_bytes = 0;       ///< bytes * copies of the buffers, in turn
  std::optional<double> peak_gb_per_s;  ///< of the GPU's memory, by its clock and bus
  int cores = 1;                        ///< of the host
};

/// Microseconds that the traffic takes at the very least.
///   GPU: what does not fit the L2 between two turns of a buffer, bytes * (1 - L2 / rotated), at the memory's peak; and all bytes
///        through the multiprocessors' ports, which take 128 bytes a cycle (64 each way) at clocks below 3.2 GHz.
///   host: two loads and a store of 64 bytes a cycle in every core, at clocks below 6 GHz.
double least_microseconds(const MemoryTraffic& traffic, const DeviceInfo& device);

/// A sentence when a time is shorter than that; empty when it is possible.
std::string faster_than_memory(double microseconds, const MemoryTraffic& traffic, const DeviceInfo& device);

}  // namespace normquant::bench
