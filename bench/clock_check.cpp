#include "bench/clock_check.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace normquant::bench {

std::string clocks_disagree(const BatchClocks& clocks) {
  if (!(clocks.event_us <= 1.02 * clocks.wall_us + 100)) {
    return fmt::format("the GPU's events claim {:.0f} us where {:.0f} us passed", clocks.event_us, clocks.wall_us);
  }
  if (!(clocks.tail_us <= std::max(200.0, 0.05 * clocks.event_us))) {
    return fmt::format(
        "the device went on working for {:.0f} us after the timed stream was done: a launch put work on another stream",
        clocks.tail_us);
  }
  return {};
}

}  // namespace normquant::bench
