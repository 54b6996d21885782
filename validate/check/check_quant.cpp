// activation_quant and weight_quant of given tensors, and what all quantised outputs share.
#include "reference/activation_quant.hpp"
#include "reference/weight_quant.hpp"
#include "validate/check/blocks.hpp"

namespace normquant::check {
namespace {

int code_at(const std::vector<unsigned char>& codes, std::int64_t index) {
  return static_cast<std::int8_t>(codes[static_cast<std::size_t>(index)]);
}

}  // namespace

validate::QuantBounds slipped(const Given& given, validate::QuantBounds bounds) {
  if (!given.switches.scale_of_int8) return bounds;
  constexpr double less = 127 / reference::e4m3::largest;
  bounds.t *= less;
  bounds.t_error *= less;
  bounds.dequant_scale /= less;
  return bounds;
}

void compare_quantised(const Given& given, Block block, const validate::QuantBounds& bounds, Comparison& comparison) {
  const validate::Problem& p = given.problem;
  validate::CodeGrid grid = validate::CodeGrid::of(bounds.quantisation.format, reference_rounding(p.rounding));
  grid.slip = given.switches.slip;
  grid.either_nan = true;
  const HostTensor* out = given.tensor("out");
  for_each_element(out, block, [&](auto row, auto i, auto j, std::uint32_t bits) {
    comparison.fake_quantised("out", row, j, out->type, bits, bounds.t(i, j), bounds.t_error(i, j),
                              bounds.dequant_scale(i), bounds.scale_error(i), grid);
  });
  if (const auto* codes = given.dense("codes")) {
    for (std::int64_t i = 0; i < block.count; ++i) {
      for (std::int64_t j = 0; j < p.columns; ++j) {
        comparison.code("codes", block.first + i, j, code_at(*codes, (block.first + i) * p.columns + j), bounds.t(i, j),
                        bounds.t_error(i, j), grid);
      }
    }
  }
  compare_rows(
      given, "dequant_scale", block, comparison, [&](auto i) { return bounds.dequant_scale(i); },
      [&](auto i) { return bounds.dequant_scale(i) * bounds.scale_error(i); });
}

void check_activation(const Given& given, const Walk& walk, Comparison& total) {
  for_each_block(given.problem, walk, total, [&](Block block, Comparison& comparison) {
    const Array x = rows_of(*given.tensor("x"), block);
    const auto q = validate::reference_quantisation(given.problem.quantisation);
    const auto truth = reference::activation_quant(x, reference_rounding(given.problem.rounding), q);
    const auto bounds = slipped(given, validate::activation_bounds(x, truth, q));
    compare_quantised(given, block, bounds, comparison);
    compare_rows(
        given, "quant_scale", block, comparison, [&](auto i) { return 1 / bounds.dequant_scale(i); },
        [&](auto i) { return bounds.scale_error(i) / bounds.dequant_scale(i); });
  });
}

namespace {

constexpr reference::Rounding weight_rounding = reference::Rounding::half_even;
constexpr double least_weight_code = -1, most_weight_code = 1;

/// The scales that a packing stores beside its codes: the factor in float16, or 0 where all codes of the block are.
void compare_packed_scales(const PackedCodes& packed, std::int64_t row, std::int64_t columns, double factor,
                           double relative_error, Comparison& comparison) {
  for (std::int64_t block = 0; packed.block() > 0 && block < columns / packed.block(); ++block) {
    bool all_zero = true;
    for (std::int64_t j = 0; all_zero && j < packed.block(); ++j) {
      all_zero = packed.at(row, block * packed.block() + j) == 0;
    }
    const std::uint32_t bits = packed.scale_bits(row, block);
    const double truth = all_zero && bits == 0 ? 0.0 : factor;
    comparison.value("packed", row, block * packed.block(), DType::float16, bits, truth, truth * relative_error);
  }
}

void compare_packed(const PackedCodes& packed, std::int64_t row, const Array& t, const Array& t_error, std::int64_t i,
                    Comparison& comparison) {
  for (Eigen::Index j = 0; j < t.cols(); ++j) {
    comparison.code("packed", row, j, packed.at(row, j), t(i, j), t_error(i, j), weight_rounding, least_weight_code,
                    most_weight_code);
  }
  if (packed.rest_is_clean(row)) return;
  comparison.count_equal_row(1);
  comparison.wrong("packed", row, t.cols(), "unused bits past the last element as the packing leaves them",
                   "other bits");
}

}  // namespace

void check_weight(const Given& given, const Walk& walk, Comparison& total) {
  const validate::Problem& p = given.problem;
  const HostTensor& w = *given.tensor("w");
  const HostTensor* out = given.tensor("out");
  const auto *codes = given.dense("codes"), *packed = given.dense("packed");
  // One scale for the whole matrix: its blocks' sums first.
  double sum = 0;
  for_each_block(
      p, {walk.threads, false, {}}, total, [&](Block block, Comparison&) { return rows_of(w, block).abs().sum(); },
      [&](double part) { sum += part; });
  const double absmean = sum / static_cast<double>(p.rows * p.columns);
  for_each_block(p, walk, total, [&](Block block, Comparison& comparison) {
    const Array values = rows_of(w, block);
    const auto truth = reference::weight_quant(values, absmean);
    const auto bounds = validate::weight_bounds(values, truth, p.rows * p.columns);
    for_each_element(out, block, [&](auto row, auto i, auto j, std::uint32_t bits) {
      comparison.fake_quantised("out", row, j, out->type, bits, bounds.t(i, j), bounds.t_error(i, j),
                                truth.dequant_factor, bounds.scale_error, weight_rounding, least_weight_code,
                                most_weight_code);
    });
    for (std::int64_t i = 0; i < block.count; ++i) {
      const std::int64_t row = block.first + i;
      for (std::int64_t j = 0; codes != nullptr && j < p.columns; ++j) {
        comparison.code("codes", row, j, code_at(*codes, row * p.columns + j), bounds.t(i, j), bounds.t_error(i, j),
                        weight_rounding, least_weight_code, most_weight_code);
      }
      if (packed == nullptr) continue;
      const PackedCodes view(*packed, p.rows, p.columns, given.switches.packing);
      compare_packed(view, row, bounds.t, bounds.t_error, i, comparison);
      compare_packed_scales(view, row, p.columns, truth.dequant_factor, bounds.scale_error, comparison);
    }
  });
  const HostTensor* factor = given.tensor("dequant_factor");
  if (factor == nullptr) return;
  const auto truth = reference::weight_quant(Array(0, p.columns), absmean);
  const double error = validate::weight_bounds(Array(0, p.columns), truth, p.rows * p.columns).scale_error;
  total.value("dequant_factor", 0, 0, factor->type, bits_at(*factor, 0), truth.dequant_factor,
              truth.dequant_factor * error);
}

}  // namespace normquant::check
