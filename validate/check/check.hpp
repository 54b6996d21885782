// The verdict on given outputs.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "validate/check/given.hpp"
#include "validate/verdict.hpp"

namespace normquant::check {

/// How the rows are walked through.
struct Walk {
  int threads = 1;
  bool stop_at_wrong = false;  ///< whether anything is wrong is all that is asked
  std::function<void(std::int64_t rows, std::int64_t all)> progress;  ///< called now and then, by one thread
};

/// Compares every given output with the reference of the given inputs, some rows at a time. The verdict is the same for any
/// number of threads.
validate::Verdict check(const Given& given, const Walk& walk = {});

/// Why nothing can be told from a verdict without a wrong element; empty when it says that the outputs are right. So it is where
/// more codes have two admissible values than those of random values would: bounds so wide that they decide nothing (rows
/// without variance), or values that lie next to ties.
std::string undecided(const validate::Verdict& verdict);

}  // namespace normquant::check
