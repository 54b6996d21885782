// Where a variant's path through a problem changes, derived from the constants that it declares (Tuning): lanes, elements,
// cluster, access, threads and rows of a block, stages; and from the device's multiprocessors.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <normquant/device.hpp>

#include "validate/operations/prepared_problem.hpp"
#include "validate/problem.hpp"

namespace normquant::validate::space {

/// The form that kernels know when they are compiled (kernels/device/form.hpp): any, rms, rms_codes, rms_residual, layer,
/// rms_gradient, rms_other_codes, any_other; of weight_quant rows (with gaps between them) or gapless.
std::string form_of(const Problem& problem);

/// How a variant cuts a row of a type of x into what its threads take, in columns.
struct Cut {
  std::int64_t packet = 1;   ///< of one access
  std::int64_t across = 1;   ///< of one access of all neighbouring threads that share a tile
  std::int64_t tile = 1;     ///< of those threads, all their accesses; of a loop over the row: of one turn
  std::int64_t cluster = 1;  ///< blocks that share a row, each as many tiles
  std::int64_t warps = 0;    ///< of a row, where it is always as many
  std::int64_t shift = 0;    ///< columns by which packets may start before the row
  std::int64_t piece = 0;    ///< of one block, where the row is split over blocks
  bool tiles = false;        ///< the row takes as many tiles as it needs; else a fixed number of threads goes over it
};
Cut cut_of(const Tuning& tuning, DType x);

/// The classes of N that a row of so many columns is in: how many warps, blocks and turns it takes, and how it ends.
std::vector<std::string> column_classes(const Cut& cut, std::int64_t columns);

/// Lengths at which column_classes may change, up to `most`, in order; all are multiples of a packet.
std::vector<std::int64_t> lengths_to_look_at(const Cut& cut, std::int64_t most);

/// Columns that a path treats apart, by name: the first, and the last and first on both sides of every kind of edge.
std::vector<std::pair<std::string, std::int64_t>> places(const Cut& cut, std::int64_t columns);

/// How wide a row is for counting rows: `narrow` shares a block with as many others as there can be, `middle` takes four
/// warps, `wide` has its block alone.
enum class Width { narrow, middle, wide };
std::string_view name_of(Width width);
Width width_of(const Cut& cut, std::int64_t columns);

/// Numbers of rows at which the variant's path may change on that device: those of a block side by side and one more or less; a
/// block for every multiprocessor, and one more; of variants that walk a second row of a walker and one for which a
/// stage is used again; parts of the sums over rows around what its second kernel takes at a time.
std::vector<std::int64_t> row_counts(Operation op, const Tuning& tuning, Width width, const DeviceInfo& device);

/// Every class of the model that the variant is in with this problem: `N ...`, `M ...`, values and their place.
std::vector<std::string> classes_of(const VariantEntry& variant, const Problem& problem);

}  // namespace normquant::validate::space
