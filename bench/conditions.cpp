#include "bench/conditions.hpp"

namespace normquant::bench {

bool disturbed(const Conditions& before, const Conditions& after) {
  const auto slowed = [](const Conditions& at) { return (at.throttle_reasons.value_or(0) & slowing_reasons) != 0; };
  if (slowed(before) || slowed(after)) return true;
  if (!before.sm_clock_mhz || !after.sm_clock_mhz) return false;
  return static_cast<double>(*after.sm_clock_mhz) < (1 - most_clock_fall) * static_cast<double>(*before.sm_clock_mhz);
}

}  // namespace normquant::bench
