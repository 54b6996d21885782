#include "bench/child_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <thread>

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
      (void)kill(child, SIGKILL);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

}  // namespace

std::optional<ChildEnd> run_child(const ChildRequest& request, std::string& why) {
  std::vector<std::string> arguments = request.arguments, environment = environment_with(request.environment);
  posix_spawn_file_actions_t actions{};
  posix_spawn_file_actions_init(&actions);
  if (!request.output.empty()) {
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, request.output.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                     0644);
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  }
  pid_t child = 0;
  const int error = posix_spawnp(&child, arguments.front().c_str(), &actions, nullptr, pointers(arguments).data(),
                                 pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    why = fmt::format("cannot run {}: {}", arguments.front(), std::strerror(error));
    return std::nullopt;
  }
  return wait_for(child, request);
}

std::string own_program() {
  std::error_code error;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? std::string("normquant") : path.string();
}

}  // namespace normquant::bench
