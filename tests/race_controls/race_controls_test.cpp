// Every control is found to be what it is, under several schedules.
#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "controls.hpp"

namespace normquant {

void PrintTo(const Control& control, std::ostream* out) { *out << control.name; }

namespace {

std::vector<Control> all_controls() {
  std::vector<Control> all;
  for (const auto& some : {host::controls_in_shared_memory(), host::controls_in_global_memory(),
                           host::controls_of_clusters(), host::controls_of_accesses()}) {
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

/// What running a control once gave.
struct Outcome {
  std::vector<std::string> findings;
  Status status;
  std::string all() const {
    std::string text = status.ok() ? "" : status.message + "\n";
    for (const std::string& finding : findings) text += finding + "\n";
    return text;
  }
};

Outcome run(const Control& control, std::uint64_t schedule_seed) {
  const auto device = open_host_device(schedule_seed);
  std::string why;
  std::vector<void*> all;
  const auto allocate = [&](std::size_t bytes) { return all.emplace_back(device->allocate(bytes, why)); };
  ControlMemory memory;
  const std::vector<float> values(ControlMemory::count, 1.5F);
  constexpr std::size_t bytes = sizeof(float) * ControlMemory::count,
                        count_bytes = sizeof(unsigned) * ControlMemory::counts;
  void* const in = allocate(bytes);
  memory.in = static_cast<const float*>(in);
  memory.out = static_cast<float*>(allocate(bytes));
  memory.counters = static_cast<unsigned*>(allocate(count_bytes));
  EXPECT_TRUE(device->copy_to_device(in, values.data(), bytes).ok());
  EXPECT_TRUE(device->poison_bytes(memory.out, 0xFF, bytes).ok());
  EXPECT_TRUE(device->fill_bytes(memory.counters, 0, count_bytes).ok());
  (void)device->take_findings();
  Outcome outcome;
  outcome.status = control.run(memory, nullptr);
  outcome.findings = device->take_findings();
  for (void* one : all) device->release(one);
  return outcome;
}

class RaceControl : public testing::TestWithParam<Control> {};

TEST_P(RaceControl, IsFoundToBeWhatItIsUnderEverySchedule) {
  const Control& control = GetParam();
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE("schedule seed " + std::to_string(seed));
    const Outcome outcome = run(control, seed);
    if (control.mistake.empty()) {
      EXPECT_TRUE(outcome.status.ok() && outcome.findings.empty()) << outcome.all();
    } else if (control.mistake == "deadlock") {
      EXPECT_NE(outcome.status.message.find("cannot go on"), std::string::npos) << outcome.all();
    } else {
      ASSERT_FALSE(outcome.findings.empty()) << outcome.all();
      EXPECT_EQ(outcome.findings.front().rfind(std::string(control.mistake) + ": ", 0), 0U) << outcome.all();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, RaceControl, testing::ValuesIn(all_controls()),
                         [](const auto& control) { return std::string(control.param.name); });

const Control& control_named(std::string_view name) {
  static const std::vector<Control> all = all_controls();
  for (const Control& control : all) {
    if (control.name == name) return control;
  }
  throw std::logic_error("there is no such control");
}

TEST(Finding, NamesBothThreadsBothPlacesAndTheByte) {
  const std::string finding = run(control_named("shared_two_writers"), 1).findings.at(0);
  EXPECT_NE(finding.find("shared_memory.cu:"), std::string::npos) << finding;
  EXPECT_NE(finding.find("thread ("), std::string::npos) << finding;
  EXPECT_NE(finding.find("of block (0,0,0)"), std::string::npos) << finding;
  EXPECT_NE(finding.find("writes 4 bytes at byte "), std::string::npos) << finding;
  EXPECT_NE(finding.find("of 512 bytes of shared memory"), std::string::npos) << finding;
  EXPECT_NE(finding.find(") wrote;"), std::string::npos) << finding;
}

TEST(Finding, TheSameScheduleGivesTheSameOnes) {
  for (const char* name : {"shared_no_barrier", "exchange_slots_reused", "last_block_no_fence"}) {
    EXPECT_EQ(run(control_named(name), 5).findings, run(control_named(name), 5).findings) << name;
  }
}

TEST(Finding, AMistakeLeavesNothingBehindForTheNextLaunch) {
  EXPECT_FALSE(run(control_named("misaligned"), 1).findings.empty());
  EXPECT_TRUE(run(control_named("shared_barrier"), 1).findings.empty());
  EXPECT_FALSE(run(control_named("barrier_of_a_half"), 1).status.ok());
  EXPECT_TRUE(run(control_named("shared_barrier"), 1).findings.empty());
}

}  // namespace
}  // namespace normquant
