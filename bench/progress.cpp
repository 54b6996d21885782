#include "bench/progress.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "bench/timer.hpp"
#include "output/standard_streams.hpp"

namespace normquant::bench {
namespace {

std::string duration_text(double seconds) {
  if (seconds < 100) return fmt::format("{:.0f} s", std::ceil(seconds));
  if (seconds < 6000) return fmt::format("{:.0f} min", std::ceil(seconds / 60));
  return fmt::format("{:.1f} h", seconds / 3600);
}

}  // namespace

std::string progress_text(int done, int total, double elapsed_seconds, std::string_view name) {
  const std::string count = fmt::format("[{}/{}]", done + 1, std::max(total, done + 1));
  if (done == 0 || total <= done) return fmt::format("{} {}", count, name);
  const double left = elapsed_seconds / done * (total - done);
  return fmt::format("{} about {} left  {}", count, duration_text(left), name);
}

Progress::Progress(int total) : total_(total), enabled_(output::fancy_terminal()), start_(seconds_now()) {}

void Progress::begin(std::string_view name) {
  if (!enabled_) return;
  fmt::print(stderr, "\r\033[K{}", progress_text(done_, total_, seconds_now() - start_, name));
  std::fflush(stderr);
}

void Progress::end() {
  ++done_;
  if (!enabled_) return;
  fmt::print(stderr, "\r\033[K");
  std::fflush(stderr);
}

}  // namespace normquant::bench
