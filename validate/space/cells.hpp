// What every variant is owed, form by form: problems at which its own path changes.
#pragma once

#include <string>
#include <vector>

#include "validate/space/classes.hpp"
#include "validate/space/served.hpp"

namespace normquant::validate::space {

/// A problem for one variant.
struct Run {
  Problem problem;
  std::size_t variant = 0;  ///< of catalogue()
};

/// For every variant and every form that is compiled for it: each of its classes of N, each of its numbers of rows, special
/// values at every place that its path treats apart; and every kind of value in every form of every algorithm. Rows only: not
/// the layer's.
std::vector<Run> row_cells(const Served& served, Operation op, const DeviceInfo& device, std::uint64_t seed);
/// The same of weight_quant, whose only row is the whole matrix.
std::vector<Run> weight_cells(const Served& served, const DeviceInfo& device, std::uint64_t seed);

/// The algorithm of a variant: its name without the constants.
std::string algorithm_of(std::string_view variant);

}  // namespace normquant::validate::space
