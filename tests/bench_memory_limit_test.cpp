// No time is shorter than the memory allows: the limit is derived, and says so.
#include <gtest/gtest.h>

#include <limits>

#include "bench/memory_limit.hpp"

namespace normquant::bench {
namespace {

DeviceInfo gpu() {
  DeviceInfo device;
  device.kind = DeviceKind::cuda;
  device.sm_count = 132;
  device.l2_bytes = std::size_t{50} << 20;
  return device;
}

TEST(MemoryLimit, OfAGpuIsItsPeakWhereTheL2KeepsNothing) {
  MemoryTraffic traffic{64 << 20, std::int64_t{400} << 20, 4800.0, 1};
  // 7 of 8 bytes at 4.8 TB/s.
  EXPECT_NEAR(least_microseconds(traffic, gpu()), 0.875 * (64 << 20) / 4.8e6, 1e-6);
  EXPECT_TRUE(faster_than_memory(14, traffic, gpu()).empty());
  EXPECT_NE(faster_than_memory(10, traffic, gpu()).find("faster than memory: a launch took 10 us"), std::string::npos);
}

TEST(MemoryLimit, OfAGpuIsItsPortsWhereAllStaysInTheL2) {
  MemoryTraffic traffic{1 << 20, 4 << 20, 4800.0, 1};
  EXPECT_NEAR(least_microseconds(traffic, gpu()), (1 << 20) / (132 * 128 * 3.2e3), 1e-9);
  traffic.peak_gb_per_s.reset();
  traffic.rotated_bytes = std::int64_t{1} << 40;
  EXPECT_NEAR(least_microseconds(traffic, gpu()), (1 << 20) / (132 * 128 * 3.2e3), 1e-9) << "the peak is not known";
}

TEST(MemoryLimit, OfTheHostIsItsCores) {
  DeviceInfo host;
  const MemoryTraffic traffic{8 << 20, 8 << 20, {}, 2};
  EXPECT_FALSE(faster_than_memory(1.8, traffic, host).empty());
  EXPECT_TRUE(faster_than_memory(70'000, traffic, host).empty());
  EXPECT_FALSE(faster_than_memory(std::numeric_limits<double>::quiet_NaN(), traffic, host).empty());
}

}  // namespace
}  // namespace normquant::bench
