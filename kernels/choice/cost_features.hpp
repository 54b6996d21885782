// What the model of costs knows of a variant's launch: numbers with names, each a logarithm to base 2, a share or a yes (1).
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "choice/launch_plan.hpp"
#include "choice/point.hpp"

namespace normquant::choice {

inline constexpr std::size_t feature_count = 76;

/// Names as a model's file writes them; docs/choice.md says what each is.
const std::array<std::string_view, feature_count>& feature_names();

using Features = std::array<float, feature_count>;

/// What depends on the problem alone comes first, the same for all variants.
struct ProblemSize {
  float rows = 0, columns = 0, bytes = 0;  ///< log2 of M, N and the bytes that move
  float row_bytes = 0;                     ///< read of a row
  float large = 0;                         ///< 0 up to 1 MiB, 1 from 32 MiB on, linear in log2 between
};
ProblemSize size_of_problem(const Point& point);

void fill_features(const ProblemSize& size, const Point& point, const LaunchPlan& plan, int sm_count,
                   Features& features);

}  // namespace normquant::choice
