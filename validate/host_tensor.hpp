// Values in their storage type on the CPU side, and the same values widened to float64.
#pragma once

#include <Eigen/Core>

#include <cstdint>
#include <string>
#include <vector>

#include <normquant/types.hpp>

namespace normquant::validate {

using Array = Eigen::Array<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Rounds to the type (to nearest even, from float32) and answers the element's bits.
std::uint32_t encode(DType type, double value);
/// The value of one element's bits.
double decode(DType type, std::uint32_t bits);
/// Reads the element at `bytes`.
double decode_at(DType type, const unsigned char* bytes);
/// Unit roundoff of the type: half the distance from 1 to the next number.
double unit_roundoff(DType type);
/// Half the smallest subnormal of the type: the most that rounding a tiny value can lose.
double half_smallest(DType type);
/// Values from here on (in magnitude) round to infinity.
double overflow_from(DType type);

/// A dense matrix (or vector: one row) of elements in their storage type.
struct HostTensor {
  DType type = DType::float32;
  std::int64_t rows = 0, columns = 0;
  std::vector<unsigned char> bytes;

  /// `values` rounded once to `type`.
  static HostTensor of(DType type, const Array& values);
  Array values() const;
};

}  // namespace normquant::validate
