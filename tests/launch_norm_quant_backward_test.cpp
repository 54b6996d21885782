// How norm_quant_backward is launched: rows side by side, rows under way, scratch memory, and what is refused. No kernel runs.
#include <gtest/gtest.h>

#include "norm_quant_backward/one_pass_launch.hpp"
#include "norm_quant_backward/single_launch.hpp"
#include "norm_quant_backward/staged_launch.hpp"
#include "norm_quant_backward/striped_launch.hpp"
#include "norm_quant_backward/two_pass_launch.hpp"

namespace normquant {
namespace {

namespace staged = backward_staged_launch;
namespace striped = backward_striped_launch;
namespace single = backward_single_launch;

constexpr Tuning tuning(int lanes, int elements, int cluster = 1, int access_bytes = 16) {
  return {.access_bytes = access_bytes, .elements = elements, .lanes = lanes, .cluster = cluster};
}

/// RMS norm with a weight and the recomputed out, all bfloat16: never launched, so no tensor needs memory behind it.
NormQuantBackward rms(std::int64_t rows, std::int64_t columns) {
  alignas(16) static char memory[16];
  static float rstd[1];
  NormQuantBackward a;
  a.rows = rows, a.columns = columns;
  a.norm = NormKind::rms;
  a.rstd = rstd;
  a.h = a.dy = {memory, DType::bfloat16, columns};
  a.dx = a.recomputed.out = {memory, DType::bfloat16, columns};
  a.weight = {memory, DType::bfloat16};
  a.dweight = {memory, DType::bfloat16};
  return a;
}

DeviceInfo hopper() {
  DeviceInfo device;
  device.sm_count = 132;
  device.max_cluster_blocks = 16;
  device.shared_memory_per_block = std::size_t{227} * 1024;
  device.resident_clusters = {66, 33, 16, 8};
  return device;
}

TEST(BackwardLaunch, PartialSumsHaveWholeAccessesAndOnlyWhatIsAskedFor) {
  NormQuantBackward a = rms(10, 4097);
  EXPECT_EQ(partial_row_length(a), 4100);
  EXPECT_EQ(column_partials_bytes(a, 3), sizeof(float) * 3 * 4100);
  a.dweight = {};
  EXPECT_EQ(column_partials_bytes(a, 3), 0U);
}

TEST(BackwardLaunch, RowsSideBySideShrinkUntilSharedMemoryHoldsThem) {
  const auto fits = [](int rows, int stages) { return rows * stages <= 12; };
  EXPECT_EQ(walk_of(15, 4, 3, fits).rows, 4);  // 12 and 8 rows of 2 stages do not fit
  EXPECT_EQ(walk_of(15, 4, 3, fits).stages, 3);
  EXPECT_EQ(walk_of(6, 1, 3, fits).rows, 6);
  EXPECT_EQ(walk_of(6, 1, 3, fits).stages, 2);  // 6 rows of 3 stages do not fit
  EXPECT_EQ(walk_of(0, 4, 2, fits).rows, 4);    // never fewer than fill a warp
}

TEST(BackwardLaunch, EveryMultiprocessorHasABlockBeforeRowsLieSideBySide) {
  EXPECT_EQ(staged::walk_of(tuning(32, 8), rms(132, 256), hopper()).rows, 1);
  EXPECT_EQ(staged::walk_of(tuning(32, 8), rms(264, 256), hopper()).rows, 2);
  EXPECT_EQ(staged::walk_of(tuning(32, 8), rms(264, 256), hopper()).sets, 132);
  EXPECT_EQ(staged::walk_of(tuning(32, 8), rms(0, 256), hopper()).sets, 0);
  EXPECT_EQ(striped::walk_of(tuning(32, 16, 1, 1), rms(5, 257), hopper()).sets, 5);
}

TEST(BackwardLaunch, AClusterWalksOneRowAtATimeOnAsManyClustersAsAreResident) {
  const Walk walk = staged::walk_of(tuning(32, 32, 4), rms(100000, 16384), hopper());
  EXPECT_EQ(walk.rows, 1);
  EXPECT_EQ(walk.stages, 3);
  EXPECT_EQ(walk.sets, 33);
}

TEST(BackwardLaunch, RowsOfABlockAreAlikeInAlignment) {
  const Tuning any = tuning(32, 16, 1, 1);
  EXPECT_EQ(staged::rows_alike(any, rms(1, 4096)), 1);
  EXPECT_EQ(staged::rows_alike(any, rms(1, 4097)), 8);
  EXPECT_EQ(staged::rows_alike(any, rms(1, 4100)), 2);
  EXPECT_EQ(staged::walk_of(any, rms(100000, 4097), hopper()).sets % 8, 0);
}

TEST(BackwardLaunch, ShiftedPacketsMayBeginBeforeTheRow) {
  EXPECT_EQ(staged::row_threads(tuning(32, 16), rms(1, 512)), 32);
  EXPECT_EQ(staged::row_threads(tuning(32, 16, 1, 1), rms(1, 505)), 32);
  EXPECT_EQ(staged::row_threads(tuning(32, 16, 1, 1), rms(1, 506)), 64);
}

TEST(BackwardLaunch, WhatSharedMemoryDoesNotHoldIsRefused) {
  DeviceInfo small = hopper();
  small.shared_memory_per_block = 1024;
  Variant<NormQuantBackward> variant;
  variant.tuning = tuning(32, 8);
  EXPECT_EQ(staged::why_not(variant, rms(1, 256), hopper()), "");
  EXPECT_EQ(staged::why_not(variant, rms(1, 256), small), "the rows under way do not fit the shared memory of a block");
}

TEST(BackwardLaunch, ABlockForEveryRowIsForFewRowsOfKnownForms) {
  Variant<NormQuantBackward> variant;
  variant.tuning = tuning(32, 8);
  EXPECT_EQ(single::why_not(variant, rms(256, 256), hopper()), "");
  EXPECT_EQ(single::why_not(variant, rms(257, 256), hopper()), "is for 256 rows at most");
  NormQuantBackward any = rms(1, 256);
  any.weight = {};
  EXPECT_NE(single::why_not(variant, any, hopper()), "");
}

TEST(BackwardLaunch, TheSmallestCompiledPacketCountCoversTheRow) {
  Variant<NormQuantBackward> variant;
  variant.tuning = {.threads_per_row = 128};
  EXPECT_EQ(backward_one_pass_launch::packets(variant, rms(1, 1024)), 1);
  EXPECT_EQ(backward_one_pass_launch::packets(variant, rms(1, 1032)), 2);
  EXPECT_EQ(backward_one_pass_launch::packets(variant, rms(1, 4096)), 4);
  EXPECT_EQ(backward_one_pass_launch::packets(variant, rms(1, 4104)), 0);
}

TEST(BackwardLaunch, ChunksAreEnoughForFourBlocksAMultiprocessorAndNeverOfFewRows) {
  Variant<NormQuantBackward> variant;
  variant.tuning = {.threads_per_row = 1024};
  EXPECT_EQ(backward_two_pass_launch::chunks(variant, rms(100000, 1024), hopper()), 528);
  EXPECT_EQ(backward_two_pass_launch::chunks(variant, rms(32, 1024), hopper()), 2);
}

}  // namespace
}  // namespace normquant
