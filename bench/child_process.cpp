#include "bench/child_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <thread>

#include "kernels/plugin/orphans.hpp"
#include "output/interrupt.hpp"

extern char** environ;  // NOLINT(readability-redundant-declaration): not every system's unistd.h has it

namespace normquant::bench {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> list;
  list.reserve(texts.size() + 1);
  for (std::string& text : texts) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

/// Added values come first: getenv finds them before the inherited ones.
std::vector<std::string> environment_with(const std::vector<std::string>& added) {
  std::vector<std::string> all = added;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string inherited = *entry;
    bool replaced = false;
    for (const std::string& value : added) {
      replaced = replaced || inherited.starts_with(value.substr(0, value.find('=') + 1));
    }
    if (!replaced) all.push_back(inherited);
  }
  return all;
}

int status_of_wait(int answer) { return WIFEXITED(answer) ? WEXITSTATUS(answer) : 128 + WTERMSIG(answer); }

/// Ends the child and what it started: first in order, after a second at once.
void end_group(pid_t child) {
  (void)kill(-child, SIGTERM);
  for (int i = 0; i < 100 && kill(-child, 0) == 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  (void)kill(-child, SIGKILL);
}

ChildEnd wait_for(pid_t child, const ChildRequest& request) {
  const Clock::time_point start = Clock::now();
  Clock::time_point asked = start;
  ChildEnd end;
  for (int answer = 0;;) {
    const pid_t ended = waitpid(child, &answer, WNOHANG);
    if (ended == child) {
      end.status = status_of_wait(answer);
      return end;
    }
    if (ended < 0) {
      end.status = 128;
      return end;
    }
    bool over = request.seconds > 0 && seconds_since(start) > request.seconds;
    if (request.give_up && seconds_since(asked) > 0.02) {
      asked = Clock::now();
      over = over || request.give_up();
    }
    if (over && !end.killed) {
      end.killed = true;
      (void)kill(-child, SIGKILL);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

/// What the child does before it is the program; only what is allowed between fork and exec. Never returns.
[[noreturn]] void become(const std::vector<char*>& arguments, const std::vector<char*>& environment, const char* output,
                         pid_t parent, int failure) {
  (void)setpgid(0, 0);
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL);  // it does not outlive this process, however that ends
  std::signal(SIGPIPE, SIG_DFL);
  int error = getppid() == parent ? 0 : ECHILD;
  if (error == 0 && output != nullptr) {
    const int file = open(output, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (file < 0 || dup2(file, STDOUT_FILENO) < 0 || dup2(file, STDERR_FILENO) < 0) error = errno;
  }
  if (error == 0) {
    execvpe(arguments.front(), arguments.data(), environment.data());
    error = errno;
  }
  (void)!write(failure, &error, sizeof error);
  _exit(127);
}

}  // namespace

std::optional<ChildEnd> run_child(const ChildRequest& request, std::string& why) {
  std::vector<std::string> arguments = request.arguments, environment = environment_with(request.environment);
  const std::vector<char*> argument_pointers = pointers(arguments), environment_pointers = pointers(environment);
  std::array<int, 2> failure = {-1, -1};  // closed when the program runs
  int error = pipe2(failure.data(), O_CLOEXEC) == 0 ? 0 : errno;
  const pid_t parent = getpid();
  const pid_t child = plugins::start_own([&] {
    const pid_t forked = error == 0 ? fork() : -1;
    if (error == 0 && forked < 0) error = errno;
    if (forked == 0) {
      become(argument_pointers, environment_pointers, request.output.empty() ? nullptr : request.output.c_str(), parent,
             failure[1]);
    }
    return forked;
  });
  if (failure[1] >= 0) close(failure[1]);
  if (child > 0) {
    (void)setpgid(child, child);  // whoever of the two comes first
    if (read(failure[0], &error, sizeof error) == sizeof error) (void)waitpid(child, nullptr, 0);
  }
  if (failure[0] >= 0) close(failure[0]);
  if (error != 0) {
    why = fmt::format("cannot run {}: {}", arguments.front(), std::strerror(error));
    plugins::disown(child);
    return std::nullopt;
  }
  ChildEnd end;
  {
    const output::OnInterrupt along([child] { end_group(child); });
    end = wait_for(child, request);
  }
  plugins::disown(child);
  plugins::end_orphans();
  return end;
}

std::string own_program() {
  std::error_code error;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? std::string("normquant") : path.string();
}

}  // namespace normquant::bench
