// The model of costs counts a launch as its kernel makes it: choice/launch_plan.hpp beside the kernels' own launch arithmetic.
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "choice/launch_plan.hpp"
#include "norm_quant_backward/single_launch.hpp"
#include "norm_quant_backward/staged_launch.hpp"
#include "norm_quant_backward/striped_launch.hpp"
#include "norm_quant_forward/one_pass_launch.hpp"

namespace normquant::choice {
namespace {

constexpr std::int64_t some_rows[] = {1, 3, 17, 64, 132, 133, 264, 1000, 4096, 32768, 100000};
constexpr std::int64_t some_columns[] = {8,    64,   256,  511,  512,   513,   1000,  1023, 2048,
                                         4096, 4097, 5632, 8192, 11008, 16384, 32768, 65536};

DeviceInfo hopper() {
  DeviceInfo device;
  device.sm_count = 132;
  device.compute_capability = 90;
  device.max_cluster_blocks = 16;
  device.shared_memory_per_block = std::size_t{227} * 1024;
  device.resident_clusters = {66, 32, 15, 7};
  return device;
}
PlanDevice plan_device() { return {132, {66, 32, 15, 7}}; }

/// Tensors of bfloat16 that are never launched, so none needs memory behind it.
alignas(16) char memory[16];
float values[1];

NormQuantForward forward(std::int64_t rows, std::int64_t columns, bool layer) {
  NormQuantForward a;
  a.rows = rows, a.columns = columns;
  a.norm = layer ? NormKind::layer : NormKind::rms;
  a.x = {memory, DType::bfloat16, columns};
  a.output.out = {memory, DType::bfloat16, columns};
  a.weight = {memory, DType::bfloat16};
  if (layer) a.bias = a.weight;
  return a;
}

NormQuantBackward backward(std::int64_t rows, std::int64_t columns, bool layer) {
  NormQuantBackward a;
  a.rows = rows, a.columns = columns;
  a.norm = layer ? NormKind::layer : NormKind::rms;
  a.rstd = values;
  if (layer) a.mean = values;
  a.h = a.dy = {memory, DType::bfloat16, columns};
  a.dx = a.recomputed.out = {memory, DType::bfloat16, columns};
  a.weight = {memory, DType::bfloat16};
  a.dweight = {memory, DType::bfloat16};
  if (layer) a.bias = a.weight, a.dbias = a.dweight;
  return a;
}

std::string text(std::string_view variant, const Point& point) { return std::string(variant) + " " + to_text(point); }

TEST(LaunchPlan, TheForwardsRowsAndThreadsAreThoseOfItsKernel) {
  int compared = 0;
  for (const Variant<NormQuantForward>& variant : variants<NormQuantForward>(DeviceKind::host)) {
    const Tuning& t = variant.tuning;
    const PlanTuning tuning = plan_tuning(Operation::norm_quant_forward, variant.name, t);
    if (tuning.kind == PlanTuning::Kind::none) continue;
    namespace launch = forward_one_pass_launch;
    for (const bool layer : {false, true}) {
      const auto form = layer ? normquant::Form::layer : normquant::Form::rms;
      const PlanLimits limits{
          launch::block_limits(t.elements, 2, launch::is_striped(t), form, t.lanes, t.cluster > 1).threads, 64};
      for (const std::int64_t rows : some_rows) {
        for (const std::int64_t columns : some_columns) {
          const NormQuantForward a = forward(rows, columns, layer);
          const Point point = point_of(a);
          const auto plan = plan_of(tuning, limits, plan_device(), point);
          ASSERT_EQ(plan.has_value(), launch::why_not(variant, a, hopper()).empty()) << text(variant.name, point);
          if (!plan) continue;
          ++compared;
          EXPECT_EQ(plan->threads, launch::row_threads(t, a)) << text(variant.name, point);
          EXPECT_EQ(plan->rows, launch::block_rows(t, a, hopper())) << text(variant.name, point);
        }
      }
    }
  }
  EXPECT_GT(compared, 1000);
}

template <class WalkOf>
void expect_walk(std::string_view name, const LaunchPlan& plan, const Point& point, std::int64_t threads, int cluster,
                 WalkOf walk_of) {
  const Walk walk = walk_of();
  EXPECT_EQ(plan.threads, threads) << text(name, point);
  EXPECT_EQ(plan.rows, walk.rows) << text(name, point);
  EXPECT_EQ(plan.blocks, walk.sets * cluster) << text(name, point);
}

TEST(LaunchPlan, TheBackwardsRowsThreadsAndBlocksAreThoseOfItsKernel) {
  int compared = 0;
  for (const Variant<NormQuantBackward>& variant : variants<NormQuantBackward>(DeviceKind::host)) {
    const Tuning& t = variant.tuning;
    const PlanTuning tuning = plan_tuning(Operation::norm_quant_backward, variant.name, t);
    using Kind = PlanTuning::Kind;
    if (tuning.kind == Kind::none) continue;
    for (const bool layer : {false, true}) {
      for (const std::int64_t rows : some_rows) {
        for (const std::int64_t columns : some_columns) {
          const NormQuantBackward a = backward(rows, columns, layer);
          const Point point = point_of(a);
          const DeviceInfo device = hopper();
          const int most = tuning.kind == Kind::single   ? backward_single_launch::most_threads(t.elements)
                           : tuning.kind == Kind::staged ? backward_staged_launch::most_threads(t, a)
                                                         : backward_striped_launch::most_threads(t.elements);
          const auto plan = plan_of(tuning, {most, 64}, plan_device(), point);
          const std::string why = tuning.kind == Kind::single   ? backward_single_launch::why_not(variant, a, device)
                                  : tuning.kind == Kind::staged ? backward_staged_launch::why_not(variant, a, device)
                                                                : backward_striped_launch::why_not(variant, a, device);
          ASSERT_EQ(plan.has_value(), why.empty()) << text(variant.name, point) << ": " << why;
          if (!plan) continue;
          ++compared;
          if (tuning.kind == Kind::single) {
            EXPECT_EQ(plan->threads, backward_single_launch::row_threads(t, a)) << text(variant.name, point);
          } else if (tuning.kind == Kind::staged) {
            expect_walk(variant.name, *plan, point, backward_staged_launch::row_threads(t, a), t.cluster,
                        [&] { return backward_staged_launch::walk_of(t, a, device); });
          } else {
            expect_walk(variant.name, *plan, point, backward_striped_launch::row_threads(t, a), 1,
                        [&] { return backward_striped_launch::walk_of(t, a, device); });
          }
        }
      }
    }
  }
  EXPECT_GT(compared, 1000);
}

}  // namespace
}  // namespace normquant::choice
