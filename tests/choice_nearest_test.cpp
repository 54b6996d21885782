// The choice without a tuned table, on invented variants; and points of problems that are not aligned.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include <normquant/activation_quant.hpp>
#include <normquant/norm_quant_backward.hpp>
#include <normquant/norm_quant_forward.hpp>
#include <normquant/weight_quant.hpp>

#include "kernels/choice/point.hpp"
#include "kernels/operation.hpp"

namespace normquant {
namespace {

using Row = Variant<ActivationQuant>;

std::string serves(const Row&, const ActivationQuant&, const DeviceInfo&) { return {}; }
std::string refuses(const Row&, const ActivationQuant&, const DeviceInfo&) { return "does not serve"; }
template <int percent>
std::int64_t bytes(const Row&, const ActivationQuant& a, const DeviceInfo&) {
  return algorithmic_bytes(a) * percent / 100;
}

Row row(std::string_view name, int threads) {
  Row row;
  row.name = name;
  row.tuning.threads_per_row = threads;
  row.why_not = serves;
  row.requested_bytes = bytes<100>;
  return row;
}

constexpr std::int64_t columns = 512;

std::string nearest(const std::vector<Row>& rows, std::int64_t row_bytes) {
  ActivationQuant a;
  a.rows = 8, a.columns = columns;
  const DeviceInfo device;
  return std::string(nearest_variant(rows, a, device, row_bytes).name);
}

TEST(NearestVariant, GivesEachThreadTwoPackets) {
  const std::vector<Row> rows = {row("t2", 2),     row("t8", 8),       row("t32", 32),    row("t64", 64),
                                 row("t256", 256), row("t1024", 1024), row("t4096", 4096)};
  EXPECT_EQ(nearest(rows, 1024), "t32");
  EXPECT_EQ(nearest(rows, 1280), "t32") << "1.25 times fewer are nearer than 1.6 times more";
  EXPECT_EQ(nearest(rows, 1920), "t64");
  EXPECT_EQ(nearest(rows, 8192), "t256");
  EXPECT_EQ(nearest(rows, 16), "t8") << "never fewer than 8";
  EXPECT_EQ(nearest(rows, 1 << 20), "t1024") << "never more than 1024";
}

TEST(NearestVariant, ThreadsFollowFromElementsToo) {
  std::vector<Row> rows = {row("e64", 0), row("e8", 0), row("none", 0)};
  rows[0].tuning.elements = 64;  // 8 threads
  rows[1].tuning.elements = 8;   // 64 threads
  EXPECT_EQ(nearest(rows, 256), "e64");
  EXPECT_EQ(nearest(rows, 2048), "e8");
  EXPECT_EQ(nearest(rows, 16384), "none") << "a thread an element";
  rows = {row("t40", 40), row("e13", 0)};
  rows[1].tuning.elements = 13;  // 512 / 13, rounded up: 40
  EXPECT_EQ(nearest(rows, 1248), "t40") << "equal ones: the first";
}

TEST(NearestVariant, ReadsAgainAndByElementsOnlyWhereThatIsLeft) {
  std::vector<Row> rows = {row("again", 32), row("once", 200)};
  rows[0].requested_bytes = bytes<200>;
  EXPECT_EQ(nearest(rows, 1024), "once") << "6.25 times the threads, for 9 times the cost";
  rows[0].requested_bytes = bytes<120>;
  EXPECT_EQ(nearest(rows, 1024), "again") << "a fifth more does not count";
  rows[0].requested_bytes = bytes<100>;
  rows[0].tuning.access_bytes = 4;
  rows[1].tuning.threads_per_row = 96;
  EXPECT_EQ(nearest(rows, 1024), "once") << "3 times the threads, for 4 times the cost";
  rows[1].tuning.threads_per_row = 160;
  EXPECT_EQ(nearest(rows, 1024), "again");
}

TEST(NearestVariant, ServesAndIsDeterministic) {
  std::vector<Row> rows = {row("refuses", 32), row("atomics", 32), row("far", 1024), row("last", 4096)};
  rows[0].why_not = refuses;
  rows[1].deterministic = false;
  EXPECT_EQ(nearest(rows, 1024), "far");
  rows[2].why_not = rows[3].why_not = refuses;
  EXPECT_EQ(nearest(rows, 1024), "last") << "which says why it does not serve";
  EXPECT_EQ(nearest({row("first", 32), row("second", 32)}, 1024), "first");
}

/// Threads that share a row of `count` elements by the choice without a table.
template <class Args, class Give>
double threads_chosen(std::int64_t count, Give give) {
  alignas(256) static float memory[64];
  Args a;
  a.rows = 8, a.columns = count;
  give(a, memory, count);
  DeviceInfo info = open_host_device()->info();
  info.name = "without a table";
  return threads_of_row(choose_variant(a, info).tuning, count);
}

TEST(NearestVariant, OfAWideRowIsWide) {
  const auto forward = [](NormQuantForward& a, float* memory, std::int64_t ld) {
    a.x = {memory, DType::bfloat16, ld}, a.output.out = {memory, DType::bfloat16, ld}, a.eps = 1e-6F;
  };
  const auto backward = [](NormQuantBackward& a, float* memory, std::int64_t ld) {
    a.h = a.dy = {memory, DType::bfloat16, ld}, a.dx = {memory, DType::bfloat16, ld}, a.rstd = memory;
  };
  const auto activation = [](ActivationQuant& a, float* memory, std::int64_t ld) {
    a.x = {memory, DType::bfloat16, ld}, a.output.out = {memory, DType::bfloat16, ld};
  };
  EXPECT_LE(threads_chosen<NormQuantForward>(64, forward), 32);
  EXPECT_LE(threads_chosen<NormQuantBackward>(64, backward), 32);
  EXPECT_LE(threads_chosen<ActivationQuant>(64, activation), 32);
  EXPECT_EQ(threads_chosen<NormQuantForward>(1024, forward), 64) << "two packets of 16 bytes each";
  EXPECT_EQ(threads_chosen<NormQuantBackward>(1024, backward), 64);
  EXPECT_GE(threads_chosen<NormQuantForward>(8192, forward), 256);
  EXPECT_GE(threads_chosen<NormQuantBackward>(8192, backward), 256);
  EXPECT_GE(threads_chosen<ActivationQuant>(8192, activation), 256);
}

TEST(PointOf, CodesOfWeightsMustBeAligned) {
  alignas(256) unsigned char memory[256] = {};
  WeightQuant a;
  a.rows = 2, a.columns = 32, a.w = {memory, DType::bfloat16, 32};
  EXPECT_TRUE(choice::point_of(a).aligned);
  a.codes = reinterpret_cast<std::int8_t*>(memory), a.ld_codes = 32;
  EXPECT_TRUE(choice::point_of(a).aligned);
  a.ld_codes = 33;
  EXPECT_FALSE(choice::point_of(a).aligned);
  a.ld_codes = 32, a.codes += 1;
  EXPECT_FALSE(choice::point_of(a).aligned);
  a.codes = nullptr, a.packed = memory + 1;
  EXPECT_TRUE(choice::point_of(a).aligned) << "the rows of packed codes start anywhere";
}

TEST(HostDevice, SaysWhatItIs) {
  const DeviceInfo host = open_host_device(1, 132)->info();
  EXPECT_EQ(host.name, "host");
  EXPECT_EQ(host.max_cluster_blocks, 16);
  EXPECT_EQ(host.resident_clusters, (std::array<int, 4>{66, 33, 16, 8}));
  EXPECT_EQ(open_host_device()->info().resident_clusters, (std::array<int, 4>{2, 1, 1, 1}));
}

}  // namespace
}  // namespace normquant
