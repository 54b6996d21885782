#include "reports/whole_file.hpp"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

namespace normquant::reports {
namespace {

std::string partial_path(const std::string& path) { return path + ".partial"; }

}  // namespace

std::optional<std::string> read_whole(const std::string& path) {
  std::error_code ignored;
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path, ignored)) return std::nullopt;
  return std::string{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

bool write_whole(const std::string& path, const std::string& content) {
  const std::string partial = partial_path(path);
  std::ofstream file(partial, std::ios::binary);
  file << content;
  file.close();
  std::error_code error;
  if (file) std::filesystem::rename(partial, path, error);
  if (file && !error) return true;
  std::filesystem::remove(partial, error);
  return false;
}

bool can_write(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return false;
  const bool opened = std::ofstream(partial_path(path), std::ios::binary).good();
  std::filesystem::remove(partial_path(path), error);
  return opened;
}

}  // namespace normquant::reports
