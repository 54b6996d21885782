#include "bench/google_benchmark.hpp"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <optional>
#include <regex>
#include <sstream>
#include <string_view>

#include "bench/profiler_range.hpp"
#include "bench/progress.hpp"
#include "output/output_file.hpp"
#include "output/place.hpp"

namespace normquant::bench {
namespace {

constexpr std::string_view skipped_prefix = "skipped: ";

/// Value of the last `--name=value`; nothing when the flag is absent.
std::optional<std::string> flag_value(const std::vector<std::string>& flags, std::string_view name) {
  std::optional<std::string> value;
  for (const std::string& flag : flags) {
    if (flag.starts_with(name) && flag.size() > name.size() && flag[name.size()] == '=') {
      value = flag.substr(name.size() + 1);
    }
  }
  return value;
}

/// Flags whose bad values make the library exit by itself, with status 0.
std::string why_not_choice(const std::vector<std::string>& flags) {
  struct Choice {
    std::string_view flag;
    std::vector<std::string_view> values;
  };
  static const Choice choices[] = {{"--benchmark_format", {"console", "json", "csv"}},
                                   {"--benchmark_out_format", {"console", "json", "csv"}},
                                   {"--benchmark_time_unit", {"ns", "us", "ms", "s"}}};
  for (const Choice& choice : choices) {
    const auto value = flag_value(flags, choice.flag);
    if (value && std::find(choice.values.begin(), choice.values.end(), *value) == choice.values.end()) {
      return fmt::format("{}={} is not one of {}", choice.flag, *value, fmt::join(choice.values, ", "));
    }
  }
  return {};
}

/// The file of --benchmark_out, which the library writes by itself; static, as its flags are.
output::OutputFile& own_file() {
  static output::OutputFile file;
  return file;
}

/// Passes everything on but runs that were skipped, and the warning that the library was built for debugging: Debian's
/// is, and it does not matter here, since no time is taken by the library's own clock.
class WithoutNoise final : public benchmark::BenchmarkReporter {
 public:
  explicit WithoutNoise(benchmark::BenchmarkReporter& inner) : inner_(inner) {}

  bool ReportContext(const Context& context) override {
    std::ostream& errors = inner_.GetErrorStream();
    std::stringstream held;
    inner_.SetErrorStream(&held);
    const bool go_on = inner_.ReportContext(context);
    inner_.SetErrorStream(&errors);
    for (std::string line; std::getline(held, line);) {
      if (line.find("built as DEBUG") == std::string::npos && !output::nothing_is_printed()) errors << line << "\n";
    }
    errors << std::flush;
    return go_on;
  }

  void ReportRuns(const std::vector<Run>& runs) override {
    std::vector<Run> kept;
    std::copy_if(runs.begin(), runs.end(), std::back_inserter(kept),
                 [](const Run& run) { return !run.error_occurred || !run.error_message.starts_with(skipped_prefix); });
    if (!kept.empty()) inner_.ReportRuns(kept);
  }
  void Finalize() override { inner_.Finalize(); }

 private:
  benchmark::BenchmarkReporter& inner_;
};

void set_counters(benchmark::State& state, const TimingRecord& record) {
  state.counters["median_us"] = record.summary.median;
  state.counters["spread"] = record.summary.spread();
  state.counters["bytes"] = static_cast<double>(record.bytes);
  if (!record.timed_on_gpu()) {
    state.SetLabel("host: CPU execution, not a GPU time");
    return;
  }
  state.counters["GB/s"] = record.gb_per_s();
  if (const auto share = record.share_of_copy()) state.counters["share_of_copy"] = *share;
  if (const auto share = record.share_of_peak()) state.counters["share_of_peak"] = *share;
  if (record.cold) state.counters["cold_us"] = record.cold->summary.median;
  if (record.hot) state.counters["hot_us"] = record.hot->summary.median;
  state.SetLabel(record.drifting ? "steady, drifting" : "steady");
}

/// The library's time is the median and its iterations are all launches that were timed.
void report(benchmark::State& state, const TimingRecord& record) {
  if (record.outcome != Outcome::pass) {
    const std::string_view prefix = record.outcome == Outcome::wrong ? "WRONG: " : "error: ";
    const std::string message =
        fmt::format("{}{}", record.outcome == Outcome::skipped ? skipped_prefix : prefix, record.reason);
    state.SkipWithError(message.c_str());
    return;
  }
  const auto launches =
      static_cast<benchmark::IterationCount>(record.samples.size()) * std::max(record.launches_per_sample, 1);
  while (state.KeepRunningBatch(launches)) {
    state.SetIterationTime(record.summary.median * 1e-6 * static_cast<double>(launches));
  }
  set_counters(state, record);
}

/// How many names the filter leaves, as the library understands it (a leading '-' inverts it); for the time left only.
int matching(const std::vector<PlannedCase>& plan, std::string filter) {
  const bool inverted = filter.starts_with('-');
  if (inverted) filter.erase(0, 1);
  if (filter.empty() || filter == "all") return static_cast<int>(plan.size());
  try {
    const std::regex regex(filter, std::regex::extended);
    return static_cast<int>(std::count_if(plan.begin(), plan.end(), [&](const PlannedCase& planned) {
      return std::regex_search(planned.name() + "/manual_time", regex) != inverted;
    }));
  } catch (const std::regex_error&) {
    return static_cast<int>(plan.size());
  }
}

}  // namespace

bool take_benchmark_flags(const std::vector<std::string>& flags, output::Existing existing, std::string& why) {
  for (const std::string& flag : flags) {
    if (flag.starts_with("--benchmark_")) continue;
    why = fmt::format("there is no option \"{}\"; `normquant bench --help` lists them", flag);
    return false;
  }
  if (why = why_not_choice(flags); !why.empty()) return false;
  // One call of a case is a whole measurement, so the library need not repeat it to fill its minimum time.
  static std::vector<std::string> arguments;  // static: the library keeps a pointer to the program's name
  arguments = {"normquant bench", "--benchmark_min_time=0"};
  if (const char* no_color = std::getenv("NO_COLOR"); no_color != nullptr && *no_color != '\0') {
    arguments.emplace_back("--benchmark_color=false");
  }
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  if (const auto path = flag_value(flags, "--benchmark_out"); path && !path->empty()) {
    own_file().open(*path, existing);
    arguments.push_back("--benchmark_out=" + own_file().place_to_write());  // the last one counts
  }
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) argv.push_back(argument.data());
  auto argc = static_cast<int>(argv.size());
  argv.push_back(nullptr);
  benchmark::Initialize(&argc, argv.data());
  if (argc <= 1) return true;
  why = fmt::format("Google Benchmark does not know \"{}\", or its value is malformed", argv[1]);
  return false;
}

int repetitions_asked_for(const std::vector<std::string>& flags) {
  const std::string text = flag_value(flags, "--benchmark_repetitions").value_or("1");
  int repetitions = 1;
  (void)std::from_chars(text.data(), text.data() + text.size(), repetitions);
  return std::max(repetitions, 1);
}

bool prints_for_people(const std::vector<std::string>& flags) {
  const char* from_environment = std::getenv("BENCHMARK_FORMAT");
  const std::string fallback = from_environment == nullptr ? "console" : from_environment;
  return flag_value(flags, "--benchmark_format").value_or(fallback) == "console";
}

std::size_t run_through_google_benchmark(const std::vector<PlannedCase>& plan, const std::vector<std::string>& flags,
                                         const RunCase& run, const std::function<void(TimingRecord)>& finished) {
  Progress progress(matching(plan, benchmark::GetBenchmarkFilter()));
  for (const PlannedCase& planned : plan) {
    const std::string name = planned.name();
    const auto body = [&planned, &run, &finished, &progress, name](benchmark::State& state) {
      progress.begin(name);
      TimingRecord record = [&] {
        const ProfilerRange range(name);
        return run(planned, static_cast<long long>(state.max_iterations));
      }();
      progress.end();
      report(state, record);
      finished(std::move(record));
    };
    benchmark::RegisterBenchmark(name.c_str(), body)->UseManualTime()->Unit(benchmark::kMicrosecond);
  }
  std::size_t matched = 0;
  if (prints_for_people(flags)) {
    WithoutNoise reporter(*benchmark::CreateDefaultDisplayReporter());
    matched = benchmark::RunSpecifiedBenchmarks(&reporter);
  } else {
    matched = benchmark::RunSpecifiedBenchmarks();
  }
  benchmark::ClearRegisteredBenchmarks();
  if (matched > 0) own_file().commit_what_is_written();
  return matched;
}

}  // namespace normquant::bench
