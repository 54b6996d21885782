#include "reports/whole_file.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <system_error>

namespace normquant::reports {

std::optional<std::string> read_whole(const std::string& path) {
  std::error_code ignored;
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path, ignored)) return std::nullopt;
  std::string content{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.bad()) return std::nullopt;
  return content;
}

bool ReadOnce::add(const std::string& file, const std::string& content, std::string& why) {
  const auto [other, added] =
      file_by_content_.emplace(std::pair(content.size(), std::hash<std::string>()(content)), file);
  if (added) return true;
  why = other->second == file ? fmt::format("{} is given twice; give each run once", file)
                              : fmt::format("{} holds the same as {}; give each run once", file, other->second);
  return false;
}

}  // namespace normquant::reports
