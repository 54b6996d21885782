#include "output/standard_streams.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string_view>

namespace normquant::output {

void secure_standard_streams() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(descriptor, F_GETFD) >= 0) continue;
    // The lowest free number is this one. Output to read-only fails; what goes to standard error has nowhere to fail to.
    (void)open("/dev/null", descriptor == STDOUT_FILENO ? O_RDONLY : O_RDWR);
  }
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a limit of the size of files (ulimit -f) is an error of the write, too
}

std::string standard_output_failure() {
  errno = 0;
  std::cout.flush();
  const bool flushed = std::fflush(stdout) == 0;
  if (flushed && std::ferror(stdout) == 0) return {};
  // What failed was earlier, and whoever wrote it did not say why: the same write says it again.
  if (errno == 0 && write(STDOUT_FILENO, "\n", 1) == 1) return "an earlier write failed, and this one did not";
  return std::strerror(errno);
}

bool fancy_terminal() {
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  return isatty(STDERR_FILENO) != 0 && (no_color == nullptr || *no_color == '\0') &&
         (term == nullptr || std::string_view(term) != "dumb");
}

int terminal_columns() {
  constexpr int least = 40, usual = 80, most = 10000;
  const char* columns = std::getenv("COLUMNS");
  const int said = columns == nullptr ? 0 : std::atoi(columns);
  if (said >= least && said <= most) return said;
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col < least ? least : size.ws_col;
  return isatty(STDOUT_FILENO) != 0 ? usual : most;
}

}  // namespace normquant::output
