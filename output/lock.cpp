#include "output/lock.hpp"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <sstream>

#include "exit_status.hpp"
#include "output/place.hpp"
#include "refusal.hpp"

namespace normquant::output {
namespace {

struct Writer {
  std::string host, time;
  long pid = 0;
};

std::string this_host() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 && name[0] != '\0' ? name.data() : "this-host";
}

/// What the lock file says; an empty host when it says nothing.
Writer writer_in(int descriptor) {
  std::array<char, 512> text{};
  const ssize_t size = pread(descriptor, text.data(), text.size() - 1, 0);
  Writer writer;
  if (size > 0) std::istringstream(text.data()) >> writer.host >> writer.pid >> writer.time;
  return writer;
}

Refusal taken(const std::string& file, const std::string& lock, const Writer& writer) {
  if (writer.host == this_host() && writer.pid == getpid()) {
    return {exit_usage, fmt::format("{} is named for two outputs; give each a file of its own", file)};
  }
  const std::string who = writer.host.empty()
                              ? "another process"
                              : fmt::format("process {} on {} since {}", writer.pid, writer.host, writer.time);
  return {exit_infrastructure,
          fmt::format(
              "{} is being written by {}; wait for it or give another name (should that process be gone, remove {})",
              file, who, lock)};
}

/// Whether the path still names the file that is open: its last owner may have removed it meanwhile.
bool still_named(const std::string& path, int descriptor) {
  struct stat opened {
  }, named{};
  return fstat(descriptor, &opened) == 0 && stat(path.c_str(), &named) == 0 && opened.st_dev == named.st_dev &&
         opened.st_ino == named.st_ino;
}

}  // namespace

Lock::Lock(const std::string& file) : path_(file + ".lock") {
  for (;;) {
    descriptor_ = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (descriptor_ < 0) {
      throw Refusal{exit_infrastructure, fmt::format("cannot write {}: {}", file, std::strerror(errno))};
    }
    const bool locked = flock(descriptor_, LOCK_EX | LOCK_NB) == 0;
    const int error = errno;
    const Writer before = writer_in(descriptor_);
    const bool elsewhere = !before.host.empty() && before.host != this_host();
    // Where the file system has no locks, what is written decides: a process of this host can be asked for.
    const bool alive = !before.host.empty() && !elsewhere && kill(static_cast<pid_t>(before.pid), 0) == 0;
    if ((!locked && (error == EWOULDBLOCK || alive)) || elsewhere) {
      close(descriptor_);
      throw taken(file, path_, before);
    }
    if (still_named(path_, descriptor_)) break;
    close(descriptor_);
  }
  const std::string text =
      fmt::format("{} {} {:%Y-%m-%dT%H:%M:%SZ}\n", this_host(), getpid(), fmt::gmtime(std::time(nullptr)));
  if (ftruncate(descriptor_, 0) != 0 || !write_all(descriptor_, text.data(), text.size())) {
    const int error = errno;
    (void)unlink(path_.c_str());
    close(descriptor_);
    throw Refusal{exit_infrastructure, fmt::format("cannot write {}: {}", file, std::strerror(error))};
  }
  removal_ = std::make_unique<OnInterrupt>([this] { remove(); });
}

/// Not one that another process made meanwhile, after somebody had removed this one.
void Lock::remove() const {
  if (still_named(path_, descriptor_)) (void)unlink(path_.c_str());
}

Lock::~Lock() {
  removal_.reset();
  remove();  // before it is unlocked: who waits for it sees that the name is gone
  close(descriptor_);
}

}  // namespace normquant::output
