// Launch arithmetic that the algorithms of norm_quant_backward share: scratch memory, rows side by side. Pure host code.
#pragma once

#include <algorithm>

#include "device/form.hpp"
#include "device/launch_sizes.hpp"
#include "device/support.hpp"

namespace normquant {

/// The backward's scratch memory: [parts, row_length] float32 partial sums of dweight, the same of dbias.
struct ColumnPartials {
  float* dweight = nullptr;  ///< null when dweight is not wanted
  float* dbias = nullptr;
  std::int64_t parts = 0;
  std::int64_t row_length = 0;  ///< N, and as many more as make a multiple of partial_columns
};

constexpr int partial_columns = 4;  ///< columns of a 16-byte access to the partial sums

inline std::int64_t partial_row_length(const NormQuantBackward& a) {
  return divide_up(a.columns, partial_columns) * partial_columns;
}

inline std::size_t column_partials_bytes(const NormQuantBackward& a, std::int64_t parts) {
  const std::int64_t vectors = (a.dweight.given() ? 1 : 0) + (a.dbias.given() ? 1 : 0);
  return vectors == 0 ? 0 : sizeof(float) * static_cast<std::size_t>(vectors * parts * partial_row_length(a));
}

inline ColumnPartials column_partials(const NormQuantBackward& a, std::int64_t parts, void* workspace) {
  ColumnPartials partials;
  partials.parts = parts;
  partials.row_length = partial_row_length(a);
  float* next = static_cast<float*>(workspace);
  if (a.dweight.given()) {
    partials.dweight = next;
    next += parts * partials.row_length;
  }
  if (a.dbias.given()) partials.dbias = next;
  return partials;
}

/// A variant's requested_bytes where the partial sums are written once and read once.
inline std::int64_t requests_partials_twice(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a,
                                            const DeviceInfo& device) {
  return algorithmic_bytes(a) + 2 * static_cast<std::int64_t>(variant.workspace_bytes(variant, a, device));
}

/// Elements of a packet of 16 bytes.
inline int elements_per_packet(const NormQuantBackward& a) { return 16 / static_cast<int>(size_of(a.h.type)); }

/// How a problem is shared out where blocks walk over the matrix. rows: side by side in a block, as many as registers and shared
/// memory hold, but not before every multiprocessor has a block. stages: rows that a thread has at work and under way. sets:
/// blocks, or clusters, that walk; 0 when there are no rows.
struct Walk {
  int rows = 1, stages = 2;
  std::int64_t sets = 0;
};

/// `most` rows side by side at most, a multiple of `least`. fits(rows, stages): whether shared memory holds them.
template <class Fits>
Walk walk_of(std::int64_t most, int least, int most_stages, Fits&& fits) {
  Walk walk;
  walk.rows = std::max(least, static_cast<int>(most / least) * least);
  while (walk.rows > least && !fits(walk.rows, 2)) walk.rows -= least;
  walk.stages = fits(walk.rows, most_stages) ? most_stages : 2;
  return walk;
}

}  // namespace normquant
