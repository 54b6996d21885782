#include "validate/inputs.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <numbers>

#include "reference/types.hpp"

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

/// The i-th point midway between two codes, from 0 up.
double midpoint(QuantFormat format, std::int64_t i) {
  if (format == QuantFormat::int8) return static_cast<double>(i % 127) + 0.5;
  const auto below = static_cast<unsigned>(i % 126);
  return (reference::e4m3::of_bits(below) + reference::e4m3::of_bits(below + 1)) / 2;
}

/// Rows whose absmax is 127 * 2^k (fp8: 448 * 2^k) and whose other elements are 2^k times points midway between two codes: with
/// quant_scale = 2^-k they are exact ties. They have 8 significant bits at most, so every storage type holds them exactly.
Array tie_values(QuantFormat format, std::int64_t rows, std::int64_t columns, bool one_scale) {
  Array values(rows, columns);
  for (Eigen::Index i = 0; i < rows; ++i) {
    const double scale = one_scale ? 1.0 : std::exp2(static_cast<double>(i % 5 - 2));
    for (Eigen::Index j = 0; j < columns; ++j) {
      const double magnitude = j == 0 ? static_cast<double>(largest_code(format)) : midpoint(format, j * 37);
      values(i, j) = scale * (j % 2 == 0 ? magnitude : -magnitude);
    }
  }
  return values;
}

/// Rows whose absmax is 127 (fp8: 448) and whose other elements are one float32 below or above such a point: exact where they are
/// stored, with quant_scale 1.
Array near_tie_values(QuantFormat format, std::int64_t rows, std::int64_t columns) {
  Array values(rows, columns);
  for (Eigen::Index i = 0; i < rows; ++i) {
    for (Eigen::Index j = 0; j < columns; ++j) {
      const auto tie = static_cast<float>(midpoint(format, j == 0 ? 0 : (j - 1) / 2));
      const float beside = std::nextafter(tie, (j + i) % 2 == 0 ? 500.0F : 0.0F);
      values(i, j) = static_cast<double>(j == 0 ? largest_code(format) : j / 2 % 2 == 0 ? beside : -beside);
    }
  }
  return values;
}

/// Whether what is quantised is y of a norm, not x itself.
bool follows_a_norm(Operation op) { return op != Operation::activation_quant && op != Operation::weight_quant; }

/// Pairs of half and three halves, so that their mean magnitude is exactly 1 and every first one a tie of ternary codes.
Array ternary_tie_values(std::int64_t rows, std::int64_t columns) {
  Array values(rows, columns);
  for (Eigen::Index i = 0; i < values.size(); ++i) {
    const bool alone = i % 2 == 0 && i + 1 == values.size();
    values.data()[i] = (i / 2 % 2 == 0 ? 1.0 : -1.0) * (alone ? 1.0 : i % 2 == 0 ? 0.5 : 1.5);
  }
  return values;
}

/// Rows whose squares sum up to six tenths of float32's largest number, so that a single column's variance lies beyond 1e38; of
/// float16 near its largest number.
Array large_values(DType type, Array values) {
  if (type == DType::float16) return values * 1e4;
  constexpr double squares = 0.6 * 0x1.fffffep127;
  for (Eigen::Index i = 0; i < values.rows(); ++i) values.row(i) *= std::sqrt(squares / values.row(i).square().sum());
  return values;
}

/// Magnitudes whose product is 1e40, beyond float32, while each alone and x's square are not. float16 has no such x, so
/// its weight is the larger one; a float16 weight stays finite and nothing overflows.
double huge_weight_largest_x(DType x) { return x == DType::float16 ? 1e4 : 1e10; }
double huge_weight_scale(DType x, DType weight) {
  return weight == DType::float16 ? 4e4 : 1e40 / huge_weight_largest_x(x);
}
/// Of three rows one is that large, one usual, one so small that with a small eps the weight times rstd overflows.
double huge_weight_x_scale(DType x, std::int64_t row) {
  return row % 3 == 0 ? huge_weight_largest_x(x) : row % 3 == 1 ? 1 : x == DType::float16 ? 1e-4 : 1e-10;
}

/// Magnitudes of `huge` in a row of x: the row's absmax lies between 1e30 and float32's largest, near either and amid. Of weights
/// the sum of a few thousand must still be finite.
double huge_scale(Operation op, DType type, std::int64_t row) {
  constexpr double scales[] = {2e30, 1e34, 2e37};
  if (type == DType::float16) return 1e4;
  return op == Operation::weight_quant ? 1e33 : scales[row % 3];
}

/// What makes y of a norm `huge`. float16 has no such weights, and could not hold such outputs.
double huge_output_scale(DType x, DType weight) { return x == DType::float16 || weight == DType::float16 ? 1e4 : 1e32; }

/// The largest finite number; of weights a thread's float32 sum of 144 must still be finite.
double largest_value(Operation op, DType type) {
  if (type == DType::float16) return 65504;
  if (op == Operation::weight_quant) return 1e35;
  return type == DType::float32 ? 0x1.fffffep127 : 0x1.fep127;
}

/// Rows whose mean and deviation are not those of other rows. How far the mean lies from zero beside the deviation decides how a kernel
/// may take the variance (docs/numerics.md), so there are ratios from 0.1 to 1000, means of both signs, and rows far larger and far
/// smaller than others, of which one has squares that overflow though the variance does not; in float16 as far as it reaches.
Array mean_values(const Problem& problem, std::int64_t rows, std::int64_t columns) {
  struct Moments {
    double mean, deviation;
  };
  constexpr Moments all[] = {{-1000, 1}, {7, 0.05}, {-100, 3},     {-0.3, 1},      {20, 1},      {0.1, 1},
                             {-4, 1},    {2, 1},    {-2e15, 3e14}, {1e-12, 1e-13}, {3e19, 1e17}, {-8, 1}};
  const bool narrow = problem.x == DType::float16;
  Array values = normal_values(problem, Tensor::x, rows, columns);
  for (Eigen::Index i = 0; i < rows; ++i) {
    Moments m = all[(static_cast<std::uint64_t>(i) + problem.seed) % std::size(all)];
    if (narrow && std::abs(m.mean) > 1000) m = {-2e4, 3e3};
    if (narrow && m.deviation < 0.01) m = {1e-3, 1e-4};
    values.row(i) = values.row(i) * m.deviation + m.mean;
  }
  return values;
}

/// Activations as published of large language models (Dettmers et al. 2022, LLM.int8(); Xiao et al. 2023, SmoothQuant): every
/// column has a scale of its own, the same in all rows, and one in 512 is 30 times larger. The largest is below 5000, so float16
/// holds them.
Array activation_values(const Problem& problem, std::int64_t rows, std::int64_t columns) {
  Array values = normal_values(problem, Tensor::x, rows, columns);
  const std::uint64_t stream = hashed(problem.seed * 16);  // no tensor has this one
  for (Eigen::Index j = 0; j < columns; ++j) {
    const double scale = std::exp(0.7 * standard_normal(stream, static_cast<std::uint64_t>(j)));
    values.col(j) *= std::min(scale, 20.0) * (j % 512 == 77 ? 30.0 : 1.0);
  }
  return values;
}

/// Between -1 and 1.
Array uniform_values(const Problem& problem, std::int64_t rows, std::int64_t columns) {
  const std::uint64_t stream = hashed(problem.seed * 16 + static_cast<std::uint64_t>(Tensor::x));
  Array values(rows, columns);
  for (Eigen::Index i = 0; i < values.size(); ++i) {
    const std::uint64_t drawn = hashed(stream + static_cast<std::uint64_t>(i) * 0x9E3779B97F4A7C15ULL);
    values.data()[i] = static_cast<double>(drawn >> 11) * 0x1p-52 - 1;
  }
  return values;
}

double smallest_normal(DType type) { return type == DType::float16 ? 0x1p-14 : 0x1p-126; }

/// The floor of absmax; the usual one is 1e-5 itself.
double floor_of(const Problem& problem) {
  const float floor = problem.quantisation.floor;
  return floor == scale_floor ? reference::scale_floor : static_cast<double>(floor);
}

/// Rows whose largest magnitude is the floor times 1 - 2^-7, 1 and 1 + 2^-7 in turn.
Array floor_values(double floor, std::int64_t rows, std::int64_t columns) {
  Array values(rows, columns);
  for (Eigen::Index i = 0; i < rows; ++i) {
    const double absmax = floor * (1 + static_cast<double>(i % 3 - 1) * 0x1p-7);
    for (Eigen::Index j = 0; j < columns; ++j) {
      values(i, j) = (j % 2 == 0 ? absmax : -absmax) * (j == columns / 2 ? 1.0 : static_cast<double>(j % 64) / 64);
    }
  }
  return values;
}

/// The column of the one special value, `usual` unless the problem says which.
Eigen::Index special_column(const Problem& problem, std::int64_t columns, Eigen::Index usual) {
  return problem.at_column >= 0 ? problem.at_column % columns : usual;
}

Array x_values(const Problem& problem, std::int64_t rows, std::int64_t columns) {
  if (rows == 0) return Array(0, columns);  // a column of it would start nowhere
  const QuantFormat format = problem.quantisation.format;
  const auto normal = [&] { return normal_values(problem, Tensor::x, rows, columns); };
  const auto only_column = [&](auto column_of_row) {
    Array values = Array::Zero(rows, columns);
    for (Eigen::Index i = 0; i < rows; ++i) values(i, column_of_row(i)) = i % 2 == 0 ? 3.0 : -3.0;
    return values;
  };
  const auto with_one = [&](double value, Eigen::Index row, Eigen::Index column) {
    Array values = normal();
    values(problem.at_row >= 0 ? problem.at_row % rows : row, special_column(problem, columns, column)) = value;
    return values;
  };
  constexpr double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  switch (problem.values) {
    case Values::normal: break;
    case Values::outlier_columns: {
      Array values = normal();
      for (Eigen::Index j = 5; j < columns; j += 64) values.col(j) *= 100.0;
      return values;
    }
    case Values::constant: return Array::Constant(rows, columns, 0.75);
    case Values::zeros: return Array::Zero(rows, columns);
    case Values::one_hot:
      return only_column([&](Eigen::Index i) { return special_column(problem, columns, (7 * i + 3) % columns); });
    case Values::last_column: return only_column([&](Eigen::Index) { return columns - 1; });
    case Values::huge_mean: return normal() + 1000.0;
    case Values::means: return mean_values(problem, rows, columns);
    case Values::large: return large_values(problem.x, normal());
    case Values::tiny: return normal() * 1e-9;
    case Values::ties:
      if (problem.op == Operation::weight_quant) return ternary_tie_values(rows, columns);
      return problem.op == Operation::activation_quant ? tie_values(format, rows, columns, false) : normal();
    case Values::one_nan: return with_one(nan, rows / 2, columns / 3);
    case Values::one_inf: return with_one(infinity, rows / 2, columns / 3);
    case Values::last_nan: return with_one(nan, rows - 1, columns - 1);
    case Values::minus_inf: return with_one(-infinity, 0, columns / 2);
    case Values::minus_nan: return with_one(std::copysign(nan, -1.0), rows / 2, columns / 3);
    case Values::huge: {
      Array values = normal();
      if (follows_a_norm(problem.op)) return values;
      for (Eigen::Index i = 0; i < rows; ++i) values.row(i) *= huge_scale(problem.op, problem.x, i);
      return values;
    }
    case Values::nan_weight: break;
    case Values::one_large: return with_one(100.0, 0, columns / 2);
    case Values::near_ties:
      return problem.op == Operation::activation_quant ? near_tie_values(format, rows, columns) : normal();
    case Values::huge_weight: {
      Array values = normal();
      for (Eigen::Index i = 0; i < rows; ++i) values.row(i) *= huge_weight_x_scale(problem.x, i);
      return values;
    }
    case Values::negative_zeros: return Array::Constant(rows, columns, -0.0);
    case Values::largest: return normal().sign() * largest_value(problem.op, problem.x);
    case Values::subnormals: return normal().min(3.0).max(-3.0) / 4 * smallest_normal(problem.x);
    case Values::tiny_variance: return 0.01 * normal() + 100.0;
    case Values::at_floor:
      return follows_a_norm(problem.op) ? normal() : floor_values(floor_of(problem), rows, columns);
    case Values::last_row: {
      Array values = normal();
      if (rows > 1) values.topRows(rows - 1).setZero();
      return values;
    }
    case Values::uniform: return uniform_values(problem, rows, columns);
    case Values::activations: return activation_values(problem, rows, columns);
  }
  return normal();
}

/// `values` of the weight or the bias, `huge` times larger: all, or the one at at_column.
Array enlarged(const Problem& problem, double huge, Array values) {
  if (problem.at_column < 0) {
    values *= huge;
  } else if (values.size() > 0) {
    values(0, special_column(problem, values.cols(), 0)) *= huge;
  }
  return values;
}

/// `values`, which nan_weight spoils, and huge_weight makes `huge` times larger.
Array weight_values(const Problem& problem, double huge, const Array& normal) {
  Array values = enlarged(problem, huge, normal);
  if (problem.values == Values::nan_weight && values.size() > 0) {
    values(0, special_column(problem, values.cols(), values.cols() / 3)) = std::numeric_limits<double>::quiet_NaN();
  }
  return values;
}

}  // namespace

Array input_values(const Problem& problem, Tensor tensor, std::int64_t rows, std::int64_t columns) {
  // y is the bias where its values are what the problem is about.
  const bool floor = problem.values == Values::at_floor;
  const bool near_ties = problem.values == Values::near_ties, ties = problem.values == Values::ties || near_ties;
  const DType weight_type = problem.weight.value_or(problem.x);
  const double huge = problem.values == Values::huge_weight ? huge_weight_scale(problem.x, weight_type)
                      : problem.values == Values::huge      ? huge_output_scale(problem.x, weight_type)
                                                            : 1.0;
  switch (tensor) {
    case Tensor::x: return x_values(problem, rows, columns);
    case Tensor::weight:
      if (ties || floor) return Array::Zero(rows, columns);
      return weight_values(problem, huge, 1.0 + 0.1 * normal_values(problem, tensor, rows, columns));
    case Tensor::bias:
      if (near_ties) return near_tie_values(problem.quantisation.format, rows, columns);
      if (ties) return tie_values(problem.quantisation.format, rows, columns, true);
      if (floor) return floor_values(floor_of(problem), rows, columns);
      // As large beside the weight as ever, where its type has such numbers: a bias that is left out shows.
      return enlarged(problem, problem.bias == DType::float16 ? 1.0 : huge,
                      0.1 * normal_values(problem, tensor, rows, columns));
    case Tensor::linear_weight:
      // All codes 1: with constant rows the sums of products are as large as the depth allows.
      if (problem.values == Values::constant) return Array::Constant(rows, columns, 0.75);
      return normal_values(problem, tensor, rows, columns);
    default: return normal_values(problem, tensor, rows, columns);
  }
}

HostTensor input_tensor(const Problem& problem, Tensor tensor, DType type, std::int64_t rows, std::int64_t columns) {
  return HostTensor::of(type, input_values(problem, tensor, rows, columns));
}

}  // namespace normquant::validate
