// The stream limit with an invented mover and timer: how matrices are shared out, which way counts, what cannot be moved.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "bench/cases.hpp"
#include "bench/stream_limit.hpp"
#include "tests/invented_device.hpp"
#include "validate/operations/prepared_problem.hpp"

namespace normquant::bench {
namespace {

constexpr std::int64_t elements = 4096;

TEST(SharedOut, EveryMatrixHasAsManyPackets) {
  std::string why;
  // Of weights in float32 become a float16 copy, codes of a byte, and codes of two bits.
  const auto shared =
      shared_out({{4 * elements, false}, {2 * elements, true}, {elements, true}, {elements / 4, true}}, why);
  ASSERT_TRUE(shared) << why;
  EXPECT_EQ(shared->count, 4);
  EXPECT_EQ(shared->packets, elements / 4);
  const int packets[] = {16, 8, 4, 1};
  for (int i = 0; i < 4; ++i) EXPECT_EQ(shared->matrix[i].packet, packets[i]) << i;
  EXPECT_FALSE(shared->matrix[0].written);
  EXPECT_TRUE(shared->matrix[3].written);
}

TEST(SharedOut, RefusesWhatCannotBeMovedInStep) {
  std::string why;
  EXPECT_FALSE(shared_out({}, why));
  EXPECT_FALSE(shared_out({{48, false}, {16, true}}, why));
  EXPECT_NE(why.find("one has 48 bytes, another 16"), std::string::npos) << why;
  EXPECT_FALSE(shared_out({{64, false}, {2, true}}, why)) << "32 times as large";
  EXPECT_FALSE(shared_out({{64, false}, {0, true}}, why));
  EXPECT_FALSE(shared_out(std::vector<MovedMatrix>(9, {64, false}), why));
}

struct Moved {
  int enqueued = 0, last_way = 0;
};

class InventedMover final : public Mover {
 public:
  explicit InventedMover(Moved& moved) : moved_(moved) {}
  int ways() const override { return 3; }
  std::string name(int way) const override { return "way" + std::to_string(way); }
  Status enqueue(int way, const SharedOut& matrices, Stream) const override {
    for (int i = 0; i < matrices.count; ++i) {
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(matrices.matrix[i].data) % 16, 0U);
      if (i == 0) continue;
      EXPECT_GE(matrices.matrix[i].data - matrices.matrix[i - 1].data,
                matrices.matrix[i - 1].packet * matrices.packets);
    }
    ++moved_.enqueued;
    moved_.last_way = way;
    return {};
  }
  Status fill(void*, std::int64_t, Stream) const override { return {}; }

 private:
  Moved& moved_;
};

TEST(StreamLimit, TheFastestWayCountsAndIsRemembered) {
  Moved moved;
  InventedDevice device(plenty());
  InventedTimer timer(moved.last_way);
  StreamLimit limit(device, timer, std::make_unique<InventedMover>(moved), plenty);
  WayTime time;
  ASSERT_TRUE(limit.time({{1 << 16, false}, {1 << 15, true}}, time).ok());
  EXPECT_EQ(time.microseconds, 3.0);
  EXPECT_EQ(time.way, "way1");
  EXPECT_EQ(device.released, 1);
  const int before = moved.enqueued;
  ASSERT_TRUE(limit.time({{1 << 15, true}, {1 << 16, false}}, time).ok());
  EXPECT_EQ(moved.enqueued, before) << "the same matrices in another order are not measured again";
  EXPECT_EQ(limit.time({{48, false}, {16, true}}, time).code, StatusCode::unsupported);
}

/// How many matrices of 8 x 64 bfloat16 a case reads, and how many it writes.
std::pair<int, int> read_and_written(Operation op, const char* form) {
  std::string why;
  const auto device = open_host_device();
  const auto prepared = validate::prepare(make_case(op, {8, 64}, DType::bfloat16, form)->problem, *device, 0, why);
  EXPECT_NE(prepared, nullptr) << why;
  std::pair<int, int> counts;
  if (prepared == nullptr) return counts;
  for (const MovedMatrix& matrix : prepared->matrices()) {
    EXPECT_EQ(matrix.bytes, 8 * 64 * 2);
    ++(matrix.written ? counts.second : counts.first);
  }
  return counts;
}

TEST(Matrices, AreWhatALaunchMoves) {
  EXPECT_EQ(read_and_written(Operation::norm_quant_backward, "rms"), std::pair(2, 2));
  EXPECT_EQ(read_and_written(Operation::norm_quant_backward, "rms+no_out"), std::pair(2, 1));
  EXPECT_EQ(read_and_written(Operation::norm_quant_backward, "rms+dresidual"), std::pair(3, 2));
  EXPECT_EQ(read_and_written(Operation::weight_quant, "out"), std::pair(1, 1));
}

}  // namespace
}  // namespace normquant::bench
