#include "choice/installed_tables.hpp"

#include <algorithm>
#include <atomic>
#include <memory>

#include <normquant/choice.hpp>
#include <normquant/variant.hpp>

#include "choice/user_tables.hpp"

namespace normquant::choice {
namespace {

/// Fills `places`; the sentence names the first variant that is unknown.
std::string find_places(InstalledTable& installed) {
  std::string why;
  for (const Operation op : all_operations) {
    std::vector<std::size_t>& places = installed.places[static_cast<std::size_t>(op)];
    const std::vector<std::string_view> known = variant_names(op);
    for (const std::string& name : installed.index.names(op)) {
      const auto found = std::find(known.begin(), known.end(), name);
      places.push_back(found == known.end() ? no_place : static_cast<std::size_t>(found - known.begin()));
      if (found != known.end() || !why.empty()) continue;
      why = std::string(name_of(op)) + " has no variant called " + name +
            " in this build; the table is another version's and must be tuned again";
    }
  }
  return why;
}

/// A table ready for use, and a sentence in `why` when it is not perfect; null when it is malformed.
std::unique_ptr<InstalledTable> made_ready(std::string_view text, TableOrigin origin, std::string& why) {
  TunedTable table;
  if (!parse_table(text, table, why)) return nullptr;
  TableIndex index(table);
  auto installed =
      std::make_unique<InstalledTable>(InstalledTable{origin, std::move(table), std::move(index), {}, nullptr});
  why = find_places(*installed);
  return installed;
}

/// Newest first. Readers take no lock: what is linked here is never changed and never freed.
class Registry {
 public:
  /// Variants that a compiled-in table names and this build lacks are passed over; a test sees to it that there are none. Those of a
  /// user's table too, with a sentence.
  Registry() {
    std::string why;
    for (std::string_view text : compiled_tables()) {
      if (auto installed = made_ready(text, TableOrigin::compiled_in, why)) add(std::move(installed));
    }
    for (const UserTable& user : read_user_tables(user_tables_folder(), users_fault_)) {
      why.clear();
      if (auto installed = made_ready(user.text, TableOrigin::users, why)) add(std::move(installed));
      if (!why.empty() && users_fault_.empty()) users_fault_ = user.path + ": " + why;
    }
  }

  void add(std::unique_ptr<InstalledTable> installed) {
    InstalledTable* table = installed.release();
    table->next = newest_.load(std::memory_order_relaxed);
    while (!newest_.compare_exchange_weak(table->next, table, std::memory_order_release, std::memory_order_relaxed)) {
    }
  }
  const InstalledTable* newest() const { return newest_.load(std::memory_order_acquire); }
  const std::string& users_fault() const { return users_fault_; }

 private:
  std::string users_fault_;
  std::atomic<const InstalledTable*> newest_ = nullptr;
};

Registry& registry() {
  static Registry tables;
  return tables;
}

/// Whether there is a newer table for the device of this one: then this one does not count any more. A user's table replaces none.
bool is_replaced(const InstalledTable& installed) {
  const TunedTable& old = installed.table;
  for (const InstalledTable* newer = registry().newest(); newer != &installed; newer = newer->next) {
    const TunedTable& table = newer->table;
    if (newer->origin == TableOrigin::users && installed.origin != TableOrigin::users) continue;
    if (table.device == old.device && table.compute_capability == old.compute_capability &&
        table.sm_count == old.sm_count) {
      return true;
    }
  }
  return false;
}

/// Of the device, or else of one with the same processor. A user's table counts where there is no other.
template <class Fits>
const InstalledTable* newest_of(const DeviceInfo& device, Fits fits) {
  const InstalledTable *related = nullptr, *users = nullptr;
  for (const InstalledTable* installed = registry().newest(); installed != nullptr; installed = installed->next) {
    if (!fits(*installed) || is_replaced(*installed)) continue;
    const bool own = is_for(installed->table, device);
    if (installed->origin == TableOrigin::users) {
      if (own && users == nullptr) users = installed;
      continue;
    }
    if (own) return installed;
    if (related == nullptr && is_for_same_processor(installed->table, device)) related = installed;
  }
  return related != nullptr ? related : users;
}

}  // namespace

std::vector<std::string_view> variant_names(Operation op) {
  return with_operation(op, []<class Args>(std::type_identity<Args>) {
    std::vector<std::string_view> names;
    if constexpr (!is_layer_arguments<Args>) {  // whose variants are another library's
      for (const Variant<Args>& variant : variants<Args>(DeviceKind::host)) names.push_back(variant.name);
    }
    return names;
  });
}

const InstalledTable* newest_table() { return registry().newest(); }

const InstalledTable* table_for(const DeviceInfo& device) {
  return newest_of(device, [](const InstalledTable&) { return true; });
}

const InstalledTable* table_for(const DeviceInfo& device, const Point& point) {
  return newest_of(device, [&](const InstalledTable& installed) { return installed.index.has_cells_for(point); });
}

const InstalledTable* users_table_with(const DeviceInfo& device, const Point& point) {
  for (const InstalledTable* installed = registry().newest(); installed != nullptr; installed = installed->next) {
    if (!is_for(installed->table, device)) continue;
    if (installed->origin == TableOrigin::set) return nullptr;
    if (installed->origin == TableOrigin::users && installed->index.has_cell_at(point)) return installed;
  }
  return nullptr;
}

}  // namespace normquant::choice

namespace normquant {

Status users_tables() {
  const std::string& fault = choice::registry().users_fault();
  return fault.empty() ? Status{} : Status::invalid_argument("a table of yours is not usable: " + fault);
}

Status set_tuned_table(std::string_view text) {
  std::string why;
  auto installed = choice::made_ready(text, choice::TableOrigin::set, why);
  if (!why.empty()) return Status::invalid_argument("the tuned table is not usable: " + why);
  choice::registry().add(std::move(installed));
  return {};
}

bool has_tuned_table(const DeviceInfo& device) { return choice::table_for(device) != nullptr; }

}  // namespace normquant
