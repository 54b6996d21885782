// How the one pass of norm_quant_forward is launched: threads and rows of a block, and what it refuses. No kernel runs.
#include <gtest/gtest.h>

#include "norm_quant_forward/one_pass_launch.hpp"

namespace normquant::forward_one_pass_launch {
namespace {

constexpr Tuning tuning(int lanes, int elements, int cluster = 1, int access_bytes = 16) {
  return {.access_bytes = access_bytes, .elements = elements, .lanes = lanes, .cluster = cluster};
}

/// RMS norm with a weight, all of one type: never launched, so no tensor needs memory behind it.
NormQuantForward rms(std::int64_t rows, std::int64_t columns, DType type = DType::bfloat16) {
  alignas(16) static char memory[16];
  NormQuantForward a;
  a.rows = rows, a.columns = columns;
  a.norm = NormKind::rms;
  a.x = {memory, type, columns};
  a.weight = {memory, type};
  a.output.out = {memory, type, columns};
  return a;
}

NormQuantForward layer(std::int64_t rows, std::int64_t columns) {
  NormQuantForward a = rms(rows, columns);
  a.norm = NormKind::layer;
  a.bias = a.weight;
  return a;
}

DeviceInfo hopper() {
  DeviceInfo device;
  device.sm_count = 132;
  device.max_cluster_blocks = 16;
  return device;
}

std::string refusal(const Tuning& t, const NormQuantForward& a, const DeviceInfo& device = hopper()) {
  Variant<NormQuantForward> variant;
  variant.tuning = t;
  return why_not(variant, a, device);
}

TEST(ForwardLaunch, ARowHasAsManyWholeTilesAsCoverIt) {
  EXPECT_EQ(row_threads(tuning(32, 8), rms(1, 256)), 32);
  EXPECT_EQ(row_threads(tuning(32, 8), rms(1, 257)), 64);
  EXPECT_EQ(row_threads(tuning(8, 32), rms(1, 256)), 8);
  EXPECT_EQ(row_threads(tuning(32, 32, 4), rms(1, 16384)), 128);  // of 16 tiles each block has 4
  EXPECT_EQ(row_threads(tuning(32, 32, 4), rms(1, 16385)), 160);
}

TEST(ForwardLaunch, ShortRowsFillFourWarpsOnceEveryMultiprocessorHasABlock) {
  EXPECT_EQ(block_rows(tuning(32, 8), rms(100000, 256), hopper()), 4);
  EXPECT_EQ(block_rows(tuning(32, 8), rms(264, 256), hopper()), 2);
  EXPECT_EQ(block_rows(tuning(32, 8), rms(1, 256), hopper()), 1);
  EXPECT_EQ(block_rows(tuning(32, 8), rms(100000, 1024), hopper()), 1);
}

TEST(ForwardLaunch, RowsOfPartOfAWarpNeverLeaveAWarpHalfEmpty) {
  EXPECT_EQ(block_rows(tuning(8, 8), rms(1, 64), hopper()), 4);
  EXPECT_EQ(block_rows(tuning(16, 32), rms(1, 512), hopper()), 2);
  EXPECT_EQ(block_rows(tuning(8, 8), rms(100000, 64), hopper()), 16);
}

TEST(ForwardLaunch, RowsThatMayWaitOnceMoreHaveABlockEach) {
  EXPECT_EQ(block_rows(tuning(32, 8), layer(100000, 512), hopper()), 1);    // sums h and h^2 together, over two warps
  EXPECT_EQ(block_rows(tuning(32, 8), layer(100000, 256), hopper()), 4);    // one warp holds the row
  EXPECT_EQ(block_rows(tuning(32, 32), layer(100000, 1024), hopper()), 4);  // 32 elements: mean first
  EXPECT_EQ(block_rows(tuning(32, 32, 2), rms(100000, 2048), hopper()), 1);
}

TEST(ForwardLaunch, EveryBlockFitsTheRegistersOfAMultiprocessor) {
  constexpr int registers = 65536, fewest = 32;
  for (Form form : {Form::any, Form::rms, Form::rms_codes, Form::rms_residual, Form::layer, Form::rms_other_codes,
                    Form::any_other}) {
    for (int elements : {8, 16, 24, 32, 64}) {
      for (int lanes : {8, 16, 32}) {
        for (bool striped : {false, true}) {
          const BlockLimits limits = block_limits(elements, 2, striped, form, lanes, false);
          EXPECT_LE(limits.threads, 1024);
          EXPECT_EQ(limits.threads % warp_threads, 0);
          EXPECT_LE(limits.threads * limits.blocks * fewest, registers);
        }
      }
    }
  }
}

TEST(ForwardLaunch, ARowOfOneColumnMoreThanTheRegistersHoldIsRefused) {
  EXPECT_EQ(refusal(tuning(32, 8), rms(1, 8192)), "");
  EXPECT_EQ(refusal(tuning(32, 8), rms(1, 8200)), "the row of 8200 columns does not fit its registers");
  EXPECT_EQ(refusal(tuning(8, 8), rms(1, 64)), "");
  EXPECT_EQ(refusal(tuning(8, 8), rms(1, 72)), "the row of 72 columns does not fit its registers");
}

TEST(ForwardLaunch, ABlockOfTheClusterWithoutColumnsIsRefused) {
  EXPECT_EQ(refusal(tuning(32, 32, 2), rms(1, 1032)), "");
  EXPECT_EQ(refusal(tuning(32, 32, 2), rms(1, 1024)),
            "the row of 1024 columns leaves blocks of the cluster without work");
}

TEST(ForwardLaunch, ClustersAreRefusedWhereTheDeviceHasNone) {
  DeviceInfo ampere = hopper();
  ampere.max_cluster_blocks = 1;
  EXPECT_EQ(refusal(tuning(32, 32, 2), rms(1, 2048), ampere), "needs clusters of 2 blocks, and the device has 1");
}

TEST(ForwardLaunch, SixtyFourElementsAreForKnownFormsOfSixteenBits) {
  EXPECT_EQ(refusal(tuning(32, 64), rms(1, 2048)), "");
  EXPECT_NE(refusal(tuning(32, 64), rms(1, 2048, DType::float32)), "");
  NormQuantForward any = rms(1, 2048);
  any.weight = {};
  EXPECT_NE(refusal(tuning(32, 64), any), "");
}

TEST(ForwardLaunch, OtherFormatsAreForCodesOfRmsNormAndForAFewShapes) {
  NormQuantForward codes = rms(1, 2048);
  codes.output.codes = reinterpret_cast<std::int8_t*>(std::uintptr_t{1 << 20}), codes.output.ld_codes = 2048;
  codes.output.out = {};
  codes.quantisation.format = QuantFormat::fp8_e4m3;
  EXPECT_EQ(form_of(codes), Form::rms_other_codes);
  EXPECT_EQ(refusal(tuning(32, 64), codes), "");
  EXPECT_EQ(refusal(tuning(32, 8), codes), "");
  EXPECT_NE(refusal(tuning(32, 16, 1, 1), codes), "");
  EXPECT_EQ(refusal(tuning(32, 8, 1, 1), codes), "");
  codes.weight = {};
  EXPECT_EQ(form_of(codes), Form::any_other);
  EXPECT_EQ(refusal(tuning(32, 32), codes), "");
  EXPECT_NE(refusal(tuning(32, 64), codes), "");
  EXPECT_NE(refusal(tuning(8, 32), codes), "");
  EXPECT_NE(refusal(tuning(32, 32, 2), codes), "");
}

TEST(ForwardLaunch, AnyLengthIsServedByElementsAndOnlyWholePacketsByPackets) {
  EXPECT_EQ(refusal(tuning(32, 8, 1, 1), rms(1, 1001)), "");
  EXPECT_NE(refusal(tuning(32, 8), rms(1, 1001)), "");
}

}  // namespace
}  // namespace normquant::forward_one_pass_launch
