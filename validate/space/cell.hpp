// Problems of one variant in one form.
#pragma once

#include <cstdint>
#include <vector>

#include "validate/space/bases.hpp"
#include "validate/space/cells.hpp"
#include "validate/space/classes.hpp"
#include "validate/space/served.hpp"

namespace normquant::validate::space {

/// Adds runs of the variant, all of problems that it serves, in the form and on the tensors of `base`, which outlives this.
class Cell {
 public:
  Cell(const Served& served, std::size_t variant, const Base& base, const DeviceInfo& device, std::uint64_t seed,
       std::vector<Run>& runs);

  bool served() const { return !lengths_.empty(); }

  /// Every class of N once, the longest rows first, so that one of them serves for several.
  void add_columns();
  void add_rows();
  /// Rows of two warps, whose kernels may have several side by side, of which some take a way that others do not: of every mean, and
  /// as many as fill every multiprocessor.
  void add_rows_that_differ();
  /// NaN and one large element in x, NaN and an overflowing product in the weight, at every place.
  void add_places();
  /// Every kind of value, where rows take two warps or two turns and have a rest: in every type of x where its magnitudes follow
  /// from the type, else in one.
  void add_kinds();
  /// The longest row that the variant holds in each type, where registers and shared memory are full: fewer stages may fit then, and
  /// no second row side by side. As many rows as blocks would have several of, or use a stage again.
  void add_longest();
  /// A single packet or column has nearly all that float32 holds of a sum of squares.
  void add_shortest_of_large();
  /// More rows than 16 bits count, where a warp or less takes a row: few threads, and as many blocks as may be.
  void add_many_rows();

 private:
  /// A length at which some problem of the form is served, and what it is there.
  struct Length {
    std::int64_t columns;
    const Problem* base;
    Cut cut;
  };

  /// The largest element in the last column, or of pieces in the first: whoever holds the row's ends counts for its absmax.
  void add_largest_at(const Length& length, std::int64_t column);
  /// Of the lengths at which x has that type; null where there are none.
  const Length* where_kinds_are(DType x) const;
  void add_kind(const Length& length, Values values);
  /// What else is added or multiplied lies near float32's ends too: nothing may be taken for the usual 1e-5.
  void add_with_extremes(Problem p);
  void look_at(const Problem& base);
  /// Rounding, guard pages and, where alignment does not matter, where tensors lie follow from the size, so that variants share problems.
  Problem made(const Length& length, std::int64_t rows) const;
  void add(const Length& length, std::int64_t rows);
  /// Rows of three warps or, where blocks share them, of two in some block; of a loop two turns.
  const Length* where_all_places_are() const;

  const Served& served_;
  std::size_t variant_;
  Tuning tuning_;
  Operation op_;
  DeviceInfo device_;
  std::uint64_t seed_;
  std::vector<Run>& runs_;
  std::vector<Length> lengths_;
};

}  // namespace normquant::validate::space
