// Several ways of moving the same bytes, timed over rotated buffers: which is the fastest.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>
#include <normquant/device.hpp>
#include <normquant/status.hpp>

#include "bench/timer.hpp"

namespace normquant::bench {

/// The fastest way, and its median.
struct WayTime {
  double microseconds = 0;
  std::string way;
};

/// Ways of doing the same with a set of buffers.
struct Ways {
  int count = 0;
  std::vector<std::int64_t> buffer_bytes;  ///< of every buffer of a set
  std::int64_t traffic = 0;                ///< bytes that one launch moves
  std::function<std::string(int way)> name;
  std::function<Status(int way, const std::vector<char*>& buffers, Stream stream)> enqueue;  ///< one launch
  /// Fills memory with bits that look random: constant data draws less power and may run at higher clocks.
  std::function<Status(void* memory, std::int64_t bytes, Stream stream)> fill;
};

/// Times every way. `free_bytes`: device memory that there is. Fails when it does not hold one set of buffers; allocates for
/// the time of the call only.
Status time_ways(const Ways& ways, Device& device, Timer& timer, std::size_t free_bytes, WayTime& fastest);

/// Median microseconds of a launch in a graph over `slots` sets of buffers, with few samples: enough to tell ways apart.
Status median_time(const Enqueue& enqueue, int slots, Timer& timer, double& microseconds);

}  // namespace normquant::bench
