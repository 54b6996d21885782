// Progress on a terminal: which case runs, how many are left, how long that takes.
#pragma once

#include <string>
#include <string_view>

namespace normquant::bench {

/// `[12/480] about 3 min left  name`.
std::string progress_text(int done, int total, double elapsed_seconds, std::string_view name);

/// Writes to stderr, one line that replaces itself, and only when stderr is a terminal.
class Progress {
 public:
  explicit Progress(int total);
  void begin(std::string_view name);
  void end();  ///< erases the line, so that results can be printed in its place

 private:
  int total_;
  int done_ = 0;
  bool enabled_;
  double start_;
};

}  // namespace normquant::bench
