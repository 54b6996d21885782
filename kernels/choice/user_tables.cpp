#include "choice/user_tables.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

namespace normquant::choice {

std::string user_tables_folder() {
  if (const char* folder = std::getenv("NORMQUANT_TABLES")) return folder;
  const std::string below = "normquant/tables";
  if (const char* config = std::getenv("XDG_CONFIG_HOME"); config != nullptr && *config != '\0') {
    return std::string(config) + "/" + below;
  }
  const char* home = std::getenv("HOME");
  return home == nullptr || *home == '\0' ? "" : std::string(home) + "/.config/" + below;
}

std::vector<UserTable> read_user_tables(const std::string& folder, std::string& why) {
  std::vector<UserTable> tables;
  std::error_code error;
  if (folder.empty() || !std::filesystem::exists(folder, error)) return tables;
  std::filesystem::directory_iterator entry(folder, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (entry->path().extension() == ".table") tables.push_back({entry->path().string(), {}});
  }
  if (error) why = "cannot read the folder " + folder + ": " + error.message();
  std::sort(tables.begin(), tables.end(), [](const UserTable& a, const UserTable& b) { return a.path < b.path; });
  for (UserTable& table : tables) {
    std::ifstream file(table.path, std::ios::binary);
    table.text.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    if ((file.bad() || table.text.empty()) && why.empty()) why = "cannot read the table " + table.path;
  }
  std::erase_if(tables, [](const UserTable& table) { return table.text.empty(); });
  return tables;
}

}  // namespace normquant::choice
