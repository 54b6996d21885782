// Ranking: the variants that a table suggests for a problem, best first. Fast, for the path to every launch.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "choice/point.hpp"
#include "choice/tuned_table.hpp"

namespace normquant::choice {

/// How far apart two problems are, as far as the choice of a variant goes: 0 for the same; nothing in common between
/// operations and between aligned and unaligned, which are never compared.
///   1    for M twice as large
///   3    for rows of x twice as long, in bytes
///   1    for the other norm, and for every tensor that only one of the two has (3: the backward's column sums)
///   1/4  for the other type of the same size; 6 for another size
double distance(const Point& a, const Point& b);

/// Cells that a ranking is made from: the nearest.
inline constexpr std::size_t most_neighbours = 4;

/// Variants, best first, as indices into TableIndex::names of the operation.
struct Ranking {
  std::array<std::uint16_t, most_neighbours * most_listed> variants{};
  std::array<float, most_neighbours * most_listed> costs{};  ///< expected: the time over that of the best
  std::size_t count = 0;
  const std::uint16_t* begin() const { return variants.data(); }
  const std::uint16_t* end() const { return variants.data() + count; }
};

/// A table laid out for rank(). Immutable, so any number of threads may use it at once.
class TableIndex {
 public:
  explicit TableIndex(const TunedTable& table);

  /// Names of the variants that the table lists for the operation.
  const std::vector<std::string>& names(Operation op) const { return names_[static_cast<std::size_t>(op)]; }

  /// Whether there is a cell that rank() could ask.
  bool has_cells_for(const Point& point) const { return !cells_[group_of(point.op, point.aligned)].empty(); }

  /// Whether there is a cell of this very problem.
  bool has_cell_at(const Point& point) const;

  /// The variants listed by the nearest cells, by their expected cost: the mean of their costs in those cells, weighted
  /// by 1 / (distance + 0.05)^2. A variant that a cell does not list has 0.05 more than the last it lists, or
  /// most_listed_cost + 0.05 where the list is shorter than most_listed. Equal costs stay in the order of the nearest
  /// cell. Empty when no cell is of the operation and the alignment.
  Ranking rank(const Point& point) const;

 private:
  struct IndexedCell {
    DType type = DType::bfloat16;
    Form form = 0;
    std::int64_t rows = 0, columns = 0;
    float log_rows = 0, log_row_bytes = 0;
    std::array<std::uint16_t, most_listed> variants{};
    std::array<float, most_listed> costs{};
    std::size_t count = 0;
    float unlisted_cost = 0;
  };
  struct Neighbour;
  class Blend;
  static std::size_t group_of(Operation op, bool aligned) {
    return 2 * static_cast<std::size_t>(op) + (aligned ? 1 : 0);
  }
  IndexedCell indexed(const Cell& cell);

  std::array<std::vector<IndexedCell>, 2 * all_operations.size()> cells_;  ///< by group_of, in the table's order
  std::array<std::vector<std::string>, all_operations.size()> names_;
};

}  // namespace normquant::choice
