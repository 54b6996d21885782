#include "bench/watchdog.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>
#include <system_error>
#include <nlohmann/json.hpp>

#include "bench/child_process.hpp"
#include "bench/timing_record.hpp"
#include "exit_status.hpp"
#include "output/place.hpp"

namespace normquant::bench {
namespace {

using Clock = std::chrono::steady_clock;

std::string running_path(const std::string& record_file) { return record_file + ".running"; }

std::optional<std::int64_t> running_case(const std::string& record_file) {
  std::ifstream file(running_path(record_file));
  std::int64_t index = 0;
  return file >> index ? std::optional(index) : std::nullopt;
}

/// Kills a child when the case under way is the same for too long.
class CaseClock {
 public:
  explicit CaseClock(const BenchOptions& options) : options_(options) {}
  bool over() {
    const std::optional<std::int64_t> running = running_case(options_.out);
    if (running != running_) {
      running_ = running;
      since_ = Clock::now();
    }
    return running_ && std::chrono::duration<double>(Clock::now() - since_).count() > options_.case_timeout;
  }

 private:
  const BenchOptions& options_;
  std::optional<std::int64_t> running_;
  Clock::time_point since_ = Clock::now();
};

/// The command line of this process, without --case-timeout and its value; what goes on does not begin anew.
std::vector<std::string> own_arguments(bool resuming) {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> arguments;
  for (std::string argument; std::getline(file, argument, '\0');) arguments.push_back(argument);
  std::vector<std::string> kept;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i].starts_with("--case-timeout=")) continue;
    if (resuming && (arguments[i] == "--force" || arguments[i] == "--resume")) continue;
    if (arguments[i] == "--case-timeout") {
      ++i;
      continue;
    }
    kept.push_back(arguments[i]);
  }
  if (!kept.empty()) kept.front() = own_program();
  if (resuming) kept.emplace_back("--resume");
  return kept;
}

/// Appends the error record of the case that was under way; false when there is none or the file cannot be written.
bool add_error(const BenchOptions& options, const std::vector<PlannedCase>& plan, const std::string& reason) {
  const std::optional<std::int64_t> running = running_case(options.out);
  std::error_code ignored;
  std::filesystem::remove(running_path(options.out), ignored);
  for (const PlannedCase& planned : plan) {
    if (!running || planned.index != *running) continue;
    TimingRecord record;
    record.timed = planned.timed;
    record.variant = planned.variant;
    record.time_kind = options.device.starts_with("host") ? "cpu_execution" : "steady";
    record.index = planned.index;
    record.reason = reason;
    fmt::print(stderr, "normquant bench: {}: {}\n", planned.name(), reason);
    RecordFile file;
    file.open_behind(options.out, output::whole_lines(options.out));
    return file.write(to_json(record));
  }
  return false;
}

}  // namespace

CaseInFlight::CaseInFlight(const std::string& record_file)
    : path_(record_file.empty() || !output::place_of(record_file).replaceable() ? std::string()
                                                                                : running_path(record_file)),
      removal_([path = path_] {
        if (!path.empty()) (void)std::remove(path.c_str());
      }) {}

CaseInFlight::~CaseInFlight() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove(path_, ignored);
}

void CaseInFlight::begin(const PlannedCase& planned) const {
  if (!path_.empty()) std::ofstream(path_) << planned.index << " " << planned.name() << "\n";
}

int run_watched(const BenchOptions& options, const std::vector<PlannedCase>& plan) {
  ChildRequest request;
  std::error_code ignored;
  std::filesystem::remove(running_path(options.out), ignored);
  const CaseInFlight none_left(options.out);  // of a child that was killed with this process
  for (bool resuming = options.resume;;) {
    CaseClock clock(options);
    request.arguments = own_arguments(resuming);
    request.give_up = [&clock] { return clock.over(); };
    std::string why;
    const std::optional<ChildEnd> end = run_child(request, why);
    if (!end) throw Refusal{exit_infrastructure, why};
    if (!end->killed && end->status < 128) return end->status;
    const std::string reason = end->killed
                                   ? fmt::format("given up after {:.3g} s (--case-timeout)", options.case_timeout)
                                   : fmt::format("the program was ended by signal {}", end->status - 128);
    if (!add_error(options, plan, reason)) {
      throw Refusal{exit_infrastructure, fmt::format("{}, and no case was under way", reason)};
    }
    resuming = true;
  }
}

}  // namespace normquant::bench
