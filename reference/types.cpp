#include "reference/types.hpp"

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

}  // namespace normquant::reference
