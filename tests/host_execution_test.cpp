// The host device gives CUDA's words their CUDA meaning.
#include <gtest/gtest.h>

#include <set>
#include <stdexcept>
#include <vector>

#include "host/host_exec/cuda_on_host.hpp"

namespace normquant::host_exec {
namespace {

std::string failure_of(const GridShape& shape, const std::function<void()>& body) {
  try {
    run_grid(shape, body);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return {};
}

TEST(HostExecution, EveryThreadOfEveryBlockRunsOnce) {
  std::multiset<std::vector<unsigned>> seen;
  run_grid({{3, 2, 1}, {4, 2, 2}, 0}, [&] {
    seen.insert({blockIdx.x, blockIdx.y, threadIdx.x, threadIdx.y, threadIdx.z});
    EXPECT_EQ(blockDim.x, 4U);
    EXPECT_EQ(gridDim.y, 2U);
  });
  EXPECT_EQ(seen.size(), 3U * 2 * 4 * 2 * 2);
  EXPECT_EQ(std::set(seen.begin(), seen.end()).size(), seen.size());
}

TEST(HostExecution, BarrierMakesAllEarlierWritesVisible) {
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    set_schedule_seed(seed);
    int wrong = 0;
    run_grid({{1, 1, 1}, {96, 1, 1}, 96 * sizeof(int)}, [&] {
      int* slots = reinterpret_cast<int*>(dynamic_shared_memory());
      slots[threadIdx.x] = static_cast<int>(threadIdx.x);
      __syncthreads();
      wrong += slots[95 - threadIdx.x] == static_cast<int>(95 - threadIdx.x) ? 0 : 1;
    });
    EXPECT_EQ(wrong, 0);
  }
}

TEST(HostExecution, WithoutTheBarrierSomeScheduleShowsIt) {
  int wrong = 0;
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    set_schedule_seed(seed);
    run_grid({{1, 1, 1}, {96, 1, 1}, 96 * sizeof(int)}, [&] {
      int* slots = reinterpret_cast<int*>(dynamic_shared_memory());
      slots[threadIdx.x] = static_cast<int>(threadIdx.x);
      wrong += slots[95 - threadIdx.x] == static_cast<int>(95 - threadIdx.x) ? 0 : 1;
    });
  }
  EXPECT_GT(wrong, 0);
}

/// Rounds of a sum over two warps through slots that the next round uses again after one barrier only: a warp that runs
/// ahead overwrites what the other has not read yet.
int wrong_sums_of_one_slot_a_warp() {
  int wrong = 0;
  run_grid({{1, 1, 1}, {64, 1, 1}, 2 * sizeof(int)}, [&] {
    int* slots = reinterpret_cast<int*>(dynamic_shared_memory());
    for (int round = 0; round < 10; ++round) {
      __syncwarp();
      if (threadIdx.x % 32 == 0) slots[threadIdx.x / 32] = round;
      __syncthreads();
      wrong += slots[0] + slots[1] == 2 * round ? 0 : 1;
    }
  });
  return wrong;
}

TEST(HostExecution, AWarpRunsAheadByAnEvenSeed) {
  set_schedule_seed(2);
  EXPECT_GT(wrong_sums_of_one_slot_a_warp(), 0);
}

TEST(HostExecution, AGroupBarrierHoldsItsOwnThreadsOnly) {
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    set_schedule_seed(seed);
    int wrong = 0;
    // Two groups of two warps; the second meets three times while the first meets once.
    run_grid({{1, 1, 1}, {64, 2, 1}, 128 * sizeof(int)}, [&] {
      int* slots = reinterpret_cast<int*>(dynamic_shared_memory()) + std::size_t{threadIdx.y} * 64;
      for (int turn = 0; turn < (threadIdx.y == 0 ? 1 : 3); ++turn) {
        slots[threadIdx.x] = static_cast<int>(threadIdx.x) + turn;
        barrier_of_group(threadIdx.y + 1, 64);
        wrong += slots[63 - threadIdx.x] == static_cast<int>(63 - threadIdx.x) + turn ? 0 : 1;
        barrier_of_group(threadIdx.y + 1, 64);
      }
    });
    EXPECT_EQ(wrong, 0);
  }
}

TEST(HostExecution, AGroupBarrierThatIsMisusedIsReported) {
  const GridShape shape = {{1, 1, 1}, {64, 1, 1}, 0};
  EXPECT_NE(failure_of(shape, [] { barrier_of_group(16, 64); }).find("there are 1 to 15"), std::string::npos);
  EXPECT_NE(failure_of(shape, [] { barrier_of_group(1, 40); }).find("whole warps"), std::string::npos);
  EXPECT_NE(failure_of(shape, [] { barrier_of_group(1, threadIdx.x < 32 ? 64 : 32); }).find("wait for"),
            std::string::npos);
  const std::string missing = failure_of(shape, [] {
    if (threadIdx.x < 32) barrier_of_group(1, 64);
  });
  EXPECT_NE(missing.find("31 more wait in a group barrier"), std::string::npos) << missing;
}

TEST(HostExecution, ShuffleExchangesWithinEachWarp) {
  run_grid({{1, 1, 1}, {64, 1, 1}, 0}, [&] {
    const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    EXPECT_EQ(__shfl_xor_sync(0xffffffffU, threadIdx.x, 5U), 32 * warp + (lane ^ 5U));
    EXPECT_EQ(__shfl_sync(0xffffffffU, 2.5F * static_cast<float>(threadIdx.x), 7U),
              2.5F * static_cast<float>(32 * warp + 7));
  });
}

TEST(HostExecution, ManyShufflesInARowKeepTheirValues) {
  run_grid({{2, 1, 1}, {256, 1, 1}, 0}, [&] {
    unsigned sum = threadIdx.x;
    for (unsigned distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(0xffffffffU, sum, distance);
    const unsigned first = threadIdx.x / 32 * 32;
    EXPECT_EQ(sum, 32 * first + 31 * 16);
  });
}

TEST(HostExecution, SharedMemoryStartsPoisonedInEveryBlock) {
  run_grid({{3, 1, 1}, {1, 1, 1}, 8}, [&] {
    for (int i = 0; i < 8; ++i) EXPECT_EQ(dynamic_shared_memory()[i], 0xFF);
    dynamic_shared_memory()[3] = 1;
  });
}

#if !defined(__SANITIZE_ADDRESS__)  // which ends the program at such an access
TEST(HostExecution, AWritePastTheEndOfSharedMemoryIsReported) {
  const std::string why = failure_of({{2, 1, 1}, {32, 1, 1}, 48}, [] {
    if (blockIdx.x == 1 && threadIdx.x == 5) dynamic_shared_memory()[48] = 0;
  });
  EXPECT_NE(why.find("block (1,0,0) wrote past the end of its 48 bytes of shared memory"), std::string::npos) << why;
}
#endif

TEST(HostExecution, ABarrierThatAThreadMissesIsReported) {
  const std::string why = failure_of({{1, 1, 1}, {64, 1, 1}, 0}, [] {
    if (threadIdx.x != 17) __syncthreads();
  });
  EXPECT_NE(why.find("__syncthreads"), std::string::npos) << why;
  EXPECT_NE(why.find("1 of 64 threads have ended"), std::string::npos) << why;
}

TEST(HostExecution, AShuffleThatALaneMissesIsReported) {
  const std::string why = failure_of({{1, 1, 1}, {32, 1, 1}, 0}, [] {
    if (threadIdx.x != 3) (void)__shfl_xor_sync(0xffffffffU, 1, 1U);
  });
  EXPECT_NE(why.find("__shfl_xor_sync"), std::string::npos) << why;
}

TEST(HostExecution, LanesThatMeetInDifferentOperationsAreReported) {
  const std::string why = failure_of({{1, 1, 1}, {32, 1, 1}, 0}, [] {
    if (threadIdx.x < 16) {
      __syncwarp();
    } else {
      (void)__shfl_sync(0xffffffffU, 1, 0U);
    }
  });
  EXPECT_NE(why.find("while other lanes of the warp wait in"), std::string::npos) << why;
}

TEST(HostExecution, AMaskWithoutTheCallerIsReported) {
  const std::string why = failure_of({{1, 1, 1}, {32, 1, 1}, 0}, [] { __syncwarp(0x7fffffffU); });
  EXPECT_NE(why.find("leaves out the calling lane"), std::string::npos) << why;
}

std::vector<unsigned> order_of_threads(std::uint64_t seed) {
  set_schedule_seed(seed);
  std::vector<unsigned> order;
  run_grid({{2, 1, 1}, {64, 1, 1}, 0}, [&] { order.push_back(100 * blockIdx.x + threadIdx.x); });
  return order;
}

TEST(HostExecution, TheSameSeedGivesTheSameSchedule) {
  EXPECT_EQ(order_of_threads(7), order_of_threads(7));
  EXPECT_NE(order_of_threads(7), order_of_threads(8));
}

TEST(HostExecution, AfterAReportedMistakeTheNextLaunchRuns) {
  (void)failure_of({{1, 1, 1}, {64, 1, 1}, 0}, [] {
    if (threadIdx.x == 0) __syncthreads();
  });
  int ran = 0;
  run_grid({{1, 1, 1}, {64, 1, 1}, 0}, [&] { ++ran; });
  EXPECT_EQ(ran, 64);
}

}  // namespace
}  // namespace normquant::host_exec
