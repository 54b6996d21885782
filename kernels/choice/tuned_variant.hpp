// What the operations' choose_variant ask first: the variant that a tuned table suggests.
#pragma once

#include <vector>

#include <normquant/variant.hpp>

#include "choice/installed_models.hpp"
#include "choice/installed_tables.hpp"

namespace normquant::choice {

/// The first of the ranking that is deterministic, allowed and serves the problem; null when none does.
template <class Args, class Allowed>
const Variant<Args>* first_serving(const Ranking& ranking, const std::vector<std::size_t>& places,
                                   const std::vector<Variant<Args>>& all, const Args& args, const DeviceInfo& device,
                                   const Allowed& allowed) {
  for (std::uint16_t index : ranking) {
    const std::size_t place = places[index];
    if (place >= all.size()) continue;
    const Variant<Args>& variant = all[place];
    if (variant.deterministic && allowed(variant) && variant.why_not(variant, args, device).empty()) return &variant;
  }
  return nullptr;
}

/// The cheapest by the model that is deterministic, allowed and serves the problem; null when none does.
template <class Args, class Allowed>
const Variant<Args>* cheapest_serving(const CostModel& model, const Point& point, const std::vector<Variant<Args>>& all,
                                      const Args& args, const DeviceInfo& device, const Allowed& allowed) {
  const CostRanking ranking = rank(model, point);
  for (std::size_t i = 0; i < ranking.count; ++i) {
    if (ranking.places[i] >= all.size()) continue;
    const Variant<Args>& variant = all[ranking.places[i]];
    if (variant.deterministic && allowed(variant) && variant.why_not(variant, args, device).empty()) return &variant;
  }
  return nullptr;
}

/// The best that serves the problem: by the user's table where it has this very problem, by the device's table where that has it,
/// else by the device's model, else by the nearest cells of the table. A table that was set at run time speaks for all problems.
/// Null when there is neither model nor table for the operation and alignment, or none of their variants serves. `all` are the
/// operation's variants on this device, `allowed(variant)` says which of them may be taken.
template <class Args, class Allowed>
const Variant<Args>* tuned_variant(const std::vector<Variant<Args>>& all, const Args& args, const DeviceInfo& device,
                                   const Allowed& allowed) {
  const Point point = point_of(args);
  const InstalledTable *users = users_table_with(device, point), *table = table_for(device, point);
  const bool timed = users != nullptr || (table != nullptr && table->index.has_cell_at(point));
  const bool set = table != nullptr && table->origin == TableOrigin::set;
  const CostModel* model = timed || set ? nullptr : model_for(device);
  if (model != nullptr) {
    if (const auto* found = cheapest_serving(*model, point, all, args, device, allowed)) return found;
  }
  for (const InstalledTable* installed : {users, table}) {
    if (installed == nullptr) continue;
    const std::vector<std::size_t>& places = installed->places[static_cast<std::size_t>(point.op)];
    if (const auto* found = first_serving(installed->index.rank(point), places, all, args, device, allowed))
      return found;
  }
  return nullptr;
}
template <class Args>
const Variant<Args>* tuned_variant(const std::vector<Variant<Args>>& all, const Args& args, const DeviceInfo& device) {
  return tuned_variant(all, args, device, [](const Variant<Args>&) { return true; });
}

}  // namespace normquant::choice
