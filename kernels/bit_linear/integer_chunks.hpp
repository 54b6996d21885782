// The rows that the layer's variant `integer` multiplies at a time.
#pragma once

#include <algorithm>
#include <cstdint>

#include <normquant/device.hpp>

namespace normquant {

/// A chunk has at least so many rows, and a multiple of them.
inline constexpr std::int64_t least_chunk_rows = 256;

/// Bytes of a chunk's int32 sums at most, but for a chunk of least_chunk_rows. Chunks so small that the L2 keeps their sums were
/// slower (docs/performance.md). On the host device they are, so that small problems have several.
constexpr std::int64_t integer_chunk_bytes(DeviceKind kind) { return kind == DeviceKind::host ? 64 << 10 : 512 << 20; }

/// Rows of every chunk but the last, for a product of `rows` rows and `k_out` columns.
constexpr std::int64_t rows_of_chunk(std::int64_t rows, std::int64_t k_out, DeviceKind kind) {
  const std::int64_t most = integer_chunk_bytes(kind) / (4 * k_out);
  return std::min(rows, std::max(most / least_chunk_rows * least_chunk_rows, least_chunk_rows));
}

}  // namespace normquant
