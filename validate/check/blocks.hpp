// Rows of given tensors, a block at a time, so that the float64 reference stays small.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "validate/bounds.hpp"
#include "validate/check/given.hpp"
#include "validate/comparison.hpp"
#include "validate/reference_types.hpp"

namespace normquant::check {

using validate::Array;
using validate::Comparison;
using validate::HostTensor;
using validate::reference_norm;
using validate::reference_rounding;
using validate::reference_storage;
using validate::Vector;

/// Rows [first, first + count).
struct Block {
  std::int64_t first = 0, count = 0;
};

/// Calls visit(block) for all rows, about a million elements at a time.
template <class Visit>
void for_each_block(const validate::Problem& p, Visit visit) {
  const std::int64_t most = std::max<std::int64_t>(1, (std::int64_t{1} << 20) / p.columns);
  for (std::int64_t first = 0; first < p.rows; first += most) visit(Block{first, std::min(most, p.rows - first)});
}

inline std::uint32_t bits_at(const HostTensor& tensor, std::int64_t index) {
  std::uint32_t bits = 0;
  const std::size_t size = size_of(tensor.type);
  std::memcpy(&bits, tensor.bytes.data() + static_cast<std::size_t>(index) * size, size);
  return bits;
}

/// The block of a matrix, widened.
inline Array rows_of(const HostTensor& tensor, Block block) {
  Array values(block.count, tensor.columns);
  for (Eigen::Index i = 0; i < values.size(); ++i) {
    values.data()[i] = validate::decode(tensor.type, bits_at(tensor, block.first * tensor.columns + i));
  }
  return values;
}

/// `count` values of a vector from `first` on.
inline Vector vector_of(const HostTensor& tensor, std::int64_t first, std::int64_t count) {
  Vector values(count);
  for (Eigen::Index i = 0; i < count; ++i) values(i) = validate::decode(tensor.type, bits_at(tensor, first + i));
  return values;
}
inline Vector vector_of(const HostTensor& tensor) { return vector_of(tensor, 0, tensor.columns); }

/// Calls compare(row, row within the block, column, bits) for the block of a matrix that is given.
template <class Compare>
void for_each_element(const HostTensor* tensor, Block block, Compare compare) {
  if (tensor == nullptr) return;
  for (std::int64_t i = 0; i < block.count; ++i) {
    for (std::int64_t j = 0; j < tensor->columns; ++j) {
      compare(block.first + i, i, j, bits_at(*tensor, (block.first + i) * tensor->columns + j));
    }
  }
}

/// A value a row: truth(i) and absolute bound(i) of the block's row i.
template <class Truth, class Bound>
void compare_rows(const Given& given, std::string_view role, Block block, Comparison& comparison, Truth truth,
                  Bound bound) {
  const HostTensor* tensor = given.tensor(role);
  if (tensor == nullptr) return;
  for (std::int64_t i = 0; i < block.count; ++i) {
    comparison.value(role, block.first + i, 0, tensor->type, bits_at(*tensor, block.first + i), truth(i), bound(i));
  }
}

/// out, codes and dequant_scale of a row-wise quantisation, as far as they are given.
void compare_quantised(const Given& given, Block block, const validate::QuantBounds& bounds, Comparison& comparison);

void check_forward(const Given& given, Comparison& comparison);
void check_backward(const Given& given, Comparison& comparison);
void check_activation(const Given& given, Comparison& comparison);
void check_weight(const Given& given, Comparison& comparison);

}  // namespace normquant::check
