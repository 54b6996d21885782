#include "validate/moment_bounds.hpp"

#include <algorithm>
#include <cmath>

namespace normquant::validate {

namespace {

using namespace float32_arithmetic;

MomentErrors two_pass_errors(const RowMoments& row, double depth) {
  MomentErrors errors;
  // The mean of one column is that column: nothing is added, and a quotient by 1 is exact.
  if (row.layer && row.magnitudes > 0 && row.columns > 1) {
    errors.mean = gamma(depth + division) * row.magnitudes / static_cast<double>(row.columns) + underflow;
  }
  // var: h - mean (twice, squared), the product, the sum, / N, + eps; and the square of the mean's own error.
  errors.var = gamma(depth + 4 + division) + (errors.mean * errors.mean + underflow) / row.power;
  return errors;
}

/// Errors of Welford's updates in chains of `chain` elements, then `merges` merges a term; docs/numerics.md derives each term.
MomentErrors welford_errors(const RowMoments& row, double chain, int merges) {
  const double mean = std::abs(row.mean), sigma = std::sqrt(row.var), update = 2 + division, merge = 3 + division;
  const double logarithm = std::sqrt(1 + std::log(chain));
  // Root mean square, over the updates, of the error of the running mean they start from; in units of u.
  const double in_chain =
      chain * (mean / std::sqrt(12.0) + sigma * std::sqrt(2.0) / 3) + update * std::sqrt(2.0) * logarithm * sigma;
  double squares = in_chain * in_chain;
  // Of the means that a merge starts from.
  const auto after = [&](double level) {
    return ((chain + 1) / 2 + merge * level) * mean + (2 * chain / 3 + update * std::sqrt(2.0) + merge * level) * sigma;
  };
  for (int level = 0; level < merges; ++level) squares += after(level) * after(level);
  const double own_update = std::sqrt(2.0) * (mean + sigma * logarithm);
  MomentErrors errors;
  errors.mean = second_order * u * after(merges) + underflow;
  errors.var =
      gamma(chain + 2 * merges + 8 + 2 * division) +
      (second_order * u * sigma * (2 * std::sqrt(squares) + own_update) + u * u * squares + underflow) / row.power;
  return errors;
}

/// The largest over all ways to share the row: 2^merges threads at least half as many as there are parts.
MomentErrors largest_welford_errors(const RowMoments& row) {
  const auto n = static_cast<double>(row.columns);
  MomentErrors largest;
  for (int merges = 0; merges <= most_welford_merges && std::ldexp(1.0, merges) < 2 * n; ++merges) {
    const double chain = std::min(welford_chain(row.columns), std::ceil(std::ldexp(n, 1 - merges)));
    const MomentErrors errors = welford_errors(row, chain, merges);
    largest = {std::max(largest.mean, errors.mean), std::max(largest.var, errors.var)};
  }
  return largest;
}

}  // namespace

double welford_chain(std::int64_t columns) {
  const auto n = static_cast<double>(columns);
  return columns <= 96 ? n : 32 + n / 128;
}

MomentErrors moment_errors(const RowMoments& row, Algorithm algorithm) {
  const double depth = row_sum_depth(row.columns);
  if (algorithm == Algorithm::two_pass) return two_pass_errors(row, depth);
  // RMS norm has nothing to update; what people write beside Welford's layer norm shares the row in the same way.
  const double shared = std::max(depth, welford_chain(row.columns) + most_welford_merges);
  if (!row.layer) return two_pass_errors(row, std::min(shared, static_cast<double>(row.columns)));
  if (row.columns == 1) return two_pass_errors(row, depth);
  const MomentErrors welford = largest_welford_errors(row);
  if (algorithm == Algorithm::welford) return welford;
  const MomentErrors two_pass = two_pass_errors(row, depth);
  return {std::max(two_pass.mean, welford.mean), std::max(two_pass.var, welford.var)};
}

}  // namespace normquant::validate
