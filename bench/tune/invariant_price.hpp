// What the choice by everything but M costs beside `auto`, from records that hold the times of both (docs/row_invariance.md).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <normquant/device.hpp>

#include "bench/tune/timed_cases.hpp"

namespace normquant::tune {

/// What it is meant to cost: in the mean over all cases, and at worst where there are least_rows_of_worst rows and more.
inline constexpr double mean_price_target = 0.05, worst_price_target = 0.15;
inline constexpr std::int64_t least_rows_of_worst = 128;

struct CasePrice {
  choice::Point point;
  std::string text, chosen, invariant;  ///< the case; what `auto` stands for; the row-invariant choice
  double chosen_us = 0, invariant_us = 0;
  /// Negative where `auto` chose worse.
  double price() const { return invariant_us / chosen_us - 1; }
};

struct Prices {
  std::vector<CasePrice> cases;
  std::vector<std::string> not_timed;  ///< cases, with which of the two choices has no time
};

/// The device of these records, as far as a choice may depend on it. It is of the host's kind, whose tables of variants every
/// build has.
DeviceInfo device_like(const TimedDevice& timed);

/// Both choices as this build makes them, with the times of the records; of operations with a row-invariant choice.
Prices prices(const std::vector<TimedCase>& cases, const DeviceInfo& device);

/// A table of all cases, then the figures by operation, form and number of rows, and whether the targets are met.
std::string to_text(const Prices& prices);

}  // namespace normquant::tune
