// Launch arithmetic of norm_quant_backward's walk over staged rows (staged.cu). Pure host code.
#pragma once

#include <algorithm>
#include <numeric>
#include <string>

#include "norm_quant_backward/backward_launch.hpp"

namespace normquant::backward_staged_launch {

/// Rows that a thread has at work and under way. A cluster looks at a row while it finishes the one before: 3 where shared memory
/// holds them. Elsewhere a third row brought nothing (docs/experiments/2026-11-29-short-rows-and-layer-norm.md).
constexpr int most_stages(bool clustered) { return clustered ? 3 : 2; }

/// Threads of the largest block: sums of dweight, and of dbias, take a register an element each; without dbias the weight
/// half of one (a whole one in float32), with it the weight is in shared memory; and all else takes some 60. At 32 elements
/// of 16 bits 512 threads have 128 each, and nothing spills.
constexpr int most_threads(int elements, std::size_t element_bytes, bool aligned, Form form, int lanes) {
  const bool heavy = sums_dbias(form), wide = element_bytes == 4;
  if (!aligned) return elements <= 16 ? (heavy ? 384 : 512) : heavy ? 256 : 384;
  if (elements <= 8) return heavy || wide ? 640 : 1024;
  if (elements <= 16) return heavy || wide ? 512 : lanes < warp_threads && form == Form::rms_gradient ? 640 : 768;
  if (form == Form::any) return wide ? 256 : 384;
  return heavy && wide ? 256 : wide ? 384 : 512;
}

inline bool takes_any_alignment(const Tuning& t) { return t.access_bytes == 1; }

/// Threads of a row in one block: as many whole tiles as cover the block's share. Shifted packets may begin before the row.
inline std::int64_t row_threads(const Tuning& t, const NormQuantBackward& a) {
  const std::int64_t shift = takes_any_alignment(t) ? elements_per_packet(a) - 1 : 0;
  return divide_up(divide_up(a.columns + shift, static_cast<std::int64_t>(t.lanes) * t.elements), t.cluster) * t.lanes;
}

/// After so many rows the next starts as far past an aligned address as the first did.
inline std::int64_t rows_alike(const Tuning& t, const NormQuantBackward& a) {
  return takes_any_alignment(t) ? elements_per_packet(a) / std::gcd<std::int64_t>(a.h.ld, elements_per_packet(a)) : 1;
}

/// The form of the kernel that serves the problem: of those for any alignment some forms have none of their own.
constexpr Form kernel_form(Form form, bool any_alignment) {
  return any_alignment && (form == Form::rms_residual || form == Form::rms_gradient) ? Form::any : form;
}
inline Form kernel_form(const Tuning& t, const NormQuantBackward& a) {
  return kernel_form(form_of(a), takes_any_alignment(t));
}

inline int most_threads(const Tuning& t, const NormQuantBackward& a) {
  return most_threads(t.elements, size_of(a.h.type), !takes_any_alignment(t), kernel_form(t, a), t.lanes);
}

/// Shared memory of StagedPackets for one tensor.
constexpr std::size_t staged_bytes(std::size_t block_threads, int packets, int stages) {
  return (block_threads + warp_threads - 1) / warp_threads * warp_threads * 16 * packets * stages;
}

/// Shared memory of `rows` rows side by side: scratch of the reductions and rows under way, later the rows' column sums.
inline std::size_t shared_bytes(const Tuning& t, const NormQuantBackward& a, int rows, int stages) {
  const std::size_t threads = row_threads(t, a) * rows;
  const int tensors = a.dresidual.given() ? 3 : 2, vectors = sums_dbias(kernel_form(t, a)) ? 2 : 0;
  const int packets = t.elements / elements_per_packet(a);
  const std::size_t walk = rows * tile_scratch_bytes(t.cluster > 1) + tensors * staged_bytes(threads, packets, stages) +
                           staged_bytes(threads, packets, vectors);
  const std::size_t sums = sizeof(float) * threads * t.elements;
  return walk > sums ? walk : sums;
}

/// `sets` is a multiple of rows_alike.
inline Walk walk_of(const Tuning& t, const NormQuantBackward& a, const DeviceInfo& device) {
  const std::int64_t threads = row_threads(t, a);
  const int least = t.lanes < warp_threads ? warp_threads / t.lanes : 1;
  const std::int64_t resident = std::max(resident_clusters(device, t.cluster), 1);
  std::int64_t most = t.cluster > 1 ? 1 : most_threads(t, a) / threads;
  if (threads > warp_threads) most = std::min<std::int64_t>(most, most_side_by_side);
  most = std::min(most, divide_up(a.rows, resident));
  Walk walk = normquant::walk_of(most, least, most_stages(t.cluster > 1), [&](int rows, int stages) {
    return shared_bytes(t, a, rows, stages) <= device.shared_memory_per_block;
  });
  const std::int64_t alike = rows_alike(t, a), sets = std::min(resident, divide_up(a.rows, walk.rows));
  walk.sets = sets == 0 ? 0 : std::max(alike, sets / alike * alike);
  return walk;
}

inline std::string why_not(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a,
                           const DeviceInfo& device) {
  const Tuning& t = variant.tuning;
  if (std::string other = why_not_one_type(a); !other.empty()) return other;
  if (std::string lacking = lacks_clusters(variant, device); !lacking.empty()) return lacking;
  const std::int64_t threads = row_threads(t, a);
  if (threads > (t.lanes < warp_threads ? t.lanes : most_threads(t, a))) {
    return "the row of " + std::to_string(a.columns) + " columns does not fit its registers";
  }
  if (a.columns <= (t.cluster - 1) * threads * t.elements) {
    return "the row of " + std::to_string(a.columns) + " columns leaves blocks of the cluster without work";
  }
  if (shared_bytes(t, a, t.lanes < warp_threads ? warp_threads / t.lanes : 1, 2) > device.shared_memory_per_block) {
    return "the rows under way do not fit the shared memory of a block";
  }
  return takes_any_alignment(t) ? "" : why_not_packets(elements_per_packet(a), a);
}

inline std::size_t workspace_bytes(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a,
                                   const DeviceInfo& device) {
  return column_partials_bytes(a, walk_of(variant.tuning, a, device).sets);
}

/// Whether rows are brought into the L2 before their copies start. Pays where few rows are under way, by 3 to 4% in clusters
/// of 4 blocks and more and by 2% in layer norm; elsewhere it costs as much.
constexpr bool asks_ahead(const Tuning& t, Form form) { return t.cluster >= 4 || form == Form::layer; }

}  // namespace normquant::backward_staged_launch
