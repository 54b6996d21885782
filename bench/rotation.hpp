// How many copies of a case's buffers to rotate through, and how many launches make one sample. Pure.
#pragma once

#include <cstddef>
#include <cstdint>

namespace normquant::bench {

/// What limits the rotation.
struct RotationLimits {
  std::int64_t bytes = 0;      ///< one launch moves
  std::size_t l2_bytes = 0;    ///< of the device
  std::size_t slot_bytes = 0;  ///< device memory that one more copy takes
  std::size_t free_bytes = 0;  ///< device memory that is left for more copies
};

inline constexpr int most_slots = 64;

/// How many copies of the buffers to take, the first included. A round over all of them moves at
/// least 4 times the L2, so that nothing of a buffer is left there when its turn comes again.
/// Between 2 and most_slots as long as memory allows (a tenth of what is free stays free), never
/// below 1. Cases so small that most_slots copies still fit the L2 are timed warm. Records say so:
/// `rotated_bytes` against the environment's `l2_bytes`.
int rotation_slots(const RotationLimits& limits);

/// One replay of a graph lasts at least this long, so that the resolution of CUDA events (about 0.5 us) and the gap
/// between two graphs (1 to 2 us) stay below half a percent.
inline constexpr double shortest_replay_us = 1000;

/// Rounds over all slots in one graph: enough for shortest_replay_us, at most 8192 launches.
int rounds_per_replay(double microseconds_per_round, int slots);

}  // namespace normquant::bench
