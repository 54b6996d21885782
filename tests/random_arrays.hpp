// Random values for tests of the reference, and the measure that they are compared by.
#pragma once

#include <cstdint>
#include <limits>
#include <random>

#include "reference/types.hpp"

namespace normquant::reference {

inline constexpr double infinity = std::numeric_limits<double>::infinity();

/// From the normal distribution; the same seed gives the same values.
inline Array random_array(Eigen::Index row_count, Eigen::Index columns, std::uint64_t seed) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<double> normal;
  return Array::NullaryExpr(row_count, columns, [&] { return normal(generator); });
}

inline Vector random_vector(Eigen::Index size, std::uint64_t seed) { return random_array(size, 1, seed).col(0); }

/// Largest difference; NaN when there is one. Accept by worst_error <= bound.
inline double worst_error(const Array& a, const Array& b) { return (a - b).abs().maxCoeff<Eigen::PropagateNaN>(); }

}  // namespace normquant::reference
