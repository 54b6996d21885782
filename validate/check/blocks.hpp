// Rows of given tensors, a block at a time, so that the float64 reference stays small.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <future>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "reference/norm_quant_forward.hpp"
#include "validate/bounds.hpp"
#include "validate/check/check.hpp"
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

/// What a block adds to sums over all rows, where there are none.
struct Nothing {};

/// Calls part = visit(block, comparison) for blocks of all rows, several at a time; then, in the order of the rows, take(part).
/// What the blocks' comparisons found is added to `total` in that order too.
template <class Visit, class Take>
void for_each_block(const validate::Problem& p, const Walk& walk, Comparison& total, Visit visit, Take take) {
  using Part = std::invoke_result_t<Visit, Block, Comparison&>;
  const std::int64_t most = std::max<std::int64_t>(1, (std::int64_t{1} << 18) / p.columns);
  for (std::int64_t first = 0; first < p.rows;) {
    std::vector<std::future<std::pair<Part, validate::Verdict>>> parts;
    for (int thread = 0; thread < walk.threads && first < p.rows; ++thread, first += most) {
      const Block block{first, std::min(most, p.rows - first)};
      // One thread needs no other.
      parts.push_back(std::async(walk.threads == 1 ? std::launch::deferred : std::launch::async, [&visit, block] {
        Comparison own;
        Part part = visit(block, own);
        return std::pair(std::move(part), own.verdict());
      }));
    }
    for (auto& future : parts) {
      auto [part, found] = future.get();
      total.merge(found);
      take(std::move(part));
    }
    if (walk.stop_at_wrong && total.verdict().outcome != validate::Outcome::pass) return;
    if (walk.progress) walk.progress(std::min(first, p.rows), p.rows);
  }
}
template <class Visit>
void for_each_block(const validate::Problem& p, const Walk& walk, Comparison& total, Visit visit) {
  for_each_block(
      p, walk, total,
      [&visit](Block block, Comparison& comparison) {
        visit(block, comparison);
        return Nothing{};
      },
      [](Nothing) {});
}

inline std::uint32_t bits_at(const HostTensor& tensor, std::int64_t index) {
  std::uint32_t bits = 0;
  const std::size_t size = size_of(tensor.type);
  std::memcpy(&bits, tensor.bytes.data() + static_cast<std::size_t>(index) * size, size);
  return bits;
}

/// Widens `count` elements from `first` on.
inline void widen(const HostTensor& tensor, std::int64_t first, std::int64_t count, double* to) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = validate::decode(tensor.type, bits_at(tensor, first + i));
}

/// The block of a matrix, widened.
inline Array rows_of(const HostTensor& tensor, Block block) {
  Array values(block.count, tensor.columns);
  widen(tensor, block.first * tensor.columns, values.size(), values.data());
  return values;
}

/// `count` values of a vector from `first` on.
inline Vector vector_of(const HostTensor& tensor, std::int64_t first, std::int64_t count) {
  Vector values(count);
  widen(tensor, first, count, values.data());
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

/// What the forward normalises, of a block's rows.
struct SummedRows {
  Array stored;  ///< x + residual, rounded as residual_out keeps it; not rounded where there is none
  Array source;  ///< the one of the two that the statistics are of (Problem::h_source)
};
SummedRows summed_rows(const Given& given, Block block);
/// mean and rstd, as far as they are given.
void compare_statistics(const Given& given, Block block, const reference::NormQuantForwardResult& truth,
                        const validate::ForwardBounds& bounds, Comparison& comparison);
/// residual_out, where it is given.
void compare_residual_out(const Given& given, Block block, const SummedRows& rows, Comparison& comparison);

/// The bounds with the scale that the switches ask for: the right one, but for Switches::scale_of_int8.
validate::QuantBounds slipped(const Given& given, validate::QuantBounds bounds);
/// out, codes and dequant_scale of a row-wise quantisation, as far as they are given.
void compare_quantised(const Given& given, Block block, const validate::QuantBounds& bounds, Comparison& comparison);

void check_forward(const Given& given, const Walk& walk, Comparison& total);
void check_backward(const Given& given, const Walk& walk, Comparison& total);
void check_activation(const Given& given, const Walk& walk, Comparison& total);
void check_weight(const Given& given, const Walk& walk, Comparison& total);
void check_layer_forward(const Given& given, const Walk& walk, Comparison& total);
void check_layer_backward(const Given& given, const Walk& walk, Comparison& total);

/// The norm that is quantised, of forward, norm, backward and the layer.
reference::NormQuantForward forward_of(const Given& given);
/// Rows of the block of a value a row that is given; empty when it is not.
Vector values_of_rows(const Given& given, std::string_view role, Block block);

}  // namespace normquant::check
