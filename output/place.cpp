#include "output/place.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "exit_status.hpp"
#include "refusal.hpp"

namespace normquant::output {
namespace {

namespace fs = std::filesystem;

/// The number N of /dev/fd/N and its like; -1 when the path is none of this process's open files.
int descriptor_of(const fs::path& path) {
  const std::string name = path.filename().string();
  int number = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size() || number < 0) return -1;
  std::error_code ignored;
  const fs::path folder = fs::canonical(path.parent_path(), ignored);
  if (ignored) return -1;
  return folder == fs::path("/proc") / std::to_string(getpid()) / "fd" ? number : -1;
}

/// What standard output was before it was moved away from results; -1: it was not.
int moved_standard_output = -1;
bool moved_to_nowhere = false;

/// The descriptor that a place means.
int meant(const Place& place) {
  return place.descriptor == STDOUT_FILENO && moved_standard_output >= 0 ? moved_standard_output : place.descriptor;
}

bool same_file(int a, int b) {
  struct stat of_a {
  }, of_b{};
  return fstat(a, &of_a) == 0 && fstat(b, &of_b) == 0 && of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
}

/// /dev/null takes results and prints alike.
bool is_null_device(int descriptor) {
  struct stat of_descriptor {
  }, of_null{};
  return fstat(descriptor, &of_descriptor) == 0 && stat("/dev/null", &of_null) == 0 && S_ISCHR(of_null.st_mode) &&
         of_descriptor.st_rdev == of_null.st_rdev && S_ISCHR(of_descriptor.st_mode);
}

/// Results go where standard output leads: what is printed for people goes elsewhere from now on.
void move_standard_output() {
  std::fflush(stdout);
  constexpr int behind_standard_streams = 3;
  if (moved_standard_output < 0) moved_standard_output = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, behind_standard_streams);
  if (!same_file(STDERR_FILENO, STDOUT_FILENO)) {
    (void)dup2(STDERR_FILENO, STDOUT_FILENO);
    return;
  }
  const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (nowhere < 0) return;
  (void)dup2(nowhere, STDOUT_FILENO);
  moved_to_nowhere = true;
  (void)close(nowhere);
}

}  // namespace

Refusal cannot_write(const std::string& path, int error) {
  return {exit_infrastructure, fmt::format("cannot write {}: {}", path, std::strerror(error))};
}

Place place_of(const std::string& path) {
  if (path.empty()) throw Refusal{exit_usage, "the name of a file to write is empty"};
  constexpr int most_links = 40;  // as the kernel allows
  fs::path current = path == "-" ? "/dev/stdout" : path;
  for (int links = 0; links <= most_links; ++links) {
    Place place;
    place.path = current.string();
    place.descriptor = descriptor_of(current);
    if (place.descriptor >= 0) {
      place.kind = Place::Kind::descriptor;
      return place;
    }
    struct stat facts {};
    if (lstat(place.path.c_str(), &facts) != 0) {
      if (errno != ENOENT) throw cannot_write(path, errno);
      return place;
    }
    if (S_ISDIR(facts.st_mode))
      throw Refusal{exit_infrastructure, fmt::format("cannot write {}: it is a folder", path)};
    if (!S_ISLNK(facts.st_mode)) {
      place.kind = S_ISREG(facts.st_mode) ? Place::Kind::file : Place::Kind::stream;
      place.empty = facts.st_size == 0;
      return place;
    }
    std::error_code error;
    const fs::path target = fs::read_symlink(current, error);
    if (error) throw cannot_write(path, error.value());
    current = target.is_absolute() ? target : current.parent_path() / target;
  }
  throw cannot_write(path, ELOOP);
}

bool status_of(const Place& place, struct stat& facts) {
  return place.kind == Place::Kind::descriptor ? fstat(meant(place), &facts) == 0
                                               : stat(place.path.c_str(), &facts) == 0;
}

int open_stream(const Place& place) {
  int opened = -1;
  if (place.kind != Place::Kind::descriptor) {
    opened = open(place.path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
  } else {
    const int mode = fcntl(meant(place), F_GETFL);
    if (mode < 0 || (mode & O_ACCMODE) == O_RDONLY) throw cannot_write(place.path, EBADF);
    constexpr int behind_standard_streams = 3;
    opened = fcntl(meant(place), F_DUPFD_CLOEXEC, behind_standard_streams);
  }
  if (opened < 0) throw cannot_write(place.path, errno);
  if (same_file(opened, STDOUT_FILENO) && !is_null_device(opened)) move_standard_output();
  return opened;
}

bool nothing_is_printed() { return moved_to_nowhere; }

bool write_all(int descriptor, const char* data, unsigned long size) {
  while (size > 0) {
    const ssize_t taken = write(descriptor, data, size);
    if (taken < 0 && errno == EINTR) continue;
    if (taken == 0) errno = ENOSPC;
    if (taken <= 0) return false;
    data += taken;
    size -= static_cast<unsigned long>(taken);
  }
  return true;
}

}  // namespace normquant::output
