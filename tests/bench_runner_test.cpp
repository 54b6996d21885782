// The runner on the host device: only what is right gets times, and every way to fail is a record.
#include <gtest/gtest.h>

#include <normquant/device.hpp>

#include "bench/runner.hpp"
#include "validate/inputs.hpp"

namespace normquant::bench {
namespace {

std::size_t much_memory() { return std::size_t{1} << 34; }
std::size_t nothing_left() { return 0; }

class RunnerTest : public testing::Test {
 protected:
  TimingRecord run(const Case& timed, const std::string& variant, std::size_t (*free_bytes)() = nullptr) {
    RunnerParts parts{*device_, *timer_, {.minimum = 2, .maximum = 2, .batch = 1}};
    parts.free_bytes = free_bytes;
    Runner runner(parts);
    return runner.run(timed, variant, 0);
  }
  static Case forward(std::int64_t rows, std::int64_t columns) {
    return *make_case(validate::Operation::norm_quant_forward, {rows, columns}, DType::float32, "rms");
  }
  std::unique_ptr<Device> device_ = open_host_device();
  std::unique_ptr<Timer> timer_ = open_host_timer(*device_);
};

TEST_F(RunnerTest, ARightCaseGetsTimes) {
  const TimingRecord record = run(forward(3, 64), "auto");
  EXPECT_EQ(record.result, Result::pass) << record.reason;
  EXPECT_EQ(record.samples.size(), 2U);
  EXPECT_GT(record.summary.median, 0);
  EXPECT_EQ(record.time_kind, "cpu_execution");
  EXPECT_FALSE(record.auto_variant.empty());
  EXPECT_GT(record.bytes, 2 * 3 * 64 * 4);
  EXPECT_FALSE(record.share_of_copy());
}

TEST_F(RunnerTest, EveryCopyOfTheRotationIsRight) {
  const TimingRecord record = run(forward(3, 64), "auto", much_memory);
  EXPECT_EQ(record.result, Result::pass) << record.reason;
  EXPECT_GE(record.rotated_bytes, 2 * record.bytes);
}

/// A kernel that kept the results of the launch before would be found.
TEST(ProblemOfSlot, NeighboursHaveOtherValues) {
  const validate::Problem problem =
      make_case(validate::Operation::norm_quant_backward, {3, 64}, DType::bfloat16, "rms")->problem;
  EXPECT_EQ(problem_of_slot(problem, 0), problem);
  for (int slot = 1; slot < 2 * sets_of_values; ++slot) {
    const validate::Problem own = problem_of_slot(problem, slot);
    EXPECT_NE(own, problem_of_slot(problem, slot - 1));
    EXPECT_EQ(own, problem_of_slot(problem, slot + sets_of_values));
    EXPECT_NE(validate::input_tensor(own, validate::Tensor::x, own.x, 3, 64).bytes,
              validate::input_tensor(problem_of_slot(problem, slot - 1), validate::Tensor::x, own.x, 3, 64).bytes);
  }
}

TEST_F(RunnerTest, WithoutMemoryForCopiesOneBufferIsTimed) {
  const TimingRecord record = run(forward(3, 64), "auto", nothing_left);
  EXPECT_EQ(record.result, Result::pass) << record.reason;
  EXPECT_EQ(record.rotated_bytes, record.bytes);
}

TEST_F(RunnerTest, WhatDoesNotFitIsAnErrorNotAnException) {
  const TimingRecord record = run(forward(1 << 20, 1 << 20), "auto");
  EXPECT_EQ(record.result, Result::error);
  EXPECT_FALSE(record.reason.empty());
  EXPECT_TRUE(record.samples.empty());
}

TEST_F(RunnerTest, EveryVariantEitherPassesOrSaysWhyNot) {
  const Case timed = forward(2, 100);
  for (const auto& entry : validate::catalogue(timed.problem.op, DeviceKind::host)) {
    const TimingRecord record = run(timed, std::string(entry.name));
    EXPECT_TRUE(record.result == Result::pass || record.result == Result::skipped) << entry.name << record.reason;
    EXPECT_EQ(record.result == Result::skipped, !record.reason.empty()) << entry.name;
  }
}

TEST_F(RunnerTest, UnalignedRowsAreComparedWithRowsThatStartAlike) {
  // Rows of 253 float32 columns start at four alignments, on which the last bits of their sums may depend; 244 of the
  // 300 rows differ.
  const Case timed = forward(300, 253);
  for (const auto& entry : validate::catalogue(timed.problem.op, DeviceKind::host)) {
    const TimingRecord record = run(timed, std::string(entry.name));
    EXPECT_TRUE(record.result == Result::pass || record.result == Result::skipped) << entry.name << record.reason;
  }
}

}  // namespace
}  // namespace normquant::bench
