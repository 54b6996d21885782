// Where the tensors of a problem start.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "validate/problem.hpp"

namespace normquant::validate {

/// What DeviceTensor needs to know of it.
struct Placement {
  std::size_t past = 0;  ///< bytes past a multiple of 256
  GuardPage guard = GuardPage::none;
};

/// Bytes from the first element of a tensor to the end of its last row.
inline std::size_t body_bytes(std::int64_t rows, std::int64_t columns, std::int64_t ld, std::size_t element_bytes) {
  return rows == 0 ? 0 : static_cast<std::size_t>((rows - 1) * ld + columns) * element_bytes;
}

/// Of the tensor of that name, which has so many bytes. With a guard page behind it it ends where the page begins, unless the
/// problem says by an offset where it starts.
inline Placement placement_of(const Problem& problem, std::string_view name, std::size_t bytes,
                              std::size_t element_bytes) {
  constexpr std::size_t boundary = 256;
  const auto own = problem.offsets.find(name);
  const bool is_said = own != problem.offsets.end() || problem.offset != 0;
  if (problem.guard == GuardPage::behind && !is_said) return {(boundary - bytes % boundary) % boundary, problem.guard};
  const int offset = own != problem.offsets.end() ? own->second : problem.offset;
  return {static_cast<std::size_t>(offset) * element_bytes, problem.guard};
}

}  // namespace normquant::validate
