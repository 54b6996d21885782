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
  std::vector<double> power;
  for (const Stretch& stretch : stretches) {
    if (settled(stretch) && stretch.power_w) power.push_back(*stretch.power_w);
  }
  double sum = 0;
  for (const double watts : power) sum += watts;
  if (!power.empty()) found.power_w = sum / static_cast<double>(power.size());
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
  double began = start;
  std::optional<double> before = joules();
  while (began - start < seconds) {
    Stretch stretch;
    const auto look = [&] {
      if (readings.conditions) stretch.sm_clock_mhz = readings.conditions().sm_clock_mhz;
    };
    if (Status status = timer.run_for(stretch_seconds, look, stretch.microseconds); !status.ok()) return status;
    const double ended = readings.now();
    const std::optional<double> after = joules();
    if (before && after && *after > *before) stretch.power_w = (*after - *before) / (ended - began);
    stretch.end_s = ended - start;
    stretches.push_back(stretch);
    began = ended;
    before = after;
  }
  found = summarise_sustained(std::move(stretches));
  return {};
}

}  // namespace normquant::bench
