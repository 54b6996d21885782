// The host device refuses what a GPU refuses: extents of launches, misaligned accesses, copies, exchanges that never end.
#include <gtest/gtest.h>

#include <cstddef>
#include <string>

#include <normquant/norm_quant_forward.hpp>
#include <normquant/weight_quant.hpp>

#include "device/async_copy.cuh"
#include "device/cluster.cuh"
#include "device/element.cuh"
#include "device/grid.cuh"
#include "host/host_exec/limits.hpp"

namespace normquant::host {
namespace {

__global__ void counts_runs(int* runs) { ++*runs; }

/// The sentence with which a launch of that extent is refused; of a refused one nothing may have run.
std::string refused(const LaunchShape& shape) {
  int runs = 0;
  const Status status = launch_kernel(counts_runs, shape, nullptr, &runs);
  EXPECT_EQ(runs == 0, !status.ok()) << status.message;
  if (status.ok()) return {};
  EXPECT_EQ(status.code, StatusCode::infrastructure);
  EXPECT_NE(status.message.find("tests/host_limits_test.cpp"), std::string::npos)
      << "names no kernel: " << status.message;
  return status.message;
}
void expect_refused(const LaunchShape& shape, const std::string& part) {
  const std::string sentence = refused(shape);
  EXPECT_NE(sentence.find(part), std::string::npos) << "no \"" << part << "\" in \"" << sentence << "\"";
}
constexpr dim3 one{1, 1, 1};

TEST(HostLimits, ABlockHas1024ThreadsAtMost) {
  EXPECT_EQ(refused({one, dim3{1024, 1, 1}}), "");
  EXPECT_EQ(refused({one, dim3{16, 64, 1}}), "");
  EXPECT_EQ(refused({one, dim3{1, 1, 64}}), "");
  expect_refused({one, dim3{1025, 1, 1}}, "the block of 1025x1x1 threads is too large; there are 1024 threads at most");
  expect_refused({one, dim3{33, 32, 1}}, "33x32x1");
  expect_refused({one, dim3{1, 1, 65}}, "along z 65; there are 64");
  expect_refused({one, dim3{65536, 65536, 1}}, "too large");  // the product is 0 in 32 bits
}

TEST(HostLimits, AGridEndsAtItsAxes) {
  EXPECT_EQ(refused({dim3{1, 65535, 1}, one}), "");
  expect_refused({dim3{1, 65536, 1}, one}, "along y 65536; there are 65535 at most");
  expect_refused({dim3{1, 1, 65536}, one}, "along z 65536; there are 65535 at most");
  expect_refused({dim3{0x80000000U, 1, 1}, one}, "along x 2147483648; there are 2147483647 at most");
}

TEST(HostLimits, AnEmptyLaunchIsNone) {
  expect_refused({dim3{0, 1, 1}, one}, "the grid of 0x1x1 blocks is empty");
  expect_refused({dim3{1, 0, 1}, one}, "is empty");
  expect_refused({one, dim3{0, 1, 1}}, "the block of 0x1x1 threads is empty");
}

TEST(HostLimits, ABlockHas227KbOfSharedMemoryAtMost) {
  const std::size_t most = open_host_device()->info().shared_memory_per_block;
  EXPECT_EQ(most, std::size_t{227} * 1024);
  EXPECT_EQ(refused({one, one, most}), "");
  expect_refused({one, one, most + 1}, "232449 bytes of shared memory; there are 232448 at most");
}

TEST(HostLimits, AClusterHas16BlocksAtMost) {
  EXPECT_EQ(refused({dim3{16, 1, 1}, one, 0, 16}), "");
  expect_refused({dim3{17, 1, 1}, one, 0, 17}, "a cluster has 1 to 16 blocks, not 17");
  expect_refused({dim3{4, 1, 1}, one, 0, 0}, "a cluster has 1 to 16 blocks, not 0");
  expect_refused({dim3{6, 1, 1}, one, 0, 4}, "no multiple of the cluster's 4");
}

TEST(HostLimits, ACooperativeGridFitsTheMultiprocessors) {
  const auto device = open_host_device(1, 3);
  const auto together = [](unsigned blocks, unsigned threads, std::size_t shared_bytes) {
    return LaunchShape{dim3{blocks, 1, 1}, dim3{threads, 1, 1}, shared_bytes, 1, true};
  };
  EXPECT_EQ(refused(together(3, 1024, host_exec::most_shared_bytes)), "");
  expect_refused(together(4, 1024, host_exec::most_shared_bytes), "3 multiprocessors hold 3 of them");
  EXPECT_EQ(refused(together(6, 1024, 0)), "");
  expect_refused(together(7, 1024, 0), "has 7 blocks, and 3 multiprocessors hold 6");
  (void)open_host_device();
}

__global__ void stores_a_packet(float* to) {
  Packet<float, 4> packet;
  packet.store(to);
}
__global__ void loads_a_packet(const bfloat16_t* from, int* reached) {
  Packet<bfloat16_t, 4> packet;
  packet.load(from);
  ++*reached;
}
__global__ void stores_in_shared(int offset) {
  Packet<std::int8_t, 16> packet;
  packet.store(shared_memory<std::int8_t>() + offset);
}

TEST(HostLimits, AMisalignedPacketStopsTheLaunch) {
  alignas(16) float floats[12] = {};
  EXPECT_TRUE(launch_kernel(stores_a_packet, one, one, 0, nullptr, floats + 4).ok());
  const Status stored = launch_kernel(stores_a_packet, one, one, 0, nullptr, floats + 1);
  EXPECT_EQ(stored.code, StatusCode::infrastructure);
  for (const char* part :
       {"tests/host_limits_test.cpp", "misaligned address", "an access of 16 bytes lies 4 bytes past"}) {
    EXPECT_NE(stored.message.find(part), std::string::npos) << stored.message;
  }
  EXPECT_EQ(floats[1], 0.0F);

  alignas(8) bfloat16_t halves[8] = {};
  int reached = 0;
  const auto load = [&](int first) {
    return launch_kernel(loads_a_packet, one, one, 0, nullptr, static_cast<const bfloat16_t*>(halves) + first,
                         &reached);
  };
  EXPECT_TRUE(load(4).ok());
  EXPECT_FALSE(load(2).ok());
  EXPECT_EQ(reached, 1);
  EXPECT_TRUE(launch_kernel(stores_in_shared, one, one, 48, nullptr, 16).ok());
  EXPECT_FALSE(launch_kernel(stores_in_shared, one, one, 48, nullptr, 8).ok());
}

__global__ void copies(const unsigned char* from, int to) {
  AsyncCopies all;
  all.start(shared_memory<unsigned char>() + to, from);
  all.end_group();
  all.wait<0>();
}

TEST(HostLimits, AnAsynchronousCopyGoesFromAlignedToAlignedSharedMemory) {
  alignas(16) unsigned char bytes[48] = {};
  const auto sentence = [&](int from, int to) {
    const unsigned char* source = bytes + from;
    return launch_kernel(copies, one, one, 32, nullptr, source, to).message;
  };
  EXPECT_EQ(sentence(16, 16), "");
  EXPECT_NE(sentence(8, 0).find("misaligned address"), std::string::npos);
  EXPECT_NE(sentence(0, 8).find("misaligned address"), std::string::npos);
  EXPECT_NE(sentence(0, 32).find("not in the block's shared memory"), std::string::npos) << sentence(0, 32);
}

/// One value from every block to every block; `bytes` are said to come.
__global__ void exchanges(unsigned bytes) {
  float* values = shared_memory<float>();
  ClusterExchange exchange(values + 4);
  exchange.open();
  if (threadIdx.x < cluster_blocks()) exchange.send(values + cluster_rank(), threadIdx.x, 1.0F);
  exchange.sent(bytes);
  exchange.receive();
}

TEST(HostLimits, AnExchangeReceivesWhatItIsToldThatItReceives) {
  const LaunchShape shape = {dim3{4, 1, 1}, dim3{32, 1, 1}, 32, 4};
  EXPECT_EQ(launch_kernel(exchanges, shape, nullptr, 16U).message, "");
  for (const unsigned bytes : {12U, 20U, 0U}) {
    const std::string why = launch_kernel(exchanges, shape, nullptr, bytes).message;
    EXPECT_NE(why.find("receives " + std::to_string(bytes) + " bytes, and 16 are sent"), std::string::npos) << why;
  }
}

TEST(HostLimits, AfterARefusalTheNextLaunchRuns) {
  alignas(16) float floats[8] = {};
  EXPECT_FALSE(launch_kernel(stores_a_packet, dim3{8, 1, 1}, dim3{64, 1, 1}, 0, nullptr, floats + 1).ok());
  int runs = 0;
  EXPECT_TRUE(launch_kernel(counts_runs, one, dim3{64, 1, 1}, 0, nullptr, &runs).ok());
  EXPECT_EQ(runs, 64);
}

TEST(HostLimits, KernelsAreNamedByTheirFile) {
  EXPECT_EQ(host_exec::name_of_file("/some/folder/norm_quant_forward/split.cu"), "norm_quant_forward/split.cu");
  EXPECT_EQ(host_exec::name_of_file("norm_quant_forward/split.cu"), "norm_quant_forward/split.cu");
  EXPECT_EQ(host_exec::name_of_file("split.cu"), "split.cu");
  EXPECT_EQ(host_exec::name_of_file(""), "");
}

}  // namespace
}  // namespace normquant::host
