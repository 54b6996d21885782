// Cold GPU times: what one launch takes whose inputs are in memory, not in the L2.
#pragma once

#include <memory>
#include <string>

#include "bench/l2_flush.hpp"
#include "bench/timer.hpp"

namespace normquant::bench {

/// What two events cost: medians of cold samples, microseconds.
struct EventCosts {
  double nothing_us = 0;  ///< between two events with nothing between them: what is taken off every sample
  double empty_us = 0;    ///< between two events around an empty kernel
};

/// "cold": before every launch the L2 is flushed (l2_flush.hpp) and the buffers change. One sample
/// is the time between the CUDA events right around one launch, less EventCosts::nothing_us.
/// A kernel that waits for the host stands before each batch, so that the GPU never waits for the
/// host inside a sample. After each batch the timed stream, the whole device and the wall clock are
/// compared (clock_check.hpp).
class ColdTimer : public Timer {
 public:
  virtual const EventCosts& costs() const = 0;
  /// For the self-test: the holding kernel alone, with that timeout and a host that never says go.
  virtual Status hold_without_go(double seconds, bool& timed_out) = 0;
};

/// Null with `why` when memory is short or the build has no CUDA.
std::unique_ptr<ColdTimer> open_cold_timer(Device& device, std::string& why);

}  // namespace normquant::bench
