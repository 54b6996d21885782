// What the operations' choose_variant ask first: the variant that a tuned table suggests.
#pragma once

#include <vector>

#include <normquant/variant.hpp>

#include "choice/installed_tables.hpp"

namespace normquant::choice {

/// The first of the ranking that is deterministic and serves the problem; null when none does.
template <class Args>
const Variant<Args>* first_serving(const Ranking& ranking, const std::vector<std::size_t>& places,
                                   const std::vector<Variant<Args>>& all, const Args& args, const DeviceInfo& device) {
  for (std::uint16_t index : ranking) {
    const std::size_t place = places[index];
    if (place >= all.size()) continue;
    const Variant<Args>& variant = all[place];
    if (variant.deterministic && variant.why_not(variant, args, device).empty()) return &variant;
  }
  return nullptr;
}

/// The best that serves the problem, by the user's table where it has this very problem, else by the device's; null when there is
/// no table with cells of that operation and alignment, or none of its variants serves. `all` are the operation's variants on this
/// device.
template <class Args>
const Variant<Args>* tuned_variant(const std::vector<Variant<Args>>& all, const Args& args, const DeviceInfo& device) {
  const Point point = point_of(args);
  for (const InstalledTable* installed : {users_table_with(device, point), table_for(device, point)}) {
    if (installed == nullptr) continue;
    const std::vector<std::size_t>& places = installed->places[static_cast<std::size_t>(point.op)];
    if (const auto* found = first_serving(installed->index.rank(point), places, all, args, device)) return found;
  }
  return nullptr;
}

}  // namespace normquant::choice
