// Which problems a suite consists of.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <normquant/device.hpp>

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
  std::int64_t distinct_rows = 0;          ///< see prepare()
  bool gpu_only = false;                   ///< too large for the host device
  bool after_others = false;               ///< also run after many other launches on another stream
  std::vector<std::string> variants = {};  ///< that it is for; none: all
};

/// Whether the case is to be run on that variant.
bool is_for(const Case& subject, std::string_view variant);

/// The cases of one operation for a device (none: the host device), drawn by the seed from the model of its problem space
/// (validate/space, docs/suites.md). Each case of smoke is one of standard, and each of those one of exhaustive. With `shapes`,
/// every feature of the operation at these shapes instead, on all variants; MxN without a K_out. The same arguments give the same cases.
std::vector<Case> suite_cases(Operation op, SuiteSize size, std::uint64_t seed, const std::vector<Shape>& shapes,
                              const DeviceInfo* device = nullptr);

/// The same for the layer (suite_bit_linear.cpp), whose shapes have a K_out.
std::vector<Case> layer_shape_cases(Operation op, std::uint64_t seed, const std::vector<Shape>& shapes);

}  // namespace normquant::validate
