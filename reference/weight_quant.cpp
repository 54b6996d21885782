#include "reference/weight_quant.hpp"

#include <algorithm>
#include <cmath>

namespace normquant::reference {
namespace {

constexpr Eigen::Index codes_per_byte = 4;

/// sum|w| / count; NaN when an element is not finite.
double finite_absmean(const Array& w) {
  const double absmean = w.abs().sum() / static_cast<double>(w.size());
  return std::isfinite(absmean) ? absmean : nan;
}

/// clamp(round_half_even(scaled), -1, 1); 0 for NaN.
double ternary_code_of(double scaled) {
  return std::isnan(scaled) ? 0.0 : std::clamp(round_to_integer(scaled, Rounding::half_even), -1.0, 1.0);
}

}  // namespace

WeightQuantResult weight_quant(const Array& w) { return weight_quant(w, finite_absmean(w)); }

WeightQuantResult weight_quant(const Array& w, double absmean) {
  WeightQuantResult result;
  result.absmean = std::isfinite(absmean) ? absmean : nan;
  result.dequant_factor = std::isnan(result.absmean) ? nan : std::max(result.absmean, scale_floor);
  result.weight_scale = 1.0 / result.dequant_factor;
  result.code = (w * result.weight_scale).unaryExpr(&ternary_code_of);
  result.out = result.code / result.weight_scale;
  return result;
}

PackedCodes pack_codes(const Array& code) {
  const Eigen::Index bytes = (code.cols() + codes_per_byte - 1) / codes_per_byte;
  Array field = Array::Ones(code.rows(), bytes * codes_per_byte);  // code 0 where there is no column
  field.leftCols(code.cols()) += code;
  const auto fields = [&field](int i) { return field(Eigen::all, Eigen::seq(i, Eigen::last, codes_per_byte)); };
  return (fields(0) + 4.0 * fields(1) + 16.0 * fields(2) + 64.0 * fields(3)).cast<std::uint8_t>();
}

Array unpack_codes(const PackedCodes& packed, Eigen::Index columns) {
  return Array::NullaryExpr(packed.rows(), columns, [&packed](Eigen::Index row, Eigen::Index column) {
    const unsigned byte = packed(row, column / codes_per_byte);
    return static_cast<double>((byte >> (2 * (column % codes_per_byte))) & 3U) - 1.0;
  });
}

}  // namespace normquant::reference
