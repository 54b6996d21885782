// Tuned tables for choose_variant: those of the devices known to this build are compiled in; others are loaded here.
#pragma once

#include <string_view>

#include <normquant/device.hpp>
#include <normquant/status.hpp>

namespace normquant {

/// From now on choose_variant asks this table about the device that it names, in place of any earlier one. The text is
/// what `normquant tune` writes. Refuses, with a sentence, a malformed table and one that lists variants this build does
/// not have. Any thread may call it at any time; a table is kept until the program ends.
Status set_tuned_table(std::string_view text);

/// Whether the user's tables are usable, which choose_variant reads the first time: the files *.table of $NORMQUANT_TABLES, or else
/// of normquant/tables under $XDG_CONFIG_HOME or ~/.config. `normquant tune --shapes` writes them. Where not, a sentence that
/// names the first file; of that file what is usable counts.
Status users_tables();

/// Whether choose_variant has a table for this device; without one it follows a rule that is safe on all.
bool has_tuned_table(const DeviceInfo& device);

}  // namespace normquant
