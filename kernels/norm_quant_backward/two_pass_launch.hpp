// Launch arithmetic of norm_quant_backward that reads its inputs again (two_pass.cu). Pure host code.
#pragma once

#include <string>

#include "norm_quant_backward/backward_launch.hpp"

namespace normquant::backward_two_pass_launch {

constexpr int column_threads = 128;       ///< threads of a block of backward_columns, a packet of columns each
constexpr int rows_per_chunk_least = 16;  ///< fewer rows would make the partial sums cost more than the rows

inline int elements(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a) {
  return elements_per_access(variant.tuning.access_bytes, a.h.type);
}

/// Chunks of rows: enough blocks for four a multiprocessor, and no chunk of fewer rows than is worth it.
inline std::int64_t chunks(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a,
                           const DeviceInfo& device) {
  const std::int64_t slabs = divide_up(a.columns, static_cast<std::int64_t>(column_threads) * elements(variant, a));
  const std::int64_t wanted = divide_up(4 * static_cast<std::int64_t>(device.sm_count), slabs);
  const std::int64_t useful = divide_up(a.rows, rows_per_chunk_least);
  return useful < wanted ? useful : wanted;
}

inline std::string why_not(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a, const DeviceInfo&) {
  if (a.rows > 0x7fffffff) return "needs more than 2^31 - 1 blocks";
  return why_not_packets(elements(variant, a), a);
}

inline std::size_t workspace_bytes(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a,
                                   const DeviceInfo& device) {
  return column_partials_bytes(a, chunks(variant, a, device));
}

inline std::int64_t requested_bytes(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a,
                                    const DeviceInfo& device) {
  const std::size_t workspace = workspace_bytes(variant, a, device);
  const std::int64_t again = workspace > 0 ? 2 : 1;
  return algorithmic_bytes(a) + 2 * static_cast<std::int64_t>(workspace) +
         again * static_cast<std::int64_t>(size_of(a.h.type) + size_of(a.dy.type)) * a.rows * a.columns;
}

}  // namespace normquant::backward_two_pass_launch
