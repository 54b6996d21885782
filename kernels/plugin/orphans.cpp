#include "plugin/orphans.hpp"

#include <dirent.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): kill is POSIX's
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace normquant::plugins {
namespace {

/// Never destroyed: processes are ended while the program ends.
struct Family {
  std::mutex mutex;
  std::set<int> own;
  bool adopts = false;
};
Family& family() {
  static auto& one = *new Family;
  return one;
}

/// The parent of a process, as /proc/PID/stat says it behind the name, which may hold blanks and brackets; 0 when it is gone.
int parent_of(const std::string& process) {
  std::ifstream file("/proc/" + process + "/stat");
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(text.substr(name_end + 1));
  std::string state;
  int parent = 0;
  return fields >> state >> parent ? parent : 0;
}

std::vector<int> children() {
  std::vector<int> all;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir("/proc"), closedir);
  if (folder == nullptr) return all;
  while (const dirent* entry = readdir(folder.get())) {  // NOLINT(concurrency-mt-unsafe): a stream of its own
    const int process = std::atoi(static_cast<const char*>(entry->d_name));
    if (process > 0 && parent_of(static_cast<const char*>(entry->d_name)) == getpid()) all.push_back(process);
  }
  return all;
}

/// With each generation that is ended the next one becomes this process's.
void end_children_but(const std::set<int>& spared) {
  constexpr int most_rounds = 500, pause_us = 2000;  // a second, for a process that the system does not let go
  for (int round = 0; round < most_rounds; ++round) {
    bool some = false;
    for (const int child : children()) {
      if (spared.contains(child)) continue;
      some = true;
      (void)kill(child, SIGKILL);
      (void)waitpid(child, nullptr, WNOHANG);
    }
    if (!some) return;
    (void)usleep(pause_us);
  }
}

}  // namespace

void adopt_orphans() {
  const std::lock_guard lock(family().mutex);
  family().adopts = family().adopts || prctl(PR_SET_CHILD_SUBREAPER, 1) == 0;
}

int start_own(int (*start)(void* with), void* with) {
  const std::lock_guard lock(family().mutex);
  const int process = start(with);
  if (process > 0) family().own.insert(process);
  return process;
}

void disown(int process) {
  const std::lock_guard lock(family().mutex);
  family().own.erase(process);
}

void end_orphans() {
  const std::lock_guard lock(family().mutex);
  if (family().adopts) end_children_but(family().own);
}

void end_all_children() {
  const std::lock_guard lock(family().mutex);
  for (const int child : family().own) (void)kill(-child, SIGKILL);
  if (family().adopts) end_children_but({});
}

}  // namespace normquant::plugins
