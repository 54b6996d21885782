#include "validate/inputs.hpp"

#include <cmath>
#include <limits>
#include <numbers>

namespace normquant::validate {
namespace {

/// SplitMix64's output function: a hash of a counter, so that every element has a value of its own whatever the order.
std::uint64_t hashed(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

/// A standard normal number (Box and Muller 1958) for each (stream, index).
double standard_normal(std::uint64_t stream, std::uint64_t index) {
  const std::uint64_t a = hashed(stream + (2 * index + 1) * 0x9E3779B97F4A7C15ULL);
  const std::uint64_t b = hashed(stream + (2 * index + 2) * 0x9E3779B97F4A7C15ULL);
  const double u = (static_cast<double>(a >> 11) + 1) * 0x1p-53;  // in (0, 1]
  const double v = static_cast<double>(b >> 11) * 0x1p-53;
  return std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v);
}

Array normal_values(const Problem& problem, Tensor tensor, std::int64_t rows, std::int64_t columns) {
  const std::uint64_t stream = hashed(problem.seed * 16 + static_cast<std::uint64_t>(tensor));
  Array values(rows, columns);
  for (Eigen::Index i = 0; i < values.size(); ++i)
    values.data()[i] = standard_normal(stream, static_cast<std::uint64_t>(i));
  return values;
}

/// Rows whose absmax is 127 * 2^k and whose other elements are 2^k * (integer + 1/2): with quant_scale = 2^-k they are
/// exact ties in every rounding. They have 8 significant bits at most, so every storage type holds them exactly.
Array tie_values(std::int64_t rows, std::int64_t columns, bool one_scale) {
  Array values(rows, columns);
  for (Eigen::Index i = 0; i < rows; ++i) {
    const double scale = one_scale ? 1.0 : std::exp2(static_cast<double>(i % 5 - 2));
    for (Eigen::Index j = 0; j < columns; ++j) {
      const double magnitude = j == 0 ? 127.0 : static_cast<double>((j * 37) % 127) + 0.5;
      values(i, j) = scale * (j % 2 == 0 ? magnitude : -magnitude);
    }
  }
  return values;
}

/// Magnitudes whose squares still sum up in float32 over a million columns; for float16 near its largest number.
double large_scale(DType type) { return type == DType::float16 ? 1e4 : 1e15; }

/// Magnitudes whose product is 1e40, beyond float32, while each alone and x's square are not. float16 has no such x, so
/// its weight is the larger one; a float16 weight stays finite and nothing overflows.
double huge_weight_x_scale(DType x) { return x == DType::float16 ? 1e4 : 1e10; }
double huge_weight_scale(DType x, DType weight) {
  return weight == DType::float16 ? 4e4 : 1e40 / huge_weight_x_scale(x);
}

Array x_values(const Problem& problem, std::int64_t rows, std::int64_t columns) {
  const auto normal = [&] { return normal_values(problem, Tensor::x, rows, columns); };
  const auto only_column = [&](auto column_of_row) {
    Array values = Array::Zero(rows, columns);
    for (Eigen::Index i = 0; i < rows; ++i) values(i, column_of_row(i)) = 3.0;
    return values;
  };
  const auto with_one = [&](double value) {
    Array values = normal();
    if (rows > 0) values(rows / 2, columns / 3) = value;
    return values;
  };
  switch (problem.values) {
    case Values::normal: break;
    case Values::outlier_columns: {
      Array values = normal();
      for (Eigen::Index j = 5; j < columns; j += 64) values.col(j) *= 100.0;
      return values;
    }
    case Values::constant: return Array::Constant(rows, columns, 0.75);
    case Values::zeros: return Array::Zero(rows, columns);
    case Values::one_hot: return only_column([&](Eigen::Index i) { return (7 * i + 3) % columns; });
    case Values::last_column: return only_column([&](Eigen::Index) { return columns - 1; });
    case Values::huge_mean: return normal() + 1000.0;
    case Values::large: return normal() * large_scale(problem.x);
    case Values::tiny: return normal() * 1e-9;
    case Values::ties: return problem.op == Operation::activation_quant ? tie_values(rows, columns, false) : normal();
    case Values::one_nan: return with_one(std::numeric_limits<double>::quiet_NaN());
    case Values::one_inf: return with_one(std::numeric_limits<double>::infinity());
    case Values::huge_weight: {
      Array values = normal();
      for (Eigen::Index i = 0; i < rows; i += 2) values.row(i) *= huge_weight_x_scale(problem.x);
      return values;
    }
  }
  return normal();
}

}  // namespace

Array input_values(const Problem& problem, Tensor tensor, std::int64_t rows, std::int64_t columns) {
  const bool ties = problem.values == Values::ties, huge_weight = problem.values == Values::huge_weight;
  const double weight_scale = huge_weight ? huge_weight_scale(problem.x, problem.weight.value_or(problem.x)) : 1.0;
  switch (tensor) {
    case Tensor::x: return x_values(problem, rows, columns);
    case Tensor::weight:
      if (ties) return Array::Zero(rows, columns);
      return weight_scale * (1.0 + 0.1 * normal_values(problem, tensor, rows, columns));
    case Tensor::bias:
      if (ties) return tie_values(rows, columns, true);
      return 0.1 * normal_values(problem, tensor, rows, columns);
    default: return normal_values(problem, tensor, rows, columns);
  }
}

HostTensor input_tensor(const Problem& problem, Tensor tensor, DType type, std::int64_t rows, std::int64_t columns) {
  return HostTensor::of(type, input_values(problem, tensor, rows, columns));
}

}  // namespace normquant::validate
