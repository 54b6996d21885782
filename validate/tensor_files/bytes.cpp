#include "validate/tensor_files/bytes.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace normquant::tensors {

bool MemoryBytes::read(std::uint64_t offset, std::span<unsigned char> to) {
  if (offset > bytes_.size() || to.size() > bytes_.size() - offset) return false;
  if (!to.empty()) std::memcpy(to.data(), bytes_.data() + offset, to.size());
  return true;
}

std::unique_ptr<FileBytes> FileBytes::open(const std::string& path, std::string& why) {
  std::error_code error;
  const bool regular = std::filesystem::is_regular_file(path, error);
  if (error) {
    why = fmt::format("cannot read {}: {}", path, error.message());
    return nullptr;
  }
  if (!regular) {
    why = fmt::format("cannot read {}: tensors are read from files, and this is none; save it to one first", path);
    return nullptr;
  }
  const std::uint64_t size = std::filesystem::file_size(path, error);
  std::FILE* file = error ? nullptr : std::fopen(path.c_str(), "rb");
  if (file == nullptr) {
    why = fmt::format("cannot read {}: {}", path, error ? error.message() : std::strerror(errno));
    return nullptr;
  }
  return std::unique_ptr<FileBytes>(new FileBytes(file, size));
}

FileBytes::~FileBytes() { std::fclose(file_); }

bool FileBytes::read(std::uint64_t offset, std::span<unsigned char> to) {
  if (offset > size_ || to.size() > size_ - offset) return false;
  if (fseeko(file_, static_cast<off_t>(offset), SEEK_SET) != 0) return false;
  return std::fread(to.data(), 1, to.size(), file_) == to.size();
}

}  // namespace normquant::tensors
