// Does the GPU's clock agree with the wall clock? Pure.
#pragma once

#include <string>

namespace normquant::bench {

/// What both clocks say of one batch of samples, microseconds.
struct BatchClocks {
  double event_us = 0;  ///< between the first and the last event
  double wall_us = 0;   ///< host: from before the first launch until the timed stream was done
  double tail_us = 0;   ///< host: from then until the whole device was done
};

/// A sentence when they contradict each other; empty when they agree.
/// - More GPU time than wall time, by 2% and 100 us: the events cannot be believed.
/// - A tail of more than 200 us and 5% of the batch: work went on that the timed stream does not
///   wait for, so it is on another stream. A host thread that was put aside looks the same: whoever
///   asks repeats the batch first.
std::string clocks_disagree(const BatchClocks& clocks);

}  // namespace normquant::bench
