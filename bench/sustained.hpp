// The sustained figure: launches back to back for seconds, until power control has set the clock. What a short run says may be
// faster: it rides the boost clock. Pure but for the timer that is passed.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "bench/timer.hpp"

namespace normquant::bench {

/// A part of a sustained run.
struct Stretch {
  double end_s = 0;         ///< since the run began
  double microseconds = 0;  ///< a launch, by the wall clock
  std::optional<unsigned> sm_clock_mhz;
  std::optional<double> joules;  ///< drawn since the run began; GPUs count them about ten times a second
};

struct Sustained {
  double seconds = 0;
  double median_us = 0;                  ///< by the wall clock, of the stretches after it had settled
  std::optional<double> power_w;         ///< mean over the same, where that is half a second and more
  std::optional<unsigned> sm_clock_mhz;  ///< at which it settled: the median over the second half
  double settled_after_s = 0;            ///< end of the last stretch whose clock is not within clock_tolerance of that
  std::optional<unsigned> boost_mhz;     ///< the highest clock seen
  double boost_us = 0;                   ///< median of the stretches at that clock: what a short run says
  std::vector<Stretch> stretches;
};

/// Clocks as near as this are the same: twice the steps of 15 MHz in which GPUs set them.
inline constexpr double clock_tolerance = 0.02;

/// What the stretches of a run say; nothing when there are none. Without clocks the second half counts as settled.
std::optional<Sustained> summarise_sustained(std::vector<Stretch> stretches);

/// Whether samples taken at `clock` ride the boost clock: it is above the one at which a long run settles.
bool rides_boost(std::optional<unsigned> clock, const Sustained& sustained);

/// What is read of the GPU: its clock while it works, its energy between stretches.
struct PowerReadings {
  std::function<Conditions()> conditions;
  std::function<std::optional<double>()> joules;
  std::function<double()> now = seconds_now;
};

/// Runs a prepared timer for `seconds`, in stretches of a twentieth of a second.
Status run_sustained(Timer& timer, double seconds, const PowerReadings& readings, std::optional<Sustained>& found);

}  // namespace normquant::bench
