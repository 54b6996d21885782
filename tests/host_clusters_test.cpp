// Thread-block clusters on the host device: the blocks of one run together and reach each other's shared memory.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>
#include <normquant/norm_quant_backward.hpp>
#include <normquant/norm_quant_forward.hpp>

#include "device/cluster.cuh"
#include "device/grid.cuh"

namespace normquant::host {
namespace {

/// Every block's sum of 1 + its blockIdx.x over its threads, added up over the cluster by every thread.
__global__ void sum_over_cluster(unsigned* sums) {
  unsigned* mine = shared_memory<unsigned>();
  if (threadIdx.x == 0) *mine = 0;
  __syncthreads();
  atomicAdd(mine, 1 + blockIdx.x);
  cluster_barrier();
  unsigned sum = 0;
  for (unsigned rank = 0; rank < cluster_blocks(); ++rank) sum += *shared_of_block(mine, rank);
  sums[blockIdx.x * blockDim.x + threadIdx.x] = sum;
  cluster_barrier();
}

/// Checks that every thread has its cluster's sum.
void expect_sums(unsigned blocks, unsigned threads, unsigned cluster) {
  std::vector<unsigned> sums(std::size_t{blocks} * threads, 0);
  const Status status =
      launch_kernel(sum_over_cluster, {dim3{blocks, 1, 1}, dim3{threads, 1, 1}, 4, cluster}, nullptr, sums.data());
  ASSERT_TRUE(status.ok()) << status.message;
  for (unsigned i = 0; i < sums.size(); ++i) {
    const unsigned first = i / threads / cluster * cluster;
    EXPECT_EQ(sums[i], threads * (cluster * (first + 1) + cluster * (cluster - 1) / 2)) << "thread " << i;
  }
}

/// What a launch of clusters of four blocks of 64 threads with 8 bytes of shared memory says.
std::string failure_of(void (*kernel)(), unsigned blocks = 8) {
  return launch_kernel(kernel, {dim3{blocks, 1, 1}, dim3{64, 1, 1}, 8, 4}, nullptr).message;
}
void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "no \"" << part << "\" in: " << text;
}

TEST(HostClusters, EveryBlockReadsTheSharedMemoryOfTheOthers) {
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    set_schedule_seed(seed);
    expect_sums(12, 40, 4);
  }
  expect_sums(3, 64, 1);
}

TEST(HostClusters, SixteenBlocksMakeTheLargest) {
  expect_sums(32, 64, 16);
  expect_contains(launch_kernel(sum_over_cluster, {dim3{17, 1, 1}, dim3{64, 1, 1}, 4, 17}, nullptr, nullptr).message,
                  "a cluster has 1 to 16 blocks, not 17");
  EXPECT_EQ(open_host_device()->info().max_cluster_blocks, 16);
}

/// As GPUs before Hopper: `normquant validate` then owes the variants that share rows no check.
TEST(HostClusters, DevicesWithoutThemLackWhatSomeVariantsNeed) {
  DeviceInfo without = open_host_device()->info();
  without.max_cluster_blocks = 1;
  const auto lacking = [&](const auto& variants) {
    int count = 0;
    for (const auto& variant : variants) {
      const bool shares_rows = variant.tuning.cluster > 1;
      const std::string lacks = variant.device_lacks == nullptr ? "" : variant.device_lacks(variant, without);
      EXPECT_EQ(!lacks.empty(), shares_rows) << variant.name << ": " << lacks;
      if (shares_rows) expect_contains(lacks, "needs clusters of");
      count += shares_rows ? 1 : 0;
    }
    return count;
  };
  EXPECT_GT(lacking(variants<NormQuantForward>(DeviceKind::host)), 3);
  EXPECT_GT(lacking(variants<NormQuantBackward>(DeviceKind::host)), 3);
}

TEST(HostClusters, AClusterIsNeighboursAlongX) {
  std::multiset<std::vector<unsigned>> seen;
  run_grid({{6, 2, 2}, {2, 1, 1}, 0, 3}, [&] {
    EXPECT_EQ(cluster_blocks(), 3U);
    EXPECT_EQ(cluster_rank(), blockIdx.x % 3);
    const dim3 before = blockIdx;
    cluster_barrier();
    EXPECT_EQ(blockIdx.x, before.x);  // the barrier changes threads
    seen.insert({blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x});
  });
  EXPECT_EQ(seen.size(), 6U * 2 * 2 * 2);
  EXPECT_EQ(std::set(seen.begin(), seen.end()).size(), seen.size());
}

TEST(HostClusters, WritesReachTheOtherBlock) {
  run_grid({{2, 1, 1}, {1, 1, 1}, sizeof(float), 2}, [] {
    float* mine = shared_memory<float>();
    cluster_barrier();
    *shared_of_block(mine, 1 - cluster_rank()) = static_cast<float>(cluster_rank());
    cluster_barrier();
    EXPECT_EQ(*mine, static_cast<float>(1 - cluster_rank()));
  });
}

TEST(HostClusters, TheBlockBarrierWaitsForTheBlockOnly) {
  std::vector<int> at_barrier(2, 0);
  run_grid({{2, 1, 1}, {32, 1, 1}, 0, 2}, [&] {
    for (unsigned turn = 0; turn < 1 + 3 * blockIdx.x; ++turn) __syncthreads();
    ++at_barrier[blockIdx.x];
    cluster_barrier();
    EXPECT_EQ(at_barrier[0] + at_barrier[1], 64);
  });
}

TEST(HostClusters, ABarrierThatABlockMissesIsReported) {
  const std::string why = failure_of([] {
    if (cluster_rank() != 2) cluster_barrier();
  });
  expect_contains(why, ",0,0): thread (0,0,0) and 63 more wait in the cluster barrier; 0 of 64 threads have ended.");
  expect_contains(why, ",0,0): 64 of 64 threads have ended.");
  expect_contains(why, "The cluster barrier was not reached by all threads of all blocks.");
}

TEST(HostClusters, AThreadInTheBlockBarrierInsteadIsReported) {
  const std::string why =
      failure_of([] { cluster_rank() == 1 && threadIdx.x == 5 ? __syncthreads() : cluster_barrier(); });
  expect_contains(why, "thread (5,0,0) waits in __syncthreads;");
  expect_contains(why, "The cluster barrier was not reached");
}

TEST(HostClusters, TheTwoHalvesOfTheBarrierLetWorkHappenInBetween) {
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    set_schedule_seed(seed);
    int wrong = 0;
    run_grid({{8, 1, 1}, {64, 1, 1}, 16, 4}, [&] {
      unsigned* slots = shared_memory<unsigned>();
      cluster_arrive();  // all blocks have begun
      cluster_wait();
      if (threadIdx.x < cluster_blocks()) *shared_of_block(slots + cluster_rank(), threadIdx.x) = blockIdx.x;
      cluster_arrive();
      __syncthreads();  // other work
      cluster_wait();
      const unsigned rank = threadIdx.x % 4;
      wrong += slots[rank] == blockIdx.x / 4 * 4 + rank ? 0 : 1;
    });
    EXPECT_EQ(wrong, 0);
  }
}

TEST(HostClusters, HalvesOutOfTurnAreReported) {
  expect_contains(failure_of([] { cluster_wait(); }), "waits at the cluster barrier without having arrived");
  expect_contains(failure_of([] {
                    cluster_arrive();
                    cluster_arrive();
                  }),
                  "a second time without having waited");
}

TEST(HostClusters, AGridThatIsNoMultipleIsRefused) {
  expect_contains(failure_of([] {}, 6), "the grid's 6 blocks along x are no multiple of the cluster's 4");
  expect_contains(launch_kernel(
                      +[] {}, {dim3{4, 1, 1}, dim3{1, 1, 1}, 0, 0}, nullptr)
                      .message,
                  "not 0");
}

TEST(HostClusters, MistakenAddressesAreReported) {
  expect_contains(failure_of([] { (void)shared_of_block(shared_memory<int>(), 4); }), "block 4 of a cluster of 4");
  expect_contains(failure_of([] {
                    int local = 0;
                    (void)shared_of_block(&local, 0);
                  }),
                  "not in the block's shared memory");
}

TEST(HostClusters, ABlockThatHasEndedIsReported) {
  const std::string why = failure_of([] {
    if (cluster_rank() == 3) return;
    for (int turn = 0; turn < 1000; ++turn) {
      __syncthreads();
      (void)shared_of_block(shared_memory<int>(), 3);
    }
  });
  expect_contains(why, "shared_of_block of block (");
  expect_contains(why, "whose threads have all ended");
}

TEST(HostClusters, WritesBeforeTheOtherBlockBeginsAreLostInSomeSchedule) {
  int lost = 0;
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    set_schedule_seed(seed);
    run_grid({{2, 1, 1}, {1, 1, 1}, sizeof(int), 2}, [&] {
      if (cluster_rank() == 0) *shared_of_block(shared_memory<int>(), 1) = 7;
      cluster_barrier();
      lost += cluster_rank() == 1 && *shared_memory<int>() != 7 ? 1 : 0;
      cluster_barrier();
    });
  }
  EXPECT_GT(lost, 0);
  EXPECT_LT(lost, 19);
}

TEST(HostClusters, AnExchangeBringsEveryBlocksValueRoundAfterRound) {
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    set_schedule_seed(seed);
    int wrong = 0;
    run_grid({{8, 1, 1}, {32, 1, 1}, 64, 4}, [&] {
      float* slots = shared_memory<float>();
      ClusterExchange exchange(slots + 12);
      exchange.open();
      for (unsigned round = 0; round < 5; ++round) {
        float* mine = slots + static_cast<std::size_t>(round % 2 * 4);  // two rounds in a row use different slots
        if (threadIdx.x < cluster_blocks()) {
          exchange.send(mine + cluster_rank(), threadIdx.x, static_cast<float>(10 * round + cluster_rank()));
        }
        exchange.sent(cluster_blocks() * sizeof(float));
        exchange.receive();
        for (unsigned rank = 0; rank < 4; ++rank) wrong += mine[rank] == static_cast<float>(10 * round + rank) ? 0 : 1;
      }
    });
    EXPECT_EQ(wrong, 0) << "seed " << seed;
  }
}

/// How often a thread finds that a block has not written yet what it wrote before the grid's barrier.
__global__ void count_missing(unsigned* written, int* missing) {
  if (threadIdx.x == 0) written[blockIdx.x] = 1;
  grid_barrier();
  for (unsigned block = 0; block < gridDim.x; ++block) *missing += written[block] == 1 ? 0 : 1;
}

TEST(HostClusters, ACooperativeGridWaitsForAllItsBlocks) {
  LaunchShape shape;
  shape.grid = dim3{20, 1, 1};  // more than a cluster has
  shape.block = dim3{33, 1, 1};
  shape.cooperative = true;
  for (std::uint64_t seed = 1; seed < 5; ++seed) {
    set_schedule_seed(seed);
    std::vector<unsigned> written(20, 0);
    int missing = 0;
    const Status status = launch_kernel(count_missing, shape, nullptr, written.data(), &missing);
    EXPECT_TRUE(status.ok()) << status.message;
    EXPECT_EQ(missing, 0) << "seed " << seed;
  }
}

std::vector<unsigned> order_of_threads(std::uint64_t seed) {
  set_schedule_seed(seed);
  std::vector<unsigned> order;
  run_grid({{4, 1, 1}, {64, 1, 1}, 0, 2}, [&] { order.push_back(100 * blockIdx.x + threadIdx.x); });
  return order;
}

TEST(HostClusters, TheSeedDrawsFromTheThreadsOfAllBlocks) {
  EXPECT_EQ(order_of_threads(7), order_of_threads(7));
  EXPECT_NE(order_of_threads(7), order_of_threads(8));
  const std::vector<unsigned> order = order_of_threads(7);
  int changes = 0;
  for (std::size_t i = 1; i < order.size(); ++i) changes += order[i] / 100 != order[i - 1] / 100 ? 1 : 0;
  EXPECT_GT(changes, 50);  // not one block after the other
}

}  // namespace
}  // namespace normquant::host
