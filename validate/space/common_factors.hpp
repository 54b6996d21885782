// Factors that several tables of the model have.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "validate/space/covering.hpp"

namespace normquant::validate::space {

constexpr auto f32 = DType::float32, f16 = DType::float16, bf16 = DType::bfloat16;

/// A type that is not x's.
inline DType other_than(DType x) { return x == f32 ? bf16 : f32; }

/// Where problems that one does not draw pair by pair have their guard page: mostly behind, where loops run too far.
inline GuardPage guard_of(std::uint64_t mixed) {
  constexpr GuardPage pages[] = {GuardPage::behind, GuardPage::before, GuardPage::behind, GuardPage::none};
  return pages[mixed % 4];
}

/// Scales by which normal values of y meet the ends of the range and, of fp8, by which all of them are subnormal.
constexpr Quantisation fp8{QuantFormat::fp8_e4m3}, static_fp8{QuantFormat::fp8_e4m3, 160.0F},
    small_static_fp8{QuantFormat::fp8_e4m3, 0.004F}, static_int8{QuantFormat::int8, 48.5F};

/// A tensor: not given, in x's type, in another.
inline Factor optional_tensor(std::string name, std::optional<DType> Problem::*member) {
  return {std::move(name),
          {{"none", [member](Problem& p) { (p.*member).reset(); }},
           {"x's type", [member](Problem& p) { p.*member = p.x; }},
           {"another type", [member](Problem& p) { p.*member = other_than(p.x); }}}};
}

/// A switch: off, on.
inline Factor flag(std::string name, bool Problem::*member) {
  return {std::move(name),
          {{"no", [member](Problem& p) { p.*member = false; }}, {"yes", [member](Problem& p) { p.*member = true; }}}};
}

}  // namespace normquant::validate::space
