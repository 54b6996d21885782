// What happens before what: how far each CUDA thread has seen every other.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace normquant::host_exec::watch {

/// A moment of one thread. `block` counts the blocks of all launches, `thread` those of the block; `epoch` grows whenever the
/// thread tells others how far it is.
struct Moment {
  std::uint32_t block = 0;
  std::uint32_t thread = 0;
  std::uint32_t epoch = 0;
};

/// The latest epoch of every thread of a block that has been seen.
using Segment = std::vector<std::uint32_t>;

/// A vector clock, by block. Never changed once it is shared: threads that met at a barrier share one.
struct Clock {
  std::vector<std::pair<std::uint32_t, std::shared_ptr<const Segment>>> blocks;

  bool has_seen(const Moment& moment) const {
    for (const auto& [block, segment] : blocks) {
      if (block == moment.block) return (*segment)[moment.thread] >= moment.epoch;
    }
    return false;
  }
};
using SharedClock = std::shared_ptr<const Clock>;

/// What both have seen together; either may be null.
SharedClock joined(const SharedClock& a, const SharedClock& b);

/// Moments and clocks of several threads, until all are there.
class Meeting {
 public:
  /// `threads`: of the moment's block.
  void add(const Moment& moment, std::size_t threads, const SharedClock& seen);
  bool empty() const { return moments_.empty(); }
  /// What they have seen together, themselves included; the meeting is empty afterwards.
  SharedClock conclude();

 private:
  struct Arrival {
    Moment moment;
    std::size_t threads = 0;
  };
  std::vector<Arrival> moments_;
  std::vector<SharedClock> seen_;  ///< each once
};

}  // namespace normquant::host_exec::watch
