// Asynchronous copies on the host device: what is read before it is waited for is not there.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "device/async_copy.cuh"

namespace normquant::host {
namespace {

/// Every thread copies two packets in two groups and notes the first float of each: at once, after the first group and
/// after both.
__global__ void copy_and_look(const float* from, float* seen) {
  float* mine = shared_memory<float>() + static_cast<std::size_t>(threadIdx.x) * 8;
  from += static_cast<std::size_t>(threadIdx.x) * 8;
  seen += static_cast<std::size_t>(threadIdx.x) * 6;
  const auto look = [&](int at) {
    seen[at] = mine[0];
    seen[at + 1] = mine[4];
  };
  AsyncCopies copies;
  copies.start(mine, from);
  copies.end_group();
  copies.start(mine + 4, from + 4);
  copies.end_group();
  look(0);
  copies.wait<1>();
  look(2);
  copies.wait<0>();
  look(4);
}

TEST(AsyncCopies, ArriveWhenTheirGroupIsWaitedForAndNotBefore) {
  constexpr unsigned threads = 5;
  alignas(16) float from[threads * 8];
  for (unsigned i = 0; i < threads * 8; ++i) from[i] = static_cast<float>(i + 1);
  std::vector<float> seen(std::size_t{threads} * 6, 0.0F);
  const Status status = launch_kernel(copy_and_look, dim3{1, 1, 1}, dim3{threads, 1, 1}, sizeof(from), nullptr,
                                      static_cast<const float*>(from), seen.data());
  ASSERT_TRUE(status.ok()) << status.message;
  for (unsigned thread = 0; thread < threads; ++thread) {
    const float* of = seen.data() + std::size_t{thread} * 6;
    const auto first = static_cast<float>(thread * 8 + 1);
    EXPECT_TRUE(std::isnan(of[0]) && std::isnan(of[1])) << "read before anything was waited for";
    EXPECT_EQ(of[2], first);
    EXPECT_TRUE(std::isnan(of[3])) << "the second group was not waited for yet";
    EXPECT_EQ(of[4], first);
    EXPECT_EQ(of[5], first + 4);
  }
}

}  // namespace
}  // namespace normquant::host
