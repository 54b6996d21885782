#include "output/output_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "exit_status.hpp"
#include "refusal.hpp"

namespace normquant::output {
namespace {

std::string partial_of(const Place& place) { return place.path + ".partial"; }

/// Creates the partial file anew; the caller closes it.
int open_partial(const std::string& path, const Place& place) {
  const std::string partial = partial_of(place);
  (void)unlink(partial.c_str());  // of a killed process, or a trap
  constexpr mode_t readable = 0666;
  const int opened = ::open(partial.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, readable);
  if (opened < 0) throw cannot_write(path, errno);
  return opened;
}

}  // namespace

void refuse_existing(const std::string& path, const Place& place, Existing existing) {
  struct stat named {
  }, printed{};
  if (place.kind == Place::Kind::file && stat(place.path.c_str(), &named) == 0 && fstat(STDOUT_FILENO, &printed) == 0 &&
      named.st_dev == printed.st_dev && named.st_ino == printed.st_ino) {
    throw Refusal{exit_usage, fmt::format("{} is where standard output goes already; give another name", path)};
  }
  if (existing == Existing::replace || place.kind != Place::Kind::file || place.empty) return;
  throw Refusal{exit_usage,
                fmt::format("{} is there already and is not overwritten; give another name, or --force", path)};
}

void OutputFile::open(const std::string& path, Existing existing) {
  if (path.empty()) return;
  place_ = place_of(path);
  claim_ = Claim(path, place_);
  if (!place_.replaceable()) {
    stream_ = open_stream(place_);
    path_ = path;
    return;
  }
  refuse_existing(path, place_, existing);
  lock_ = std::make_unique<Lock>(place_.path);
  refuse_existing(path, place_of(path), existing);  // what another process finished before it was locked
  removal_ = std::make_unique<OnInterrupt>([partial = partial_of(place_)] { (void)unlink(partial.c_str()); });
  close(open_partial(path, place_));
  path_ = path;
}

void OutputFile::commit(const std::string& text) {
  if (!is_open()) return;
  const InterruptLater later;
  if (stream_ < 0) return commit_file(text);
  if (!write_all(stream_, text.data(), text.size())) throw cannot_write(path_, errno);
}

void OutputFile::commit_file(const std::string& text) {
  const std::string partial = partial_of(place_);
  const int file = open_partial(path_, place_);
  struct stat before {};
  if (stat(place_.path.c_str(), &before) == 0) (void)fchmod(file, before.st_mode & 07777);
  bool written = write_all(file, text.data(), text.size());
  int error = errno;
  if (close(file) != 0 && written) written = false, error = errno;
  if (written && std::rename(partial.c_str(), place_.path.c_str()) == 0) return;
  if (written) error = errno;
  (void)unlink(partial.c_str());
  throw cannot_write(path_, error);
}

std::string OutputFile::place_to_write() const { return stream_ >= 0 || !is_open() ? path_ : partial_of(place_); }

void OutputFile::commit_what_is_written() {
  if (!is_open() || stream_ >= 0) return;
  const InterruptLater later;
  if (std::rename(partial_of(place_).c_str(), place_.path.c_str()) != 0) throw cannot_write(path_, errno);
}

OutputFile::~OutputFile() {
  if (stream_ >= 0) close(stream_);
  removal_.reset();
  if (is_open() && stream_ < 0) (void)unlink(partial_of(place_).c_str());
}

void refuse_unwritable(const std::string& path, Existing existing) {
  const Place place = place_of(path);
  if (!place.replaceable()) return;
  OutputFile file;
  file.open(path, existing);
}

void write_document(const std::string& path, const std::string& text, Existing existing) {
  OutputFile file;
  file.open(path, existing);
  file.commit(text);
}

void append_document(const std::string& path, const std::string& text) {
  const Place place = place_of(path);
  constexpr mode_t readable = 0666;
  const int file = place.replaceable() ? ::open(place.path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, readable)
                                       : open_stream(place);
  if (file < 0) throw cannot_write(path, errno);
  bool written = write_all(file, text.data(), text.size());
  int error = errno;
  if (close(file) != 0 && written) written = false, error = errno;
  if (!written) throw cannot_write(path, error);
}

}  // namespace normquant::output
