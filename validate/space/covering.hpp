// Covering arrays: few problems in which every pair, or every three, of the levels of a table's factors meet.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "validate/problem.hpp"

namespace normquant::validate::space {

/// A choice of a factor. A problem has it when applying it changes nothing.
struct Level {
  std::string name;
  std::function<void(Problem&)> apply;
};

struct Factor {
  std::string name;
  std::vector<Level> levels;
};

/// A table of an operation: what its problems can differ in, and what makes a drawn one a valid problem.
struct Table {
  Problem plain;
  std::vector<Factor> factors;
  std::function<void(Problem&)> repair;  ///< may change what cannot go together
};

bool has(const Problem& problem, const Level& level);

/// Problems in which every `strength` (1, 2 or 3) levels of different factors that can go together do, drawn by `seed`, which
/// is also the problems' own.
std::vector<Problem> covering_problems(const Table& table, int strength, std::uint64_t seed);

}  // namespace normquant::validate::space
