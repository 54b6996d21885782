// The choice by everything but M: for every number of rows one variant, or several whose rows have the same bits (docs/choice.md).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <normquant/variant.hpp>

#include "choice/point.hpp"
#include "choice/tuned_variant.hpp"
#include "operation.hpp"

namespace normquant::choice {

/// The numbers of rows that a choice for every M is judged by: from one row to a long prompt's, by factors of two. What counts is the
/// mean of the losses to the power of 1.5, so that one large loss counts more than several small ones; a loss is the time over that of
/// the best variant, less 1.
inline constexpr std::array<std::int64_t, 16> judged_rows = {1,   2,   4,    8,    16,   32,   64,    128,
                                                             256, 512, 1024, 2048, 4096, 8192, 16384, 32768};

/// Up to so many rows a row-invariant choice serves whatever serves one.
inline constexpr std::int64_t most_invariant_rows = std::int64_t{1} << 24;

/// Where there is nothing to judge by, the rule without a table decides for so many rows.
inline constexpr std::int64_t rows_of_the_rule = 1024;

/// Places in variants<Args>() of variants that others may stand in for, the best first.
struct InvariantOrder {
  static constexpr std::size_t most = 32;
  std::array<std::uint16_t, most> places{};
  std::size_t count = 0;
};

/// By the device's model of costs, or where it has none of the problem by its table; empty where there is neither. The problem's M
/// does not count. Remembered by the calling thread; valid until the thread asks again.
const InvariantOrder& invariant_order(const Point& point, const DeviceInfo& device);

/// Whether the variant promises a row's bits from run to run and for every M, and serves all numbers of rows.
template <class Args>
bool serves_every_m(const Variant<Args>& variant, Args args, const DeviceInfo& device) {
  if (!variant.deterministic || !variant.row_invariant) return false;
  args.rows = most_invariant_rows;
  if (!variant.why_not(variant, args, device).empty()) return false;
  args.rows = 1;
  return variant.why_not(variant, args, device).empty();
}

/// `head`, or the best for this M of those whose rows have its bits.
template <class Args>
const Variant<Args>& best_of_the_same_bits(const std::vector<Variant<Args>>& all, const Variant<Args>& head,
                                           const Args& args, const DeviceInfo& device) {
  const auto same = [&](const Variant<Args>& variant) {
    return &variant == &head || (variant.row_invariant && variant.row_bits_of == head.name);
  };
  const bool alone = std::none_of(all.begin(), all.end(), [&](const auto& v) { return &v != &head && same(v); });
  if (alone) return head;
  const Variant<Args>* best = tuned_variant(all, args, device, same);
  return best != nullptr ? *best : head;
}

/// choose_variant(args, device, true). `all` are the operation's variants on this device, `row_bytes` those of a row of x.
template <class Args>
const Variant<Args>& row_invariant_variant(const std::vector<Variant<Args>>& all, const Args& args,
                                           const DeviceInfo& device, std::int64_t row_bytes) {
  const InvariantOrder& order = invariant_order(point_of(args), device);
  for (std::size_t i = 0; i < order.count; ++i) {
    if (order.places[i] >= all.size()) continue;
    const Variant<Args>& head = all[order.places[i]];
    if (serves_every_m(head, args, device)) return best_of_the_same_bits(all, head, args, device);
  }
  Args some = args;
  some.rows = rows_of_the_rule;
  const auto serves = [&](const Variant<Args>& variant) { return serves_every_m(variant, args, device); };
  const Variant<Args>& nearest = nearest_variant(all, some, device, row_bytes, serves);
  return serves(nearest) ? nearest : choose_variant(args, device);
}

}  // namespace normquant::choice
