// Cold GPU times: what one launch takes whose inputs are in memory, not in the L2.
#pragma once

#include <memory>
#include <string>

#include "bench/l2_flush.hpp"
#include "bench/timer.hpp"

namespace normquant::bench {

/// An empty kernel's own time (gpu__time_duration), microseconds: what of the time between two events around an empty
/// kernel is the kernel. Assumed, not measured: scripts/qualify.sh measures it by ncu on the GPU at hand and hands it to
/// `bench --empty-kernel-us`. An error of it moves every cold figure by as much.
inline constexpr double empty_kernel_us = 1.0;

/// What two events and a launch between them cost beside the kernel itself: medians of cold samples, microseconds.
struct EventCosts {
  double nothing_us = 0;  ///< between two events with nothing between them
  double empty_us = 0;    ///< between two events around an empty kernel
  /// What is taken off every sample: empty_us less the empty kernel's own time. nothing_us would be too much: on an H100 it left
  /// the cold figure 0.5 to 1 us below ncu's (reports/h100/measurement/agreement.md).
  double overhead_us = 0;
};

/// "cold": before every launch the L2 is flushed (l2_flush.hpp) and the buffers change; one sample is the time between
/// the CUDA events right around one launch, less EventCosts::overhead_us. A kernel that waits for the host stands before
/// each batch, so that the GPU never waits for the host inside a sample. After each batch the timed stream, the whole
/// device and the wall clock are compared (clock_check.hpp).
class ColdTimer : public Timer {
 public:
  virtual const EventCosts& costs() const = 0;
  /// For the self-test: the holding kernel alone, with that timeout and a host that never says go.
  virtual Status hold_without_go(double seconds, bool& timed_out) = 0;
};

/// `empty_us` is the empty kernel's own time. Null with `why` when memory is short or the build has no CUDA.
std::unique_ptr<ColdTimer> open_cold_timer(Device& device, double empty_us, std::string& why);

}  // namespace normquant::bench
