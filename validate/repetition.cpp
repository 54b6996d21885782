#include "validate/repetition.hpp"

#include <algorithm>
#include <numeric>
#include <optional>

namespace normquant::validate {
namespace {

/// The widest access of a thread, in bytes.
constexpr std::int64_t widest_access = 16;

/// Elements a tensor of the reference, in float64: 61 * 16 rows of up to 4297 columns.
constexpr std::int64_t most_elements = std::int64_t{1} << 22;

/// After how many rows of `row_bytes` each the alignment repeats: 1, 2, 4, 8 or 16.
std::int64_t alignment_period(std::int64_t row_bytes) { return widest_access / std::gcd(row_bytes, widest_access); }

/// The same for all matrices of the problem at once: the longest, for all are powers of two.
std::int64_t alignment_period(const Problem& p) {
  if (p.op == Operation::weight_quant) return 1;  // its only sum is that of the whole matrix
  // Padded and dense rows; what else strides differ by is a multiple of 16 elements.
  const std::int64_t padded = p.columns + p.row_padding, dense = p.dense_inputs || p.dense_outputs ? p.columns : padded;
  const auto of_elements = [&](std::int64_t bytes) {
    std::int64_t period = std::max(alignment_period(padded * bytes), alignment_period(dense * bytes));
    for (const auto& [tensor, own] : p.paddings) period = std::max(period, alignment_period((p.columns + own) * bytes));
    return period;
  };
  std::int64_t period = p.codes ? of_elements(1) : 1;
  for (const std::optional<DType>& type :
       {std::optional(p.x), p.residual, p.residual_out, p.out, p.dy, p.dresidual, p.dx_residual, p.dx}) {
    if (type) period = std::max(period, of_elements(static_cast<std::int64_t>(size_of(*type))));
  }
  return period;
}

}  // namespace

std::int64_t distinct_rows(const Problem& problem) {
  const std::int64_t alignment = alignment_period(problem);
  for (const std::int64_t prime : {61, 31, 13, 7}) {
    if (prime * alignment * problem.columns <= most_elements) return prime * alignment;
  }
  return 3 * alignment;
}

}  // namespace normquant::validate
