// Which problems a suite consists of.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "validate/problem.hpp"

namespace normquant::validate {

enum class SuiteSize { smoke, standard, exhaustive };
std::optional<SuiteSize> suite_named(std::string_view name);

/// For lists of problems.
namespace short_names {
inline constexpr auto f32 = DType::float32, f16 = DType::float16, bf16 = DType::bfloat16;
inline constexpr std::array all_types = {f32, f16, bf16};
}  // namespace short_names

/// A problem of a suite.
struct Case {
  Problem problem;
  std::int64_t distinct_rows = 0;  ///< see prepare()
  bool gpu_only = false;           ///< too large for the host device
  bool after_others = false;       ///< also run after many other launches on another stream
};

/// The cases of one operation. Smoke: chosen cases that touch every variant. Standard: chosen cases for every feature,
/// kind of value and edge, and problems drawn at random over all types and switches. Exhaustive: more of both, every
/// combination of types among them. With `shapes`, the features of the suite at these shapes instead, MxN without a K_out.
/// The same arguments give the same cases.
std::vector<Case> suite_cases(Operation op, SuiteSize size, std::uint64_t seed, const std::vector<Shape>& shapes);

/// The same for the layer (suite_bit_linear.cpp), whose shapes have a K_out.
std::vector<Case> layer_suite_cases(Operation op, SuiteSize size, std::uint64_t seed, const std::vector<Shape>& shapes);

}  // namespace normquant::validate
