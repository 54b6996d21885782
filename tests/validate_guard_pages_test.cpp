// Guard pages: whoever reads or writes beside a tensor on the host is named, and the run goes on.
#include <gtest/gtest.h>

#include "validate/device_tensor.hpp"
#include "validate/operations/prepared_problem.hpp"
#include "validate/run.hpp"
#include "validate/summary.hpp"

namespace normquant::validate {
namespace {

constexpr auto bf16 = DType::bfloat16;

unsigned char read_at(const unsigned char* address) { return *const_cast<const volatile unsigned char*>(address); }
void write_at(unsigned char* address) { *const_cast<volatile unsigned char*>(address) = 7; }

/// 3 x 241 of bfloat16, in dense rows.
struct Guarded {
  explicit Guarded(GuardPage guard) : device(open_host_device()) {
    Problem problem;
    problem.guard = guard;
    tensor = std::make_unique<DeviceTensor>(*device, 3, 241, 2, 241, placement_of(problem, "x", bytes, 2),
                                            DeviceTensor::float_poison);
    EXPECT_EQ(tensor->why_not(), "");
    EXPECT_TRUE(tensor->poison_all().ok());
  }
  unsigned char* first() const { return static_cast<unsigned char*>(tensor->data()); }
  unsigned char* end() const { return first() + bytes; }

  static constexpr std::size_t bytes = std::size_t{3} * 241 * 2;
  std::unique_ptr<Device> device;
  std::unique_ptr<DeviceTensor> tensor;
};

TEST(GuardPages, NothingIsSaidOfWhatLiesInTheTensor) {
  for (GuardPage guard : {GuardPage::none, GuardPage::before, GuardPage::behind}) {
    const Guarded t(guard);
    for (const unsigned char* at = t.first(); at < t.end(); ++at) EXPECT_EQ(read_at(at), DeviceTensor::float_poison);
    write_at(t.first());
    write_at(t.end() - 1);
    std::string damage;
    EXPECT_TRUE(t.tensor->check_guards(damage).ok());
    EXPECT_EQ(damage + t.tensor->take_touch(), "");
  }
}

TEST(GuardPages, OneByteBehindIsReadOrWritten) {
  const Guarded t(GuardPage::behind);
  for (int time = 0; time < 2; ++time) {  // the page is closed again
    (void)read_at(t.end());
    EXPECT_EQ(t.tensor->take_touch(), "read 0 bytes behind the end of its last row");
    write_at(t.end() + 3);
    EXPECT_EQ(t.tensor->take_touch(), "written 3 bytes behind the end of its last row");
    (void)read_at(t.end() + 8191);
    (void)read_at(t.end());
    EXPECT_EQ(t.tensor->take_touch(), "read 8191 bytes behind the end of its last row") << "the first";
  }
  EXPECT_EQ(t.tensor->take_touch(), "");
  (void)read_at(t.first() - 1);
  EXPECT_EQ(t.tensor->take_touch(), "") << "a guard band is before it, which shows what is written";
  write_at(t.first() - 1);
  std::string damage;
  EXPECT_TRUE(t.tensor->check_guards(damage).ok());
  EXPECT_EQ(damage, "the guard band before the first row was written to");
}

TEST(GuardPages, OneByteBeforeIsReadOrWritten) {
  const Guarded t(GuardPage::before);
  (void)read_at(t.first() - 1);
  EXPECT_EQ(t.tensor->take_touch(), "read 1 bytes before its first element");
  write_at(t.first() - 4);
  EXPECT_EQ(t.tensor->take_touch(), "written 4 bytes before its first element");
  write_at(t.end());
  std::string damage;
  EXPECT_TRUE(t.tensor->check_guards(damage).ok());
  EXPECT_EQ(damage, "the guard band after the last row was written to");
}

TEST(GuardPages, AnOffsetThatIsSaidStays) {
  Problem problem;
  problem.guard = GuardPage::behind;
  EXPECT_EQ(placement_of(problem, "x", 100, 2).past, 156U) << "ends at a boundary";
  problem.offsets["x"] = 3;
  EXPECT_EQ(placement_of(problem, "x", 100, 2).past, 6U);
  EXPECT_EQ(placement_of(problem, "w", 100, 2).past, 156U);
  problem.offset = 1;
  EXPECT_EQ(placement_of(problem, "w", 100, 2).past, 2U);
  problem.guard = GuardPage::before;
  EXPECT_EQ(placement_of(problem, "w", 100, 2).past, 2U);
}

TEST(GuardPages, AllTensorsOfAProblemHaveThem) {
  const auto device = open_host_device();
  for (GuardPage guard : {GuardPage::before, GuardPage::behind}) {
    Problem problem;
    problem.x = bf16, problem.weight = bf16, problem.out = bf16, problem.codes = true;
    problem.rows = 3, problem.columns = 241, problem.guard = guard;
    std::string why;
    const auto prepared = prepare(problem, *device, 0, why);
    ASSERT_NE(prepared, nullptr) << why;
    const auto variant = prepared->find("auto");
    ASSERT_TRUE(prepared->reserve(variant).ok());
    ASSERT_TRUE(prepared->poison_outputs().ok());
    ASSERT_TRUE(prepared->launch(variant, nullptr).ok());
    EXPECT_EQ(prepared->check().outcome, Outcome::pass);
    EXPECT_TRUE(prepared->take_findings().empty());
  }
}

TEST(GuardPages, AFindingIsAHazardThatIsCountedThoughNothingIsWatched) {
  CaseResult one;
  one.verdict.outcome = Outcome::hazard;
  one.verdict.findings = {"out of bounds: x was read 0 bytes behind the end of its last row"};
  const auto all = totals(summarise({one}));
  EXPECT_EQ(all.hazards, 1);
  EXPECT_EQ(all.failed, 1);
  EXPECT_FALSE(all.watched);
}

}  // namespace
}  // namespace normquant::validate
