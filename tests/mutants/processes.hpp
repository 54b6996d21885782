// Work in processes of their own, several side by side: what crashes or hangs there ends there.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace normquant::mutants {

/// How a process ended.
struct Ended {
  std::string text;   ///< what its work returned; empty unless it came to its end
  int signal = 0;     ///< that ended it
  bool hung = false;  ///< nothing was done for too long, and it was killed
  double seconds = 0;
};

/// Work for a process: calls `alive` now and then; what it returns is handed to the parent.
using Work = std::function<std::string(const std::function<void()>& alive)>;

/// Runs all, `side_by_side` at a time, and calls done(index, how it ended) for each. A process that does not say that it is
/// alive for `most_silent` seconds is killed. To be called where no other threads run.
void run_processes(const std::vector<Work>& all, int side_by_side, double most_silent,
                   const std::function<void(std::size_t index, const Ended& ended)>& done);

}  // namespace normquant::mutants
