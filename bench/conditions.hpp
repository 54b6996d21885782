// The state of the GPU around samples: which of them were disturbed. Pure.
#pragma once

#include <optional>

namespace normquant::bench {

/// What is read right before and right after a batch of samples; unknown where NVML does not answer.
struct Conditions {
  std::optional<unsigned> sm_clock_mhz;
  std::optional<unsigned long long> throttle_reasons;  ///< bits as in nvml.h, nvmlClocksThrottleReasons
};

/// Reasons that slow a kernel down: hardware slowdown (0x8), software and hardware thermal slowdown (0x20, 0x40), power
/// brake (0x80). Not among them: idle (0x1), clocks set by an application or a display (0x2, 0x100), sync boost (0x10),
/// and the power cap (0x4), which on many GPUs is there whenever the memory is busy: what it does shows in the clock.
inline constexpr unsigned long long slowing_reasons = 0x8 | 0x20 | 0x40 | 0x80;

/// A clock that fell by more than this share during a batch disturbs its samples.
inline constexpr double most_clock_fall = 0.03;

/// Whether samples taken between the two readings are disturbed: a slowing reason in either, or a clock that fell.
bool disturbed(const Conditions& before, const Conditions& after);

}  // namespace normquant::bench
