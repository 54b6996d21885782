// Launch arithmetic of norm_quant_backward's walk over rows of any alignment (striped.cu). Pure host code.
#pragma once

#include <algorithm>
#include <string>

#include "norm_quant_backward/backward_launch.hpp"

namespace normquant {

constexpr int copied_bytes = 16;  ///< of one asynchronous copy, and what its addresses are multiples of

/// Shared memory of one row: it may begin and end anywhere in a copy of 16 bytes.
constexpr std::size_t row_in_shared_bytes(std::int64_t columns, std::size_t element_bytes) {
  constexpr int ends = 2 * (copied_bytes - 1);
  return (static_cast<std::size_t>(columns) * element_bytes + static_cast<std::size_t>(ends)) / copied_bytes *
         copied_bytes;
}

}  // namespace normquant

namespace normquant::backward_striped_launch {

constexpr int most_stages = 3;  ///< rows at work and under way; 2 where shared memory holds no more

/// Threads of the largest block: the sums of dweight take a register an element, the weight or the sums of dbias another,
/// and all else some 60. Of 65536 registers 640 threads have 96 each, 512 threads 128.
constexpr int most_threads(int elements) { return elements <= 16 ? 640 : 512; }

/// What a block's shared memory holds behind the scratch of its reductions: for each row side by side `stages` rows of h, dy
/// and dresidual; then weight and bias, where registers do not hold them.
struct SharedLayout {
  std::size_t row_bytes;
  int stages, tensors;
};

/// As many as cover the row, and its sums' row.
inline std::int64_t row_threads(const Tuning& t, const NormQuantBackward& a) {
  return divide_up(partial_row_length(a), std::int64_t{warp_threads} * t.elements) * warp_threads;
}

/// The form of the kernel that serves the problem: dresidual has none of its own.
inline Form kernel_form(const NormQuantBackward& a) {
  const Form form = form_of(a);
  return form == Form::rms || form == Form::layer ? form : Form::any;
}

inline SharedLayout layout_of(const NormQuantBackward& a, int stages) {
  return {row_in_shared_bytes(a.columns, size_of(a.h.type)), stages, a.dresidual.given() ? 3 : 2};
}

/// Shared memory of `rows` rows side by side: scratch of the reductions, rows and vectors; later the rows' column sums.
inline std::size_t shared_bytes(const Tuning& t, const NormQuantBackward& a, int rows, int stages) {
  const SharedLayout layout = layout_of(a, stages);
  const std::size_t vectors = sums_dbias(kernel_form(a)) ? 2 : 0;
  const std::size_t walk = rows * tile_scratch_bytes() +
                           (static_cast<std::size_t>(rows) * stages * layout.tensors + vectors) * layout.row_bytes;
  const std::size_t sums = sizeof(float) * static_cast<std::size_t>(row_threads(t, a)) * rows * t.elements;
  return walk > sums ? walk : sums;
}

inline Walk walk_of(const Tuning& t, const NormQuantBackward& a, const DeviceInfo& device) {
  const std::int64_t resident = std::max(device.sm_count, 1);
  const std::int64_t most = std::min<std::int64_t>(
      {most_threads(t.elements) / row_threads(t, a), most_side_by_side, divide_up(a.rows, resident)});
  Walk walk = normquant::walk_of(most, 1, most_stages, [&](int rows, int stages) {
    return shared_bytes(t, a, rows, stages) <= device.shared_memory_per_block;
  });
  walk.sets = std::min(resident, divide_up(a.rows, walk.rows));
  return walk;
}

inline std::string why_not(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a,
                           const DeviceInfo& device) {
  const Tuning& t = variant.tuning;
  if (std::string other = why_not_one_type(a); !other.empty()) return other;
  if (row_threads(t, a) > most_threads(t.elements)) {
    return "the row of " + std::to_string(a.columns) + " columns does not fit its registers";
  }
  if (shared_bytes(t, a, 1, 2) > device.shared_memory_per_block) {
    return "the rows under way do not fit the shared memory of a block";
  }
  return "";
}

inline std::size_t workspace_bytes(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a,
                                   const DeviceInfo& device) {
  return column_partials_bytes(a, walk_of(variant.tuning, a, device).sets);
}

}  // namespace normquant::backward_striped_launch
