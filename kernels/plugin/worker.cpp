#include "plugin/worker.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <random>
#include <system_error>

#include "plugin/orphans.hpp"

extern char** environ;  // NOLINT(readability-redundant-declaration): not every system's unistd.h has it

namespace normquant::plugins {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int line_in_worker = 3;  ///< where the process finds it
constexpr std::size_t longest_answer = std::size_t{64} << 20;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

std::string own_program() {
  std::error_code error;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? std::string("normquant") : path.string();
}

/// Writes all of it, whatever becomes of the other side.
bool send_all(int line, const std::string& text) {
  for (std::size_t sent = 0; sent < text.size();) {
    const ssize_t count = ::send(line, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    sent += static_cast<std::size_t>(count);
  }
  return true;
}

/// The first whole line of `text`, which it is taken from; false when there is none.
bool take_line(std::string& text, std::string& line) {
  const std::size_t end = text.find('\n');
  if (end == std::string::npos) return false;
  line = text.substr(0, end);
  text.erase(0, end + 1);
  return true;
}

/// Appends what has arrived; false at the end, or when `milliseconds` passed without anything (then `waiting`).
bool receive(int line, int milliseconds, std::string& text, bool& waiting) {
  pollfd one{line, POLLIN, 0};
  const int ready = poll(&one, 1, milliseconds);
  waiting = ready == 0 || (ready < 0 && errno == EINTR);
  if (ready <= 0) return false;
  char buffer[65536];
  const ssize_t count = recv(line, buffer, sizeof buffer, 0);
  if (count > 0) text.append(buffer, static_cast<std::size_t>(count));
  return count > 0;
}

/// So that no line that a plugin writes by mistake is taken for an answer.
std::string new_token() {
  std::random_device entropy;
  return fmt::format("{:08x}{:08x}", entropy(), entropy());
}

}  // namespace

std::unique_ptr<Worker> Worker::start(const std::vector<std::string>& arguments, std::string& why) {
  int ends[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    why = fmt::format("cannot start a process for the plugin: {}", std::strerror(errno));
    return nullptr;
  }
  std::vector<std::string> texts = {own_program()};
  texts.insert(texts.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);

  posix_spawn_file_actions_t actions{};
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], line_in_worker);
  posix_spawn_file_actions_addclosefrom_np(&actions, line_in_worker + 1);  // no file of this program is a plugin's
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawnattr_t attributes{};
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setpgroup(&attributes, 0);  // so that what the plugin starts can be ended with it
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  pid_t process = 0;
  adopt_orphans();
  int error = 0;
  (void)start_own([&] {
    error = posix_spawn(&process, texts.front().c_str(), &actions, &attributes, pointers.data(), environ);
    return error == 0 ? process : 0;
  });
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  if (error != 0) {
    ::close(ends[0]);
    why = fmt::format("cannot start {} for the plugin: {}", texts.front(), std::strerror(error));
    return nullptr;
  }
  return std::unique_ptr<Worker>(new Worker(process, ends[0]));
}

Worker::~Worker() { end(); }

void Worker::end() {
  if (process_ > 0) {
    (void)kill(-process_, SIGKILL);
    (void)kill(process_, SIGKILL);
    (void)waitpid(process_, nullptr, 0);
    disown(process_);
    end_orphans();
  }
  if (line_ >= 0) ::close(line_);
  process_ = line_ = -1;
}

std::string Worker::how_it_ended() {
  // The line was closed: the process ends now, unless the plugin closed a line that is not its own.
  int answer = 0;
  pid_t ended = 0;
  for (int i = 0; i < 500 && ended == 0; ++i) {
    ended = waitpid(process_, &answer, WNOHANG);
    if (ended == 0) (void)usleep(2000);
  }
  if (ended != process_) return "closed the line to this program";
  (void)kill(-process_, SIGKILL);  // it is gone; its group may not be
  disown(process_);
  end_orphans();
  process_ = -1;
  if (WIFSIGNALED(answer)) {
    const int signal = WTERMSIG(answer);
    const char* name = strsignal(signal);
    return fmt::format("was ended by signal {} ({})", signal, name == nullptr ? "unknown" : name);
  }
  return fmt::format("ended its process with status {} before it was done", WEXITSTATUS(answer));
}

bool Worker::read_line(double seconds, std::string& text, std::string& why) {
  const Clock::time_point start = Clock::now();
  while (!take_line(unread_, text)) {
    bool waiting = false;
    if (unread_.size() > longest_answer) {
      why = wrote_into_the_line;
      return false;
    }
    if (receive(line_, 50, unread_, waiting)) continue;
    if (!waiting) {
      why = how_it_ended();
      return false;
    }
    siginfo_t info{};
    const bool gone =
        waitid(P_PID, static_cast<id_t>(process_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
    // What it started may hold the line open; what it said before it ended has been read.
    if (gone && !receive(line_, 0, unread_, waiting)) {
      why = how_it_ended();
      return false;
    }
    if (seconds > 0 && seconds_since(start) > seconds) {
      ran_out_of_time_ = true;
      why = fmt::format("was not done within {:g} s (--plugin-timeout)", seconds);
      return false;
    }
  }
  return true;
}

bool Worker::ask(const std::string& request, double seconds, std::string& answer, std::string& why) {
  ran_out_of_time_ = false;
  if (process_ < 0) {
    why = "is not running any more";
    return false;
  }
  const std::string token = new_token();
  // A process that is gone says by its end why.
  (void)send_all(line_, token + " " + request + "\n");
  double limit = 0;
  for (std::string line; read_line(limit, line, why);) {
    if (!line.starts_with(token) || line.size() < token.size() + 2) {
      why = wrote_into_the_line;
      break;
    }
    answer = line.substr(token.size() + 2);
    if (line[token.size() + 1] == '=') return true;
    limit = seconds;
  }
  end();
  return false;
}

Requests::Requests() {
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
  (void)prctl(PR_SET_CHILD_SUBREAPER, 1);  // what the plugin starts stays below this process as long as it lives
  (void)signal(SIGPIPE, SIG_IGN);
  std::random_device entropy;
  line_ = fcntl(line_in_worker, F_DUPFD_CLOEXEC, static_cast<int>(100 + entropy() % 800));
  ::close(line_in_worker);
  (void)dup2(STDERR_FILENO, STDOUT_FILENO);
}

bool Requests::next(std::string& request) {
  std::string line;
  while (!take_line(unread_, line)) {
    bool waiting = false;
    if (line_ < 0 || (!receive(line_, -1, unread_, waiting) && !waiting)) return false;
  }
  const std::size_t blank = std::min(line.find(' '), line.size());
  token_ = line.substr(0, blank);
  request = line.substr(std::min(blank + 1, line.size()));
  return true;
}

void Requests::begin() const { send("+", ""); }
void Requests::answer(const std::string& text) const { send("=", text); }

void Requests::send(std::string_view kind, const std::string& text) const {
  std::string line = fmt::format("{} {}{}", token_, kind, text);
  std::replace(line.begin(), line.end(), '\n', ' ');
  (void)send_all(line_, line + "\n");
}

}  // namespace normquant::plugins
