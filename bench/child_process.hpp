// Running a program as a child process, with a limit on its time.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace normquant::bench {

struct ChildRequest {
  std::vector<std::string> arguments;    ///< the program (a path) and its arguments
  std::vector<std::string> environment;  ///< NAME=value, added to this process's own
  std::string output;  ///< file that takes standard output and standard error; empty: those of this process
  double seconds = 0;  ///< SIGKILL after so many; 0: no limit
  /// Asked every 20 ms or so; true kills the child as if its time were over.
  std::function<bool()> give_up = {};
};

/// How a child ended.
struct ChildEnd {
  int status = 0;       ///< its exit status; 128 plus the number of the signal that ended it
  bool killed = false;  ///< by us, because its time was over
};

/// Runs it to its end, in a process group of its own, which ends with this process; nothing, with a sentence in `why`, when it could not be started.
std::optional<ChildEnd> run_child(const ChildRequest& request, std::string& why);

/// The path of this very program.
std::string own_program();

}  // namespace normquant::bench
