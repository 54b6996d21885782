// The table of shapes that a user timed, which choose_variant reads beside those compiled in (docs/choice.md).
#pragma once

#include <string>
#include <vector>

#include "bench/tune/timed_cases.hpp"
#include "kernels/choice/tuned_table.hpp"

namespace normquant::tune {

/// `<device>.table` in the folder of the user's tables; empty where there is none ($NORMQUANT_TABLES is empty, or no $HOME).
std::string users_table_path(const std::string& device);

/// Writes the cells into the table of that path: in place of earlier cells of the same problems, beside all others. Makes the folder
/// where there is none. Returns how many cells the table has now. Throws a Refusal: exit_usage for a file that is no table or is
/// another device's, exit_infrastructure for a place that cannot be written.
std::size_t keep_in_users_table(const std::string& path, const TimedDevice& device,
                                const std::vector<choice::Cell>& cells);

}  // namespace normquant::tune
