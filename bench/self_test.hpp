// The measurement measured: is cold cold, is work on another stream found, does a held stream give up?
#pragma once

#include <span>
#include <string>
#include <vector>
#include <normquant/device.hpp>
#include <normquant/status.hpp>

#include "bench/cold_timer.hpp"

namespace normquant::bench {

/// Latencies of single loads through the L2, clock cycles, one list for each state of the cache.
struct LoadLatencies {
  std::vector<double> hot;      ///< the lines were read right before
  std::vector<double> flushed;  ///< after the flush that precedes every cold launch (l2_flush.hpp)
  std::vector<double> rotated;  ///< after as much other memory was read as steady timing rotates through (rotation.hpp)
};

/// What the latencies say.
struct ColdProof {
  double hot_cycles = 0, flushed_cycles = 0, rotated_cycles = 0;  ///< medians
  /// Loads that took longer than halfway between the hot and the flushed median: those that missed the L2.
  double flushed_share = 0, rotated_share = 0;
  std::string failure;  ///< why cold is not cold; empty when it is
};

/// Cold is cold when a flushed load takes at least 1.3 times a hot one in the median, and 95% of the loads miss, both
/// after a flush and after a rotation.
ColdProof judge_latencies(const LoadLatencies& latencies);

/// One thread loads 2048 lines, 4 KB apart, one after the other, and notes the clock cycles of each. Fails in a build
/// without CUDA.
Status measure_load_latencies(Device& device, LoadLatencies& latencies);

/// Whether the cold timer refuses a launch that puts 3 ms of work on another stream, and whether a held stream gives up
/// after its timeout (10 ms).
struct TimerProof {
  bool hidden_work_found = false;
  std::string hidden_work_sentence;
  bool hold_timed_out = false;
  EventCosts costs;
};
Status prove_cold_timer(Device& device, TimerProof& proof);

/// What `normquant bench --self-test` prints, and whether all of it is as it must be.
struct SelfTest {
  ColdProof cold;
  TimerProof timer;
  bool passed() const { return cold.failure.empty() && timer.hidden_work_found && timer.hold_timed_out; }
};
std::string self_test_text(const SelfTest& test);

}  // namespace normquant::bench
