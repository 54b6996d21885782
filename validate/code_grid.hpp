// The numbers that codes stand for: integers, or those of fp8 e4m3.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "reference/types.hpp"

namespace normquant::validate {

/// Mistakes that quantisers make. What codes would be with one is asked when they are wrong, to name it.
enum class Slip {
  none,
  cut_off,            ///< codes are cut off towards zero
  ties_away,          ///< fp8: a tie goes away from zero
  flushed,            ///< fp8: codes below the smallest normal number, 2^-6, are 0
  nan_beyond_largest  ///< fp8: what would round beyond 448 is NaN
};

/// `least` and `most` are its ends; values beyond them are clamped.
struct CodeGrid {
  reference::Format format = reference::Format::int8;
  reference::Rounding rounding = reference::Rounding::half_even;
  double least = -128, most = 127;
  Slip slip = Slip::none;
  bool either_nan = false;  ///< fp8: 0xFF is a NaN as good as 0x7F, which our kernels write

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
    if (slip != Slip::none) return slipped(value);
    return is_fp8() ? reference::e4m3::nearest(value)
                    : std::clamp(reference::round_to_integer(value, rounding), least, most);
  }
  /// Whether a value's code is NaN, by that slip. 464 is a tie, and 448 is the even one.
  bool is_nan_beyond(double value) const { return slip == Slip::nan_beyond_largest && std::abs(value) > 464; }
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
  double slipped(double value) const {
    const double within = std::clamp(value, least, most), step = spacing(within);
    if (slip == Slip::cut_off) return std::trunc(within / step) * step;
    if (slip == Slip::ties_away) {
      return reference::round_to_integer(within / step, reference::Rounding::half_away) * step;
    }
    const double code = reference::e4m3::nearest(value);
    return slip == Slip::flushed && std::abs(code) < 0x1p-6 ? 0 : code;
  }
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
