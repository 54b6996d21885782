#include "bench/tune/users_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "exit_status.hpp"
#include "kernels/choice/user_tables.hpp"
#include "output/output_file.hpp"
#include "refusal.hpp"

namespace normquant::tune {
namespace {

/// The table as it is; one without cells where there is no file.
choice::TunedTable table_at(const std::string& path, const TimedDevice& device) {
  choice::TunedTable table{device.name, device.compute_capability, device.sm_count, {}};
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return table;
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  std::string why;
  if (!choice::parse_table(text, table, why)) {
    throw Refusal{exit_usage, fmt::format("{} is not a table: {}; move it away to begin anew", path, why)};
  }
  const bool same = table.device == device.name && table.compute_capability == device.compute_capability &&
                    table.sm_count == device.sm_count;
  if (!same)
    throw Refusal{exit_usage, fmt::format("{} is of {}, the timings are of {}", path, table.device, device.name)};
  return table;
}

}  // namespace

std::string users_table_path(const std::string& device) {
  const std::string folder = choice::user_tables_folder();
  return folder.empty() ? "" : folder + "/" + choice::file_name(device);
}

std::size_t keep_in_users_table(const std::string& path, const TimedDevice& device,
                                const std::vector<choice::Cell>& cells) {
  choice::TunedTable table = table_at(path, device);
  for (const choice::Cell& cell : cells) {
    const auto found = std::find_if(table.cells.begin(), table.cells.end(),
                                    [&](const choice::Cell& other) { return other.point == cell.point; });
    if (found == table.cells.end()) {
      table.cells.push_back(cell);
    } else {
      *found = cell;
    }
  }
  std::error_code error;
  if (const auto folder = std::filesystem::path(path).parent_path(); !folder.empty()) {
    std::filesystem::create_directories(folder, error);
    if (error)
      throw Refusal{exit_infrastructure,
                    fmt::format("cannot make the folder {}: {}", folder.string(), error.message())};
  }
  const std::vector<std::string> comments = {
      "Shapes that were timed here, written by `normquant tune --shapes`; choose_variant reads this file. "
      "docs/choice.md explains it.",
      fmt::format("Timed last: {}", device.about)};
  output::write_document(path, choice::to_text(table, comments), output::Existing::replace);
  return table.cells.size();
}

}  // namespace normquant::tune
