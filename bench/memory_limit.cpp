#include "bench/memory_limit.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace normquant::bench {

double least_microseconds(const MemoryTraffic& traffic, const DeviceInfo& device) {
  const auto bytes = static_cast<double>(traffic.bytes);
  if (device.kind == DeviceKind::host) {
    constexpr double bytes_per_us = 192 * 6e3;  // of a core
    return bytes / (bytes_per_us * std::max(1, traffic.cores));
  }
  constexpr double port_bytes_per_us = 128 * 3.2e3;  // of a multiprocessor
  const double ports_us = bytes / (port_bytes_per_us * std::max(1, device.sm_count));
  if (!traffic.peak_gb_per_s || !(*traffic.peak_gb_per_s > 0)) return ports_us;
  const auto l2 = static_cast<double>(device.l2_bytes), rotated = static_cast<double>(traffic.rotated_bytes);
  const double from_memory = rotated > l2 ? bytes * (1 - l2 / rotated) : 0;
  return std::max(ports_us, from_memory / (*traffic.peak_gb_per_s * 1e3));
}

std::string faster_than_memory(double microseconds, const MemoryTraffic& traffic, const DeviceInfo& device) {
  const double least = least_microseconds(traffic, device);
  if (microseconds >= least) return {};
  return fmt::format(
      "faster than memory: a launch took {:.4g} us, and the {} bytes that it must move take {:.4g} us at least on this "
      "device",
      microseconds, traffic.bytes, least);
}

}  // namespace normquant::bench
