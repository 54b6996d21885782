// The numbers that codes stand for: integers, or those of fp8 e4m3.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "reference/types.hpp"

namespace normquant::validate {

/// `least` and `most` are its ends; values beyond them are clamped.
struct CodeGrid {
  reference::Format format = reference::Format::int8;
  reference::Rounding rounding = reference::Rounding::half_even;
  double least = -128, most = 127;

  static CodeGrid of(reference::Format format, reference::Rounding rounding) {
    if (format == reference::Format::int8) return {format, rounding};
    return {format, reference::Rounding::half_even, -reference::e4m3::largest, reference::e4m3::largest};
  }

  bool is_fp8() const { return format == reference::Format::fp8_e4m3; }
  /// The code as a number; `byte`: as it lies in memory.
  double number(int byte) const {
    return is_fp8() ? reference::e4m3::of_bits(static_cast<std::uint8_t>(byte)) : static_cast<double>(byte);
  }
  /// The code of a value, which is not NaN.
  double nearest(double value) const {
    return is_fp8() ? reference::e4m3::nearest(value)
                    : std::clamp(reference::round_to_integer(value, rounding), least, most);
  }
  /// How far the codes beside a value lie apart.
  double spacing(double value) const {
    return is_fp8() ? reference::e4m3::spacing(std::clamp(value, least, most)) : 1.0;
  }
  /// Codes from `first` to `last`, both counted.
  double count(double first, double last) const { return place(last) - place(first) + 1; }
  /// Whether a value lies midway between two codes, but for the roundings by which float64 came to it: eight at most.
  bool is_on_tie(double value) const {
    const double steps = value / spacing(value);
    return std::abs(steps - std::floor(steps) - 0.5) <= 8 * 0x1p-53 * std::abs(steps);
  }

 private:
  /// Numbered from 0 upwards, negative below.
  double place(double code) const {
    if (!is_fp8() || code == 0) return code;
    const double magnitude = std::abs(code), step = spacing(code);
    // Eight codes a power of two; the subnormals and the first eight normal numbers are multiples of one step.
    const double place = magnitude / step + 8 * (std::log2(step) + 9);
    return code < 0 ? -place : place;
  }
};

}  // namespace normquant::validate
