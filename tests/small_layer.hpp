// A small layer with drawn parameters, for tests of the reference.
#pragma once

#include <gtest/gtest.h>

#include "reference/bit_linear.hpp"
#include "tests/random_arrays.hpp"

namespace normquant::reference {

inline constexpr Eigen::Index row_count = 3, inputs = 7, outputs = 4;

inline BitLinearParameters random_parameters(Eigen::Index columns = inputs) {
  return {random_vector(columns, 1), random_vector(columns, 2), random_array(outputs, columns, 3),
          random_vector(outputs, 4)};
}

inline Array x_values() { return random_array(row_count, inputs, 5); }
inline Array dout_values() { return random_array(row_count, outputs, 6); }
inline Array dresidual_values() { return random_array(row_count, inputs, 7); }

/// a * b by plain loops.
inline Array loop_product(const Array& a, const Array& b) {
  Array sum = Array::Zero(a.rows(), b.cols());
  for (Eigen::Index i = 0; i < a.rows(); ++i)
    for (Eigen::Index j = 0; j < b.cols(); ++j)
      for (Eigen::Index k = 0; k < a.cols(); ++k) sum(i, j) += a(i, k) * b(k, j);
  return sum;
}

/// Two orders of a float64 sum of a few products below 100 in size.
inline constexpr double product_bound = 16 * 0x1p-53 * 100.0;

inline void expect_same_numbers(const BitLinearForwardResult& a, const BitLinearForwardResult& b) {
  EXPECT_TRUE((a.out == b.out).all());
  EXPECT_TRUE((a.y_q == b.y_q).all());
  EXPECT_TRUE((a.w_q == b.w_q).all());
  EXPECT_TRUE((a.h == b.h).all());
  EXPECT_TRUE((a.rstd == b.rstd).all());
}

}  // namespace normquant::reference
