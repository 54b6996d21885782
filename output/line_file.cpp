#include "output/line_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "exit_status.hpp"
#include "refusal.hpp"

namespace normquant::output {

void LineFile::open_file(const std::string& path, const Place& place, int flags) {
  constexpr mode_t readable = 0666;
  descriptor_ = ::open(place.path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC | flags, readable);
  if (descriptor_ < 0) {
    throw cannot_write(path, errno);
  }
  path_ = path;
  regular_ = true;
}

void LineFile::open(const std::string& path, Existing existing) {
  const Place place = place_of(path);
  if (!place.replaceable()) {
    claim_ = Claim(path, place);
    descriptor_ = open_stream(place);
    path_ = path;
    return;
  }
  refuse_unwritable(path, existing);
  claim_ = Claim(path, place);
  lock_ = std::make_unique<Lock>(place.path);
  refuse_existing(path, place_of(path), existing);  // what another process finished before it was locked
  open_file(path, place, O_CREAT | O_TRUNC);
}

void LineFile::open_behind(const std::string& path, std::size_t bytes) {
  const Place place = place_of(path);
  if (!place.replaceable()) {
    throw Refusal{exit_usage, fmt::format("{} is no file that can be gone on with", path)};
  }
  claim_ = Claim(path, place);
  lock_ = std::make_unique<Lock>(place.path);
  open_file(path, place, O_CREAT);
  if (ftruncate(descriptor_, static_cast<off_t>(bytes)) != 0) {
    throw cannot_write(path, errno);
  }
}

bool LineFile::write(const std::string& line) {
  if (descriptor_ < 0 || !failure_.empty()) return failure_.empty();
  struct stat before {};
  const bool known = regular_ && fstat(descriptor_, &before) == 0;
  const std::string text = line + "\n";
  if (write_all(descriptor_, text.data(), text.size())) return true;
  failure_ = fmt::format("writing {} failed, it is incomplete: {}", path_, std::strerror(errno));
  if (known && ftruncate(descriptor_, before.st_size) != 0) failure_ += "; its last line is cut off";
  return false;
}

LineFile::~LineFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

std::size_t whole_lines(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const std::size_t end = content.rfind('\n');
  return end == std::string::npos ? 0 : end + 1;
}

}  // namespace normquant::output
