// How a variant would share a problem out, from what is known of it: what the model of costs counts. The kernels' own plans
// (norm_quant_forward/one_pass.cu, norm_quant_backward/single.cu, staged.cu, striped.cu) decide; this follows them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include <normquant/variant.hpp>

#include "choice/point.hpp"

namespace normquant::choice {

/// What decides a variant's plan.
struct PlanTuning {
  enum class Kind { none, forward, single, staged, striped };
  Kind kind = Kind::none;  ///< none: not modelled
  int elements = 0, lanes = 32, cluster = 1;
  bool any_alignment = false;
};
PlanTuning plan_tuning(Operation op, std::string_view name, const Tuning& tuning);

/// What a kernel of one form may use.
struct PlanLimits {
  int most_threads = 0;  ///< of a block; 0: the form is not served
  int warps = 0;         ///< that a multiprocessor holds of it
};

/// What is known of the device.
struct PlanDevice {
  int sm_count = 132;
  std::array<int, 4> resident_clusters = {};  ///< of 2, 4, 8, 16 blocks, when each block takes a multiprocessor
};

struct LaunchPlan {
  int threads = 0;             ///< of a row, in one block
  int rows = 1;                ///< of a block, side by side
  std::int64_t blocks = 0;     ///< of the grid
  std::int64_t at_a_time = 1;  ///< blocks that the GPU holds
  std::int64_t walk = 1;       ///< rows that each of a block's places works through
  float idle = 1;              ///< elements that the threads could hold over N
  float unbalanced = 1;        ///< rows that the places could work through over M
};

/// Nothing where the variant does not serve the problem or is not modelled.
std::optional<LaunchPlan> plan_of(const PlanTuning& tuning, const PlanLimits& limits, const PlanDevice& device,
                                  const Point& point);

}  // namespace normquant::choice
