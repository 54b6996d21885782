#include "tests/mutants/processes.hpp"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <stdexcept>

namespace normquant::mutants {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// In the stream of a process: it is alive; all that follows is its text.
constexpr char alive_mark = '.', text_mark = '=';

void write_all(int file, const char* data, std::size_t bytes) {
  while (bytes > 0) {
    const ssize_t written = ::write(file, data, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // the parent is gone
    data += written;
    bytes -= static_cast<std::size_t>(written);
  }
}

struct Process {
  std::size_t index = 0;
  pid_t id = -1;
  int from = -1;  ///< its stream
  std::string stream;
  bool hung = false;
  Clock::time_point started, last_sign;
};

Process start(std::size_t index, const Work& work) {
  int ends[2] = {};
  if (::pipe(ends) != 0) throw std::runtime_error("no pipe to a process");
  Process process;
  process.index = index;
  process.id = ::fork();
  if (process.id < 0) throw std::runtime_error("no further process can be started");
  if (process.id == 0) {
    ::close(ends[0]);
    const std::string text = work([&] { write_all(ends[1], &alive_mark, 1); });
    const std::string whole = text_mark + text;
    write_all(ends[1], whole.data(), whole.size());
    ::_exit(0);  // nothing of the parent's is ended twice
  }
  ::close(ends[1]);
  process.from = ends[0];
  process.started = process.last_sign = Clock::now();
  return process;
}

/// Reads what there is; false at the end of the stream.
bool read_some(Process& process) {
  char buffer[4096];
  const ssize_t bytes = ::read(process.from, buffer, sizeof buffer);
  if (bytes < 0) return errno == EINTR;
  process.stream.append(buffer, static_cast<std::size_t>(bytes));
  process.last_sign = Clock::now();
  return bytes > 0;
}

Ended end_of(const Process& process) {
  ::close(process.from);
  int status = 0;
  while (::waitpid(process.id, &status, 0) < 0 && errno == EINTR) {
  }
  Ended ended;
  ended.seconds = seconds_since(process.started);
  ended.hung = process.hung;
  if (WIFSIGNALED(status)) ended.signal = WTERMSIG(status);
  const std::size_t mark = process.stream.find(text_mark);
  if (mark != std::string::npos && ended.signal == 0) ended.text = process.stream.substr(mark + 1);
  return ended;
}

}  // namespace

void run_processes(const std::vector<Work>& all, int side_by_side, double most_silent,
                   const std::function<void(std::size_t index, const Ended& ended)>& done) {
  std::vector<Process> running;
  std::size_t next = 0;
  while (next < all.size() || !running.empty()) {
    while (next < all.size() && running.size() < static_cast<std::size_t>(side_by_side)) {
      running.push_back(start(next, all[next]));
      ++next;
    }
    std::vector<pollfd> streams;
    for (const Process& process : running) streams.push_back({process.from, POLLIN, 0});
    constexpr int milliseconds = 500;
    ::poll(streams.data(), streams.size(), milliseconds);
    for (std::size_t i = running.size(); i-- > 0;) {
      Process& process = running[i];
      if (streams[i].revents != 0 && !read_some(process)) {
        done(process.index, end_of(process));
        running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
      } else if (!process.hung && seconds_since(process.last_sign) > most_silent) {
        process.hung = true;
        ::kill(process.id, SIGKILL);
      }
    }
  }
}

}  // namespace normquant::mutants
