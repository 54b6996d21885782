#include "bench/sustained.hpp"

#include <algorithm>
#include <cmath>

namespace normquant::bench {
namespace {

constexpr double stretch_seconds = 0.05;

template <class Number>
double median_of(std::vector<Number> values) {
  std::vector<double> ascending(values.begin(), values.end());
  std::sort(ascending.begin(), ascending.end());
  return quantile(ascending, 0.5);
}

bool near(unsigned clock, unsigned other) {
  return std::abs(static_cast<double>(clock) - other) <= clock_tolerance * other;
}

/// The median time of the stretches that `chosen` says yes to.
template <class Chosen>
double median_time(const std::vector<Stretch>& stretches, Chosen&& chosen) {
  std::vector<double> times;
  for (const Stretch& stretch : stretches) {
    if (chosen(stretch)) times.push_back(stretch.microseconds);
  }
  return times.empty() ? 0 : median_of(std::move(times));
}

/// Over what comes after `since`, or over the whole run where that is less than half a second; nothing where energy is not known.
std::optional<double> mean_power(const std::vector<Stretch>& stretches, double since) {
  const Stretch& last = stretches.back();
  double seconds = 0, joules = 0;
  for (const Stretch& one : stretches) {
    if (one.end_s <= since && last.end_s - one.end_s >= 0.5 && one.joules) seconds = one.end_s, joules = *one.joules;
  }
  if (!last.joules || last.end_s <= seconds) return std::nullopt;
  return (*last.joules - joules) / (last.end_s - seconds);
}

/// Clocks of the whole run, or of its second half.
std::vector<unsigned> clocks_of(const std::vector<Stretch>& stretches, std::size_t first) {
  std::vector<unsigned> clocks;
  for (std::size_t i = first; i < stretches.size(); ++i) {
    if (stretches[i].sm_clock_mhz) clocks.push_back(*stretches[i].sm_clock_mhz);
  }
  return clocks;
}

}  // namespace

std::optional<Sustained> summarise_sustained(std::vector<Stretch> stretches) {
  if (stretches.empty()) return std::nullopt;
  Sustained found;
  found.seconds = stretches.back().end_s;
  const std::size_t half = stretches.size() / 2;
  const std::vector<unsigned> late = clocks_of(stretches, half), all = clocks_of(stretches, 0);
  double settled_after = half == 0 ? 0 : stretches[half - 1].end_s;
  if (!late.empty()) {
    const auto settled = static_cast<unsigned>(std::lround(median_of(late)));
    found.sm_clock_mhz = settled;
    found.boost_mhz = *std::max_element(all.begin(), all.end());
    settled_after = 0;
    for (const Stretch& stretch : stretches) {
      if (stretch.sm_clock_mhz && !near(*stretch.sm_clock_mhz, settled)) settled_after = stretch.end_s;
    }
  }
  found.settled_after_s = settled_after;
  const auto settled = [&](const Stretch& stretch) { return stretch.end_s > settled_after; };
  found.median_us = median_time(stretches, settled);
  if (found.median_us == 0) found.median_us = stretches.back().microseconds;  // it was at another clock to the end
  found.boost_us = !found.boost_mhz ? found.median_us : median_time(stretches, [&](const Stretch& stretch) {
    return stretch.sm_clock_mhz && near(*stretch.sm_clock_mhz, *found.boost_mhz);
  });
  found.power_w = mean_power(stretches, settled_after);
  found.stretches = std::move(stretches);
  return found;
}

bool rides_boost(std::optional<unsigned> clock, const Sustained& sustained) {
  return clock && sustained.sm_clock_mhz && *clock > *sustained.sm_clock_mhz && !near(*clock, *sustained.sm_clock_mhz);
}

Status run_sustained(Timer& timer, double seconds, const PowerReadings& readings, std::optional<Sustained>& found) {
  std::vector<Stretch> stretches;
  const auto joules = [&] { return readings.joules ? readings.joules() : std::nullopt; };
  const double start = readings.now();
  const std::optional<double> before = joules();
  for (double end = start; end - start < seconds;) {
    Stretch stretch;
    const auto look = [&] {
      if (readings.conditions) stretch.sm_clock_mhz = readings.conditions().sm_clock_mhz;
    };
    if (Status status = timer.run_for(stretch_seconds, look, stretch.microseconds); !status.ok()) return status;
    end = readings.now();
    const std::optional<double> after = joules();
    if (before && after) stretch.joules = *after - *before;
    stretch.end_s = end - start;
    stretches.push_back(stretch);
  }
  found = summarise_sustained(std::move(stretches));
  return {};
}

}  // namespace normquant::bench
