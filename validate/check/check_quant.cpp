// activation_quant and weight_quant of given tensors, and what all quantised outputs share.
#include <normquant/weight_quant.hpp>

#include "reference/activation_quant.hpp"
#include "reference/weight_quant.hpp"
#include "validate/check/blocks.hpp"

namespace normquant::check {
namespace {

constexpr double least_code = -128, most_code = 127;

int code_at(const std::vector<unsigned char>& codes, std::int64_t index) {
  return static_cast<std::int8_t>(codes[static_cast<std::size_t>(index)]);
}

}  // namespace

void compare_quantised(const Given& given, Block block, const validate::QuantBounds& bounds, Comparison& comparison) {
  const validate::Problem& p = given.problem;
  const reference::Rounding rounding = reference_rounding(p.rounding);
  const HostTensor* out = given.tensor("out");
  for_each_element(out, block, [&](auto row, auto i, auto j, std::uint32_t bits) {
    comparison.fake_quantised("out", row, j, out->type, bits, bounds.t(i, j), bounds.t_error(i, j),
                              bounds.dequant_scale(i), bounds.scale_error(i), rounding, least_code, most_code);
  });
  if (const auto* codes = given.dense("codes")) {
    for (std::int64_t i = 0; i < block.count; ++i) {
      for (std::int64_t j = 0; j < p.columns; ++j) {
        comparison.code("codes", block.first + i, j, code_at(*codes, (block.first + i) * p.columns + j), bounds.t(i, j),
                        bounds.t_error(i, j), rounding, least_code, most_code);
      }
    }
  }
  compare_rows(
      given, "dequant_scale", block, comparison, [&](auto i) { return bounds.dequant_scale(i); },
      [&](auto i) { return bounds.dequant_scale(i) * bounds.scale_error(i); });
}

void check_activation(const Given& given, Comparison& comparison) {
  for_each_block(given.problem, [&](Block block) {
    const Array x = rows_of(*given.tensor("x"), block);
    const auto truth = reference::activation_quant(x, reference_rounding(given.problem.rounding));
    compare_quantised(given, block, validate::activation_bounds(x, truth), comparison);
  });
}

void check_weight(const Given& given, Comparison& comparison) {
  constexpr reference::Rounding rounding = reference::Rounding::half_even;
  constexpr double least = -1, most = 1;
  const validate::Problem& p = given.problem;
  const HostTensor& w = *given.tensor("w");
  const HostTensor* out = given.tensor("out");
  const auto *codes = given.dense("codes"), *packed = given.dense("packed");
  // One scale for the whole matrix: its blocks' sums first.
  double sum = 0;
  for_each_block(p, [&](Block block) { sum += rows_of(w, block).abs().sum(); });
  const double absmean = sum / static_cast<double>(p.rows * p.columns);
  const std::int64_t packed_bytes = packed_row_bytes(p.columns);
  for_each_block(p, [&](Block block) {
    const Array values = rows_of(w, block);
    const auto truth = reference::weight_quant(values, absmean);
    const auto bounds = validate::weight_bounds(values, truth, p.rows * p.columns);
    for_each_element(out, block, [&](auto row, auto i, auto j, std::uint32_t bits) {
      comparison.fake_quantised("out", row, j, out->type, bits, bounds.t(i, j), bounds.t_error(i, j),
                                truth.dequant_factor, bounds.scale_error, rounding, least, most);
    });
    for (std::int64_t i = 0; i < block.count; ++i) {
      const std::int64_t row = block.first + i;
      for (std::int64_t j = 0; codes != nullptr && j < p.columns; ++j) {
        comparison.code("codes", row, j, code_at(*codes, row * p.columns + j), bounds.t(i, j), bounds.t_error(i, j),
                        rounding, least, most);
      }
      for (std::int64_t j = 0; packed != nullptr && j < 4 * packed_bytes; ++j) {
        const unsigned byte = (*packed)[static_cast<std::size_t>(row * packed_bytes + j / 4)];
        const int code = static_cast<int>((byte >> (2 * (j % 4))) & 3U) - 1;
        if (j < p.columns) {
          comparison.code("packed", row, j, code, bounds.t(i, j), bounds.t_error(i, j), rounding, least, most);
        } else if (code != 0) {
          comparison.wrong("packed", row, j, "code 0 past the last column", std::to_string(code));
        }
      }
    }
  });
  const HostTensor* factor = given.tensor("dequant_factor");
  if (factor == nullptr) return;
  const auto truth = reference::weight_quant(Array(0, p.columns), absmean);
  const double error = validate::weight_bounds(Array(0, p.columns), truth, p.rows * p.columns).scale_error;
  comparison.value("dequant_factor", 0, 0, factor->type, bits_at(*factor, 0), truth.dequant_factor,
                   truth.dequant_factor * error);
}

}  // namespace normquant::check
