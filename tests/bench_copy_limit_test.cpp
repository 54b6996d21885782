// The copy limit with an invented copier and timer: which copy counts, what is remembered, what fails. No GPU.
#include <gtest/gtest.h>

#include <cmath>

#include "bench/copy_limit.hpp"
#include "tests/invented_device.hpp"

namespace normquant::bench {
namespace {

int copies_enqueued = 0;
int last_way = 0;

class InventedCopier final : public Copier {
 public:
  int ways() const override { return 3; }
  std::string name(int way) const override { return "way" + std::to_string(way); }
  Status enqueue(int way, void* to, const void* from, std::int64_t bytes, Stream) const override {
    EXPECT_EQ(bytes % 16, 0);
    EXPECT_EQ((static_cast<char*>(to) - static_cast<const char*>(from)) % 256, 0);
    EXPECT_GE(static_cast<char*>(to) - static_cast<const char*>(from), bytes);
    ++copies_enqueued;
    last_way = way;
    return {};
  }
  Status enqueue_nothing(Stream) const override { return {}; }
  Status fill(void*, std::int64_t, Stream) const override { return {}; }
};

TEST(RoundedTraffic, IsCloseAndCoarse) {
  EXPECT_EQ(rounded_traffic(0), 32);
  EXPECT_EQ(rounded_traffic(33), 32);
  EXPECT_EQ(rounded_traffic(64), 64);
  for (std::int64_t bytes = 20'000; bytes < (std::int64_t{1} << 40); bytes = bytes * 3 / 2 + 7) {
    const std::int64_t rounded = rounded_traffic(bytes);
    EXPECT_EQ(rounded % 32, 0);
    EXPECT_LE(std::abs(static_cast<double>(rounded - bytes)), 0.002 * static_cast<double>(bytes)) << bytes;
  }
  EXPECT_EQ(rounded_traffic(67'108'864 + 16'384), rounded_traffic(67'108'864)) << "a weight does not cost a new copy";
}

TEST(CopyLimit, TheFastestWayCountsAndIsRemembered) {
  InventedDevice device(plenty());
  InventedTimer timer(last_way);
  CopyLimit limit(device, timer, std::make_unique<InventedCopier>(), plenty);
  WayTime time;
  ASSERT_TRUE(limit.copy_time(1 << 20, time).ok());
  EXPECT_EQ(time.microseconds, 3.0);
  EXPECT_EQ(time.way, "way1");
  EXPECT_EQ(device.released, 1);
  const int before = copies_enqueued;
  ASSERT_TRUE(limit.copy_time((1 << 20) + 16, time).ok());
  EXPECT_EQ(copies_enqueued, before) << "the same size, rounded, is not measured again";
}

TEST(CopyLimit, TooLittleMemoryIsAStatus) {
  InventedDevice device(1000);
  InventedTimer timer(last_way);
  CopyLimit limit(device, timer, std::make_unique<InventedCopier>(), plenty);
  WayTime time;
  const Status status = limit.copy_time(1 << 20, time);
  EXPECT_FALSE(status.ok());
  EXPECT_NE(status.message.find("out of memory"), std::string::npos);
}

TEST(CopyLimit, LaunchFloorIsTheEmptyKernelsTime) {
  InventedDevice device(plenty());
  InventedTimer timer(last_way);
  CopyLimit limit(device, timer, std::make_unique<InventedCopier>(), plenty);
  double floor = 0;
  last_way = 0;
  ASSERT_TRUE(limit.launch_floor(floor).ok());
  EXPECT_EQ(floor, 5.0);
}

}  // namespace
}  // namespace normquant::bench
