// A mutant: a bug planted in a copy of the kernels' sources.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace normquant::mutants {

/// Where a mutant must show: an operation, and an expression for the names of its variants.
struct Shows {
  std::string_view operation, variants;
};

/// One mutant of the lists, or a mechanical one (docs/mutants.md); made by plant.py.
struct Mutant {
  std::uint32_t identity;  ///< what active_mutant is while it is active
  std::string_view name;
  std::string_view kind;  ///< its class: "eps outside the root"
  std::string_view file;  ///< of the production text
  int line;               ///< where it begins
  std::string_view production, planted;
  std::vector<Shows> shows;
  bool on_host, on_gpu;         ///< devices on which the place is compiled, or can show
  std::string_view equivalent;  ///< why no suite can tell it from the production text; empty: it must be caught
  std::uint32_t site = 0;       ///< of a mechanical mutant: see asked; 0: of a list
  std::string_view function = {};
};

/// All of them, in the order of the lists.
const std::vector<Mutant>& all_mutants();

}  // namespace normquant::mutants
