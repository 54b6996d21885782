// Accesses of single threads become those of warps; sectors and bank conflicts are what the address patterns make them.
#include <gtest/gtest.h>

#include <functional>

#include "host/watch/counts.hpp"

namespace normquant::host_exec::watch {
namespace {

constexpr unsigned all_lanes = ~0U;

/// One instruction of a warp, lane by lane.
Counts count(Traffic traffic, unsigned bytes, const std::function<std::uint64_t(unsigned)>& address,
             unsigned lanes = all_lanes) {
  Counter counter;
  for (unsigned lane = 0; lane < 32; ++lane) {
    if ((lanes >> lane & 1U) != 0) counter.access(traffic, 0, lane, all_lanes, 7, 1, address(lane), bytes);
  }
  counter.blocks_end();
  return counter.counts();
}

std::uint64_t sectors(unsigned bytes, const std::function<std::uint64_t(unsigned)>& address,
                      unsigned lanes = all_lanes) {
  const Counts counts = count(Traffic::global_load, bytes, address, lanes);
  EXPECT_EQ(counts.global_loads.warps, 1U);
  return counts.global_loads.sectors;
}
std::uint64_t conflicts(unsigned bytes, const std::function<std::uint64_t(unsigned)>& address) {
  const Counts counts = count(Traffic::shared_store, bytes, address);
  EXPECT_EQ(counts.shared_stores.warps, 1U);
  return counts.shared_stores.conflicts;
}

TEST(Sectors, OfContiguousStridedUnalignedAndCommonAddresses) {
  EXPECT_EQ(sectors(4, [](unsigned lane) { return 4096 + 4 * lane; }), 4U);
  EXPECT_EQ(sectors(16, [](unsigned lane) { return 4096 + 16 * lane; }), 16U);
  EXPECT_EQ(sectors(2, [](unsigned lane) { return 4096 + 2 * lane; }), 2U);
  EXPECT_EQ(sectors(4, [](unsigned lane) { return 4096 + 32 * lane; }), 32U);
  EXPECT_EQ(sectors(4, [](unsigned lane) { return 4100 + 4 * lane; }), 5U);
  EXPECT_EQ(sectors(4, [](unsigned) { return 4096; }), 1U);
  EXPECT_EQ(sectors(
                4, [](unsigned lane) { return 4096 + 4 * lane; }, 0xFU),
            1U);
}

TEST(Conflicts, OfContiguousStridedAndCommonAddresses) {
  EXPECT_EQ(conflicts(4, [](unsigned lane) { return 4 * lane; }), 0U);
  EXPECT_EQ(conflicts(4, [](unsigned lane) { return 8 * lane; }), 1U);
  EXPECT_EQ(conflicts(4, [](unsigned lane) { return 128 * lane; }), 31U);
  EXPECT_EQ(conflicts(4, [](unsigned) { return 64; }), 0U);
  EXPECT_EQ(conflicts(4, [](unsigned lane) { return 132 * lane; }), 0U);
  EXPECT_EQ(conflicts(1, [](unsigned lane) { return lane; }), 0U);
  EXPECT_EQ(conflicts(16, [](unsigned lane) { return 16 * lane; }), 0U);
  EXPECT_EQ(conflicts(8, [](unsigned lane) { return 8 * lane; }), 0U);
  // Eight lanes at a time, all in the same four banks.
  EXPECT_EQ(conflicts(16, [](unsigned lane) { return 128 * lane; }), 4U * 7);
}

TEST(Counter, PutsTheKthTimesTogetherWhateverOrderLanesRunIn) {
  Counter counter;
  for (unsigned lane = 32; lane-- > 0;) {
    for (unsigned time = 0; time < 3; ++time) {
      counter.access(Traffic::global_load, 0, lane, all_lanes, 7, 1, 1024 * time + 4 * lane, 4);
    }
  }
  EXPECT_EQ(counter.counts().global_loads.warps, 3U);
  EXPECT_EQ(counter.counts().global_loads.sectors, 12U);
}

TEST(Counter, PlacesWarpsAndWhatCameBeforeAMeetingAreApart) {
  Counter counter;
  for (unsigned lane = 0; lane < 32; ++lane) {
    const bool even = lane % 2 == 0;
    counter.access(Traffic::global_load, 0, lane, all_lanes, even ? 7 : 8, 1, std::uint64_t{4} * lane, 4);
    counter.access(Traffic::global_load, 0, lane, all_lanes, 9, even ? 1 : 2, std::uint64_t{4} * lane, 4);
    counter.access(Traffic::global_load, even ? 0 : 1, lane, all_lanes, 10, 1, std::uint64_t{4} * lane, 4);
  }
  counter.blocks_end();
  EXPECT_EQ(counter.counts().global_loads.warps, 6U);
}

TEST(Counter, ABarrierCountsForEveryWarpAShuffleOnce) {
  Counter counter;
  counter.meeting("__syncthreads", 96);
  counter.meeting("a group barrier", 64);
  counter.meeting("__shfl_xor_sync", 32);
  counter.meeting("__reduce_max_sync", 32);
  counter.meeting("__syncwarp", 32);
  EXPECT_EQ(counter.counts().barriers, 5U);
  EXPECT_EQ(counter.counts().shuffles, 2U);
  EXPECT_EQ(counter.counts().warp_barriers, 1U);
}

}  // namespace
}  // namespace normquant::host_exec::watch
