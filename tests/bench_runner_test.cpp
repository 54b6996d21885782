// The runner on the host device: only what is right gets times, and every way to fail is a record.
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>
#include <vector>
#include <normquant/device.hpp>

#include "bench/runner.hpp"
#include "bench/watchdog.hpp"

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
    return *make_case(Operation::norm_quant_forward, {rows, columns}, DType::float32, "rms");
  }
  std::unique_ptr<Device> device_ = open_host_device();
  std::unique_ptr<Timer> timer_ = open_host_timer(*device_);
};

TEST_F(RunnerTest, ARightCaseGetsTimes) {
  const TimingRecord record = run(forward(3, 64), "auto");
  EXPECT_EQ(record.outcome, validate::Outcome::pass) << record.reason;
  EXPECT_EQ(record.samples.size(), 2U);
  EXPECT_GT(record.summary.median, 0);
  EXPECT_EQ(record.time_kind, "cpu_execution");
  EXPECT_FALSE(record.auto_variant.empty());
  EXPECT_GT(record.bytes, 2 * 3 * 64 * 4);
  EXPECT_FALSE(record.share_of_copy());
}

TEST_F(RunnerTest, EveryCopyOfTheRotationIsRight) {
  const TimingRecord record = run(forward(3, 64), "auto", much_memory);
  EXPECT_EQ(record.outcome, validate::Outcome::pass) << record.reason;
  EXPECT_GE(record.rotated_bytes, 2 * record.bytes);
}

/// The host device, and what was copied to it.
class RecordingDevice final : public Device {
 public:
  const DeviceInfo& info() const override { return host_->info(); }
  void* allocate(std::size_t bytes, std::string& why) override { return host_->allocate(bytes, why); }
  void release(void* memory) override { host_->release(memory); }
  Status copy_to_device(void* to, const void* from, std::size_t bytes) override {
    copied.emplace_back(static_cast<const char*>(from), bytes);
    return host_->copy_to_device(to, from, bytes);
  }
  Status copy_to_host(void* to, const void* from, std::size_t bytes) override {
    return host_->copy_to_host(to, from, bytes);
  }
  Status fill_bytes(void* memory, unsigned char value, std::size_t bytes) override {
    return host_->fill_bytes(memory, value, bytes);
  }
  Status synchronize() override { return host_->synchronize(); }
  Status make_current() override { return host_->make_current(); }

  std::vector<std::string> copied;

 private:
  std::unique_ptr<Device> host_ = open_host_device();
};

/// A kernel that kept the results of the launch before would be found.
TEST(Rotation, NeighbouringCopiesHaveOtherValues) {
  for (const bool checked : {true, false}) {
    RecordingDevice device;
    const auto timer = open_host_timer(device);
    RunnerParts parts{device, *timer, {.minimum = 2, .maximum = 2, .batch = 1}};
    parts.free_bytes = much_memory;
    parts.checked = checked;
    const Case timed = *make_case(Operation::norm_quant_forward, {3, 64}, DType::float32, "rms");
    const TimingRecord record = Runner(parts).run(timed, "auto", 0);
    ASSERT_EQ(record.outcome, validate::Outcome::pass) << record.reason;
    ASSERT_EQ(record.rotated_bytes, 2 * record.bytes);
    const std::set<std::string> different(device.copied.begin(), device.copied.end());
    EXPECT_EQ(different.size(), checked ? device.copied.size() : device.copied.size() / 2)
        << "what nobody checks needs no values of its own";
  }
}

TEST(ProblemOfSlot, RepeatsAfterSetsOfValues) {
  const validate::Problem problem = make_case(Operation::norm_quant_backward, {3, 64}, DType::bfloat16, "rms")->problem;
  EXPECT_EQ(problem_of_slot(problem, 0), problem);
  for (int slot = 1; slot < 2 * sets_of_values; ++slot) {
    EXPECT_NE(problem_of_slot(problem, slot), problem_of_slot(problem, slot - 1));
    EXPECT_EQ(problem_of_slot(problem, slot), problem_of_slot(problem, slot + sets_of_values));
  }
}

TEST_F(RunnerTest, WithoutMemoryForCopiesOneBufferIsTimed) {
  const TimingRecord record = run(forward(3, 64), "auto", nothing_left);
  EXPECT_EQ(record.outcome, validate::Outcome::pass) << record.reason;
  EXPECT_EQ(record.rotated_bytes, record.bytes);
}

TEST_F(RunnerTest, WhatDoesNotFitIsAnErrorNotAnException) {
  const TimingRecord record = run(forward(1 << 20, 1 << 20), "auto");
  EXPECT_EQ(record.outcome, validate::Outcome::error);
  EXPECT_FALSE(record.reason.empty());
  EXPECT_TRUE(record.samples.empty());
}

TEST_F(RunnerTest, EveryVariantEitherPassesOrSaysWhyNot) {
  const Case timed = forward(2, 100);
  for (const auto& entry : validate::catalogue(timed.problem.op, DeviceKind::host)) {
    const TimingRecord record = run(timed, std::string(entry.name));
    EXPECT_TRUE(record.outcome == validate::Outcome::pass || record.outcome == validate::Outcome::skipped)
        << entry.name << record.reason;
    EXPECT_EQ(record.outcome == validate::Outcome::skipped, !record.reason.empty()) << entry.name;
  }
}

TEST_F(RunnerTest, UnalignedRowsAreComparedWithRowsThatStartAlike) {
  // Rows of 253 float32 columns start at four alignments, on which the last bits of their sums may depend; 244 of the
  // 300 rows differ.
  const Case timed = forward(300, 253);
  for (const auto& entry : validate::catalogue(timed.problem.op, DeviceKind::host)) {
    const TimingRecord record = run(timed, std::string(entry.name));
    EXPECT_TRUE(record.outcome == validate::Outcome::pass || record.outcome == validate::Outcome::skipped)
        << entry.name << record.reason;
  }
}

TEST(CaseInFlight, IsNotedBesideFilesOnly) {
  const std::string file = testing::TempDir() + "in_flight.jsonl";
  const PlannedCase planned{*make_case(Operation::norm_quant_forward, {2, 64}, DType::float32, "rms"), "auto", 3};
  for (const std::string& path : {std::string("-"), std::string("/dev/stdout"), std::string("/dev/null"), file}) {
    const CaseInFlight in_flight(path);
    in_flight.begin(planned);
    EXPECT_EQ(std::filesystem::exists(path + ".running"), path == file) << path;
  }
  EXPECT_FALSE(std::filesystem::exists(file + ".running"));
}

}  // namespace
}  // namespace normquant::bench
