#include "validate/run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iterator>
#include <mutex>
#include <new>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "kernels/plugin/plugins.hpp"
#include "output/escape.hpp"
#include "validate/check_job.hpp"
#include "validate/cost.hpp"
#include "validate/device_checks.hpp"
#include "validate/plugin_checks.hpp"

namespace normquant::validate {
namespace {

/// A part of a job that one thread does: its variants of the library, or one of a plugin.
struct Part {
  std::size_t job = 0;
  std::vector<std::string> variants;
  bool of_a_plugin = false;
};

/// Long parts come first, the longest at the very front: no thread is left alone with one at the end. Short ones stay in order.
void put_long_ones_first(std::vector<Part>& parts, const std::vector<Job>& jobs) {
  constexpr double long_seconds = 1;
  std::vector<double> seconds;  // of every job; 0 of short ones
  for (const Job& job : jobs) {
    const double estimated = cost_of(job).seconds;
    seconds.push_back(estimated < long_seconds ? 0 : estimated);
  }
  std::stable_sort(parts.begin(), parts.end(),
                   [&](const Part& a, const Part& b) { return seconds[a.job] > seconds[b.job]; });
}

/// The library's variants job by job, then those of plugins one by one, so that a thread keeps the process of one for long.
std::vector<Part> parts_of(const std::vector<Job>& jobs) {
  std::vector<Part> own, of_plugins;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    Part part{i, {}, false};
    for (const std::string& variant : jobs[i].variants) {
      if (plugins::file_of(variant).empty()) {
        part.variants.push_back(variant);
      } else {
        of_plugins.push_back({i, {variant}, true});
      }
    }
    if (!part.variants.empty()) own.push_back(std::move(part));
  }
  put_long_ones_first(own, jobs);
  std::stable_sort(of_plugins.begin(), of_plugins.end(), [&](const Part& a, const Part& b) {
    return std::pair(jobs[a.job].device.name(), a.variants) < std::pair(jobs[b.job].device.name(), b.variants);
  });
  own.insert(own.end(), of_plugins.begin(), of_plugins.end());
  return own;
}

/// What one thread has.
class Checker {
 public:
  Checker(const RunOptions& options, TimeOuts& time_outs, std::size_t thread)
      : warm_(options.warm), plugin_checks_(options.plugin_seconds, options.warm, time_outs) {
    if (!options.cards.empty()) device_checks_.emplace(options.cards, thread, options.warm);
  }

  std::vector<CaseResult> check(const Job& job, bool of_a_plugin) {
    try {
      return check_where_it_fits(job, of_a_plugin);
    } catch (const std::bad_alloc&) {
      return all_alike(job, outcome(Outcome::error, "out of memory: the CPU side has none left for this check"));
    }
  }

 private:
  std::vector<CaseResult> check_where_it_fits(const Job& job, bool of_a_plugin) {
    if (device_checks_) return of_a_plugin ? check_plugin_on_own(job) : device_checks_->check(job);
    if (of_a_plugin) return all_alike(job, plugin_checks_.check(job, job.variants.front()));
    OpenDevice* open = nullptr;
    const Status current = devices_.make_current(job.device, job.schedule_seed, warm_, open);
    if (!current.ok()) return all_alike(job, outcome(Outcome::error, current.message));
    return check_job(job, *open);
  }

  std::vector<CaseResult> check_plugin_on_own(const Job& job) {
    Job there = job;
    there.device = device_checks_->own().choice;
    std::vector<CaseResult> results = all_alike(job, plugin_checks_.check(there, job.variants.front()));
    for (CaseResult& result : results) result.ran_on = there.device.name();
    return results;
  }

  bool warm_;
  OpenDevices devices_;
  PluginChecks plugin_checks_;
  std::optional<DeviceChecks> device_checks_;  ///< of several devices
};

/// Whether the device had no memory for it, which may be because of what ran beside it.
bool lacked_memory(const std::vector<CaseResult>& results) {
  return std::any_of(results.begin(), results.end(), [](const CaseResult& result) {
    return result.verdict.outcome == Outcome::error &&
           result.verdict.reason.find("out of memory: ") != std::string::npos;
  });
}

/// What --variant takes for this one: an expression that its name alone matches, as a word of the shell.
std::string expression_for(const std::string& variant) {
  if (variant == "auto" || variant == "invariant") return variant;
  std::string expression = "^";
  for (const char c : variant) {
    if (std::string_view(R"(.[]{}()\*+?^$|)").find(c) != std::string_view::npos) expression += '\\';
    expression += c;
  }
  return output::quoted_for_shell(expression + "$");
}

/// The results of a job in the order of its variants.
std::vector<CaseResult> in_order(const Job& job, std::vector<CaseResult> results) {
  std::vector<CaseResult> sorted;
  for (const std::string& variant : job.variants) {
    const auto found =
        std::find_if(results.begin(), results.end(), [&](const auto& r) { return r.variant == variant; });
    if (found == results.end()) continue;
    sorted.push_back(std::move(*found));
    results.erase(found);
  }
  return sorted;
}

}  // namespace

std::string reproducing_command(const CaseResult& result) {
  if (!result.command.empty()) return result.command;
  const std::string plugin = plugins::file_of(result.variant);
  const std::string seed = result.schedule_seed == 1 ? "" : fmt::format("--schedule-seed {} ", result.schedule_seed);
  return fmt::format("{} validate{} --device {} {}--variant {} --case '{}'",
                     result.verdict.watched ? "normquant-watched" : "normquant",
                     plugin.empty() ? "" : fmt::format(" --plugin {}", output::quoted_for_shell(plugin)),
                     result.ran_on.empty() ? result.device : result.ran_on, seed, expression_for(result.variant),
                     to_text(result.problem));
}

std::vector<CaseResult> run_jobs(const std::vector<Job>& jobs, const RunOptions& options) {
  const std::vector<Part> parts = parts_of(jobs);
  std::vector<std::vector<CaseResult>> results(jobs.size());
  std::atomic<std::size_t> next = 0;
  std::size_t done = 0;
  std::atomic<bool> stopped = false;
  std::vector<char> has_results(parts.size(), 0);  ///< a part that found no memory beside others has none
  std::mutex reporting;
  TimeOuts time_outs;
  const auto run = [&](Checker& checker, std::size_t index, bool alone) {
    const Part& part = parts[index];
    Job job = jobs[part.job];
    job.variants = part.variants;
    const auto start = std::chrono::steady_clock::now();
    std::vector<CaseResult> found = checker.check(job, part.of_a_plugin);
    if (part.of_a_plugin) {
      const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
      for (CaseResult& result : found) result.seconds = taken.count();
    }
    const std::lock_guard lock(reporting);
    if (!alone && lacked_memory(found)) return;
    auto& of_job = results[part.job];
    of_job.reserve(of_job.size() + found.size());
    if (options.finished && !options.finished(part.job, found, done + found.size())) stopped = true;
    has_results[index] = 1;
    done += found.size();
    of_job.insert(of_job.end(), std::make_move_iterator(found.begin()), std::make_move_iterator(found.end()));
  };
  const auto work = [&](std::size_t thread) {
    try {
      Checker checker(options, time_outs, thread);
      for (std::size_t i = next++; i < parts.size() && !stopped; i = next++) run(checker, i, options.threads == 1);
    } catch (const std::bad_alloc&) {  // the other threads go on, and what this one had begun runs at the end
    }
  };
  std::vector<std::thread> threads;
  try {
    for (int i = 1; i < std::min<int>(options.threads, static_cast<int>(parts.size())); ++i)
      threads.emplace_back(work, i);
  } catch (const std::system_error&) {  // no memory for another thread: those that are there do its work
  }
  work(0);
  for (std::thread& thread : threads) thread.join();
  if (!stopped && std::count(has_results.begin(), has_results.end(), 0) > 0) {
    Checker checker(options, time_outs, 0);
    for (std::size_t i = 0; i < parts.size() && !stopped; ++i) {
      if (has_results[i] == 0) run(checker, i, true);
    }
  }

  std::vector<CaseResult> flat;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    std::vector<CaseResult> sorted = in_order(jobs[i], std::move(results[i]));
    flat.insert(flat.end(), std::make_move_iterator(sorted.begin()), std::make_move_iterator(sorted.end()));
  }
  return flat;
}

}  // namespace normquant::validate
