// `normquant validate`: every variant against the reference.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <set>
#include <thread>
#include <CLI/CLI.hpp>

#include "app/commands.hpp"
#include "app/options.hpp"
#include "app/validate_asked.hpp"
#include "app/validate_conclusion.hpp"
#include "app/validate_plan.hpp"
#include "exit_status.hpp"
#include "kernels/plugin/plugins.hpp"
#include "kernels/plugin/worker.hpp"
#include "output/escape.hpp"
#include "output/interrupt.hpp"
#include "output/output_file.hpp"
#include "output/standard_streams.hpp"
#include "output/words.hpp"
#include "refusal.hpp"
#include "validate/cost.hpp"
#include "validate/earlier_results.hpp"
#include "validate/run.hpp"

namespace normquant::validate {
namespace {

void list_jobs(const std::vector<Job>& jobs, const ValidateOptions& options) {
  for (const Job& job : jobs) {
    if (options.list) fmt::print("{} {}\n", job.device.name(), to_text(job.subject.problem));
    for (const std::string& variant : job.variants) {
      if (options.dry_run) {
        fmt::print("{} {} {}\n", job.device.name(), output::printable(variant), to_text(job.subject.problem));
      }
    }
  }
}

/// What has been found so far: results of an earlier run, and those of this one as they come.
class Found {
 public:
  Found(const std::vector<Job>& jobs, const EarlierResults& earlier) : jobs_(jobs), results_(jobs.size()) {
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      Job rest = jobs[i];
      rest.variants.clear();
      for (const std::string& variant : jobs[i].variants) {
        const CaseResult* known = earlier.find(rest.device.name(), variant, rest.subject.problem);
        known == nullptr ? rest.variants.push_back(variant) : results_[i].push_back(*known);
      }
      if (rest.variants.empty()) continue;
      left_.push_back(std::move(rest));
      place_.push_back(i);
    }
  }

  /// The jobs with the variants that have no result yet.
  const std::vector<Job>& left() const { return left_; }
  /// Results of one of left().
  void add(std::size_t job, const std::vector<CaseResult>& results) {
    const std::lock_guard lock(mutex_);
    std::vector<CaseResult>& all = results_[place_[job]];
    all.insert(all.end(), results.begin(), results.end());
  }
  /// In the order of the jobs and their variants.
  std::vector<CaseResult> all() const {
    const std::lock_guard lock(mutex_);
    std::vector<CaseResult> all;
    for (std::size_t i = 0; i < jobs_.size(); ++i) {
      std::int64_t index = jobs_[i].index;
      for (const std::string& variant : jobs_[i].variants) {  // parts of a job end in any order
        const auto found = std::find_if(results_[i].begin(), results_[i].end(),
                                        [&](const CaseResult& result) { return result.variant == variant; });
        if (found != results_[i].end()) {
          all.push_back(*found);
          all.back().index = index;
        }
        ++index;
      }
    }
    return all;
  }

 private:
  const std::vector<Job>& jobs_;
  mutable std::mutex mutex_;
  std::vector<std::vector<CaseResult>> results_;  ///< by job
  std::vector<Job> left_;
  std::vector<std::size_t> place_;  ///< of those in the list of all
};

void show_progress(std::size_t done, std::size_t all) {
  if (!output::fancy_terminal()) return;
  fmt::print(stderr, "\r{}/{} cases{}", done, all, done == all ? "\r\033[K" : "");
  std::fflush(stderr);
}

bool is_bad(const CaseResult& result) {
  return result.verdict.outcome != Outcome::pass && result.verdict.outcome != Outcome::skipped;
}

RunIdentity this_run(const ValidateOptions& options) {
  return identity_of(options.plugins, options.schedule_seed, options.warm, options.after_others);
}

EarlierResults earlier_results(const ValidateOptions& options) {
  if (!options.resume) return {};
  if (options.json.empty() || !output::place_of(options.json).replaceable()) {
    throw Refusal{exit_usage, "--resume needs a file as --json, which says what is finished"};
  }
  std::string why;
  auto earlier = read_earlier_results(options.json, this_run(options), why);
  if (!earlier) throw Refusal{exit_usage, why};
  return std::move(*earlier);
}

/// A file keeps the results of one question: what this run does not ask for would be gone from it.
void refuse_to_lose_results(const EarlierResults& earlier, const Plan& plan, const ValidateOptions& options) {
  std::set<const CaseResult*> asked_for;
  for (const Job& job : plan.jobs) {
    for (const std::string& variant : job.variants) {
      asked_for.insert(earlier.find(job.device.name(), variant, job.subject.problem));
    }
  }
  asked_for.erase(nullptr);
  if (asked_for.size() == earlier.size()) return;
  throw Refusal{
      exit_usage,
      fmt::format("{} holds {} that this run does not ask for (of another --seed, --op, --variant, "
                  "--shape or --shard?), and is left as it is; give another --json, or --force without "
                  "--resume",
                  options.json,
                  output::counted(static_cast<std::int64_t>(earlier.size() - asked_for.size()), "result", "results"))};
}

void refuse_plugins_of_other_devices(const Plan& plan) {
  std::vector<DeviceKind> kinds;
  for (const Plan::OnDevice& device : plan.devices) kinds.push_back(device.choice.kind);
  if (const std::string sentence = plugins::runs_elsewhere(kinds); !sentence.empty()) {
    throw Refusal{exit_usage, sentence};
  }
}

/// Every device of a list has one at least.
int threads_for(const ValidateOptions& options, const Plan& plan) {
  const int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  const int threads = options.jobs > 0 ? options.jobs : std::min(cores, 8);
  return std::max(threads, static_cast<int>(plan.cards.size()));
}

/// Writes what is finished now and then, since a kill gives no warning. Writing takes a twentieth of the time at most.
class NowAndThen {
 public:
  template <typename Write>
  void operator()(Write write) {
    const auto begun = Clock::now();
    if (begun < next_) return;
    write();
    const auto now = Clock::now();
    next_ = now + std::max<Clock::duration>(std::chrono::seconds(1), 20 * (now - begun));
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point next_;  ///< the first result is written at once
};

/// Whether a document fits into the memory that is left: nlohmann::json ends the program where it finds none while it tidies up.
bool has_room_for_a_document() {
  constexpr std::size_t plenty = std::size_t{16} << 20;
  return std::unique_ptr<char[]>(new (std::nothrow) char[plenty]) != nullptr;
}

/// Runs what is left; what an interruption finds finished is written, and how to go on is said.
void run_the_rest(const Plan& plan, const ValidateOptions& options, Found& found, ResultFiles& files,
                  LeftUndone& undone) {
  const auto cases = static_cast<std::size_t>(cases_of(plan.jobs));
  const std::vector<Job>& left = found.left();
  const std::size_t before = cases - static_cast<std::size_t>(cases_of(left));
  if (before > 0) fmt::print(stderr, "{} of {} cases were finished before\n", before, cases);
  const output::OnInterrupt keep([&] {
    const std::vector<CaseResult> results = found.all();
    LeftUndone rest{undone.left_out, {}};
    rest.not_run = static_cast<std::int64_t>(cases - results.size());
    rest.why_not_run = "interrupted";
    std::string where = "nothing keeps them: give --json FILE";
    try {
      files.write(results, rest);
      if (!options.json.empty())
        where = fmt::format("{} holds them; the same command with --resume goes on", options.json);
    } catch (const Refusal& refusal) {
      where = refusal.sentence;
    }
    const auto bad = std::count_if(results.begin(), results.end(), is_bad);
    std::fprintf(stderr,
                 "\nnormquant validate: interrupted: %zu of %zu cases are finished, %td of them wrong or errors; %s\n",
                 results.size(), cases, bad, where.c_str());
  });
  NowAndThen now_and_then;
  RunOptions run;
  run.threads = threads_for(options, plan);
  run.cards = plan.cards;
  run.warm = options.warm;
  run.plugin_seconds = options.plugin_timeout;
  run.finished = [&](std::size_t job, const std::vector<CaseResult>& results, std::size_t done) {
    found.add(job, results);
    show_progress(before + done, cases);
    now_and_then([&] {
      if (!has_room_for_a_document()) return;
      try {
        LeftUndone rest{undone.left_out, {}};
        const std::vector<CaseResult> finished = found.all();
        rest.not_run = static_cast<std::int64_t>(cases - finished.size());
        rest.why_not_run = "the run had not ended when this was written";
        files.keep(finished, rest);
      } catch (const std::bad_alloc&) {  // another time, or at the end
      }
    });
    return !options.fail_fast || std::none_of(results.begin(), results.end(), is_bad);
  };
  (void)run_jobs(left, run);
  undone.not_run = static_cast<std::int64_t>(cases - found.all().size());
  if (undone.not_run > 0) undone.why_not_run = "stopped at the first that was wrong (--fail-fast)";
}

/// Before anything runs: what shapes or cases ask for may be far more than was meant. A suite takes what it takes.
void refuse_what_is_too_large(const std::vector<Job>& jobs, int threads, const ValidateOptions& options) {
  if (options.no_limit) return;
  const bool asked_by_size = !options.shapes.empty() || !options.cases.empty();
  const double most_seconds = asked_by_size ? 60 * options.most_minutes : std::numeric_limits<double>::infinity();
  const std::string why = why_not_affordable(cost_of(jobs, threads), available_memory(), most_seconds);
  if (!why.empty()) throw Refusal{exit_usage, why};
}

int validate(const ValidateOptions& options) {
  if (std::string why; !plugins::open(options.plugins, options.plugin_timeout, why)) throw Refusal{exit_usage, why};
  const Plan plan = plan_of(options);
  refuse_plugins_of_other_devices(plan);
  if (options.list || options.dry_run) {
    list_jobs(plan.jobs, options);
    return exit_pass;
  }
  refuse_what_is_too_large(plan.jobs, threads_for(options, plan), options);
  const EarlierResults earlier = earlier_results(options);
  refuse_to_lose_results(earlier, plan, options);
  ResultFiles files(options.json, options.junit, options.resume ? output::Existing::replace : options.existing,
                    options.json.empty() ? RunIdentity() : this_run(options), asked_of(options, plan));
  for (const std::string& sentence : {plan.left_out, plan.of_other_shapes}) {
    if (!sentence.empty()) fmt::print("{}\n", sentence);
  }
  const auto start = std::chrono::steady_clock::now();
  Found found(plan.jobs, earlier);
  LeftUndone undone{plan.left_out, {}};
  run_the_rest(plan, options, found, files, undone);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();

  const std::vector<CaseResult> results = found.all();
  if (plan.jobs.empty()) {
    files.write(results, undone);
    fmt::print("the shard {} holds no case\n", options.shard);
    return exit_pass;
  }
  conclude(plan, options, results, undone, files, seconds);
  return exit_pass;
}

}  // namespace

void add_validate_command(CLI::App& app, int& status) {
  auto options = std::make_shared<ValidateOptions>();
  CLI::App* command = app.add_subcommand("validate", "Check every variant against the float64 reference");
  add_validate_options(*command, *options);
  command->callback([options, &status] { status = validate(*options); });
}

}  // namespace normquant::validate
