#include "bench/rotation.hpp"

#include <algorithm>
#include <cmath>

namespace normquant::bench {

int rotation_slots(const RotationLimits& limits) {
  const auto l2 = static_cast<std::int64_t>(limits.l2_bytes);
  const std::int64_t bytes = std::max<std::int64_t>(limits.bytes, 1);
  const std::int64_t wanted = std::clamp<std::int64_t>((4 * l2 + bytes - 1) / bytes, 2, most_slots);
  if (limits.slot_bytes == 0) return static_cast<int>(wanted);
  const auto affordable = static_cast<std::int64_t>(limits.free_bytes / 10 * 9 / limits.slot_bytes);
  return static_cast<int>(std::min(wanted, 1 + std::min<std::int64_t>(affordable, most_slots)));
}

int rounds_per_replay(double microseconds_per_round, int slots) {
  constexpr int most_launches = 8192;
  const int most_rounds = std::max(1, most_launches / std::max(slots, 1));
  if (!(microseconds_per_round > 0)) return most_rounds;
  const double rounds = std::ceil(shortest_replay_us / microseconds_per_round);
  return rounds < most_rounds ? std::max(1, static_cast<int>(rounds)) : most_rounds;
}

}  // namespace normquant::bench
