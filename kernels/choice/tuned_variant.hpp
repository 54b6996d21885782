// What the operations' choose_variant ask first: the variant that a tuned table suggests.
#pragma once

#include <vector>

#include <normquant/variant.hpp>

#include "choice/installed_tables.hpp"

namespace normquant::choice {

/// The first of the table's ranking that is deterministic and serves the problem; null when there is no table with
/// cells of that operation and alignment, or none does. `all` are the operation's variants on this device.
template <class Args>
const Variant<Args>* tuned_variant(const std::vector<Variant<Args>>& all, const Args& args, const DeviceInfo& device) {
  const Point point = point_of(args);
  const InstalledTable* installed = table_for(device, point);
  if (installed == nullptr) return nullptr;
  const std::vector<std::size_t>& places = installed->places[static_cast<std::size_t>(point.op)];
  for (std::uint16_t index : installed->index.rank(point)) {
    const std::size_t place = places[index];
    if (place >= all.size()) continue;
    const Variant<Args>& variant = all[place];
    if (variant.deterministic && variant.why_not(variant, args, device).empty()) return &variant;
  }
  return nullptr;
}

}  // namespace normquant::choice
