#include "reference/types.hpp"

#include <algorithm>
#include <cmath>

namespace normquant::reference {

double round_to_storage(double value, Storage storage) {
  const auto as_float = static_cast<float>(value);
  switch (storage) {
    case Storage::float64: return value;
    case Storage::float32: return as_float;
    case Storage::float16: return static_cast<float>(Eigen::half(as_float));
    case Storage::bfloat16: return static_cast<float>(Eigen::bfloat16(as_float));
  }
  return value;
}

Array round_to_storage(const Array& values, Storage storage) {
  return values.unaryExpr([storage](double value) { return round_to_storage(value, storage); });
}

double round_to_integer(double value, Rounding rounding) {
  const bool tie = std::abs(value - std::trunc(value)) == 0.5;
  return tie && rounding == Rounding::half_even ? 2.0 * std::round(value / 2.0) : std::round(value);
}

namespace e4m3 {

double spacing(double value) {
  int exponent = 0;  // |value| is at least 2^(exponent - 1) and below 2^exponent
  const bool zero = std::frexp(value, &exponent) == 0;
  return std::ldexp(1.0, zero ? -9 : std::max(exponent - 4, -9));
}

double nearest(double value) {
  if (std::isnan(value)) return value;
  const double within = std::clamp(value, -largest, largest), step = spacing(within);
  return std::copysign(round_to_integer(within / step, Rounding::half_even) * step, value);
}

double of_bits(unsigned bits) {
  const int exponent = static_cast<int>(bits >> 3U & 15U), mantissa = static_cast<int>(bits & 7U);
  if (exponent == 15 && mantissa == 7) return nan;
  const double magnitude = exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
  return (bits & 0x80U) != 0 ? -magnitude : magnitude;
}

}  // namespace e4m3

double code_of(double value, Format format, Rounding rounding) {
  if (format == Format::fp8_e4m3) return e4m3::nearest(value);
  return std::isnan(value) ? 0.0 : std::clamp(round_to_integer(value, rounding), -128.0, 127.0);
}

}  // namespace normquant::reference
