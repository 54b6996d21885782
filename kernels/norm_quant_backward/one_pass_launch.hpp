// Launch arithmetic of norm_quant_backward's walk over rows of mixed types (one_pass.cu). Pure host code.
#pragma once

#include <string>

#include "norm_quant_backward/backward_launch.hpp"

namespace normquant::backward_one_pass_launch {

/// Threads of the largest block for that many columns a thread (four float32 each: xhat, wdy and the two sums), so that
/// nothing spills: a multiprocessor has 65536 registers.
constexpr int most_threads(int v, int k) {
  const int columns = v == 4 && k == 2 ? 2 * v * k : v * k;  // two short packets need registers for addresses too
  return columns <= 8 ? 1024 : columns <= 16 ? 512 : 256;
}

constexpr int most_columns = 32;  ///< columns a thread
/// Packets a thread: 8, but 4 of single elements, whose addresses need registers too.
constexpr int most_packets(int elements) { return elements == 1 ? 4 : 8; }

inline int elements(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a) {
  return elements_per_access(variant.tuning.access_bytes, a.h.type);
}

/// Packets a thread: the smallest compiled K that covers the row; 0 when none does.
inline int packets(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a) {
  const int v = elements(variant, a);
  const std::int64_t needed = divide_up(a.columns, static_cast<std::int64_t>(variant.tuning.threads_per_row) * v);
  for (int k = 1; k <= most_packets(v) && k * v <= most_columns; k *= 2) {
    if (k >= needed && variant.tuning.threads_per_row * variant.tuning.rows_per_block <= most_threads(v, k)) return k;
  }
  return 0;
}

/// Blocks of the persistent grid: as many as fit the device at a time, no more than there are rows for.
inline std::int64_t blocks(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a,
                           const DeviceInfo& device) {
  const Tuning& t = variant.tuning;
  const int resident = most_threads(elements(variant, a), packets(variant, a)) / (t.threads_per_row * t.rows_per_block);
  const std::int64_t most = static_cast<std::int64_t>(device.sm_count) * (resident < 1 ? 1 : resident);
  const std::int64_t useful = divide_up(a.rows, t.rows_per_block);
  return useful < most ? useful : most;
}

inline std::string why_not(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a, const DeviceInfo&) {
  if (packets(variant, a) == 0) {
    return "the row of " + std::to_string(a.columns) + " columns does not fit the registers of " +
           std::to_string(variant.tuning.threads_per_row) + " threads";
  }
  return why_not_packets(elements(variant, a), a);
}

inline std::size_t workspace_bytes(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a,
                                   const DeviceInfo& device) {
  return column_partials_bytes(a, blocks(variant, a, device));
}

/// Shared memory: the reductions' scratch, later the rows of a block side by side (rows_per_block > 1).
inline std::size_t shared_bytes(const Tuning& t, const NormQuantBackward& a) {
  const std::size_t scratch = row_scratch_bytes(t.threads_per_row, t.rows_per_block);
  const std::size_t side_by_side = t.rows_per_block > 1 ? sizeof(float) * static_cast<std::size_t>(a.columns) : 0;
  return scratch > side_by_side ? scratch : side_by_side;
}

}  // namespace normquant::backward_one_pass_launch
