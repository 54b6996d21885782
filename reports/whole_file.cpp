#include "reports/whole_file.hpp"

#include <filesystem>
#include <fstream>
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

}  // namespace normquant::reports
