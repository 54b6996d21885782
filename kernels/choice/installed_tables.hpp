// The tables that choose_variant asks: compiled in, or set at run time.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include <normquant/device.hpp>

#include "choice/ranking.hpp"

namespace normquant::choice {

/// The texts of kernels/choice/*.table, compiled in.
const std::vector<std::string_view>& compiled_tables();

inline constexpr std::size_t no_place = static_cast<std::size_t>(-1);

enum class TableOrigin {
  compiled_in,
  users,  ///< user_tables.hpp: decides at the very problems of its cells, and elsewhere only where there is no other table
  set     ///< set_tuned_table: in place of all other tables of its device
};

/// A table ready for use. Immutable and never freed.
struct InstalledTable {
  TableOrigin origin = TableOrigin::compiled_in;
  TunedTable table;
  TableIndex index;
  /// For every name of the index its place in variants<Args>(), the same on all kinds of devices; no_place: unknown.
  std::array<std::vector<std::size_t>, all_operations.size()> places;
  const InstalledTable* next = nullptr;  ///< an older one
};

/// Names of the operation's variants in table order. They are the same for the host and, in a build with CUDA, for GPUs.
std::vector<std::string_view> variant_names(Operation op);

/// The newest table of all: another one after set_tuned_table.
const InstalledTable* newest_table();

/// The newest table for this device, or else for one with the same processor; null when there is none.
const InstalledTable* table_for(const DeviceInfo& device);
/// The same of tables with cells that can be asked about the problem: of its operation and alignment.
const InstalledTable* table_for(const DeviceInfo& device, const Point& point);

/// The user's table of this device with a cell at this very problem; null when there is none, or another table was set.
const InstalledTable* users_table_with(const DeviceInfo& device, const Point& point);

}  // namespace normquant::choice
