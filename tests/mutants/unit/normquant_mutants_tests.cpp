// normquant-mutants-tests: runs the unit tests of contracts, choice and the layer's arguments with planted bugs that no suite of
// `normquant validate` can meet, one after the other (docs/mutants.md).
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <set>
#include <CLI/CLI.hpp>

#include "exit_status.hpp"
#include "tests/mutants/active.hpp"
#include "tests/mutants/finding_files.hpp"
#include "tests/mutants/processes.hpp"

namespace normquant::mutants {
namespace {

/// Says that the process lives after each test, and keeps what failed first.
class Watcher final : public testing::EmptyTestEventListener {
 public:
  explicit Watcher(const std::function<void()>& alive) : alive_(alive) {}
  const std::string& failed() const { return failed_; }
  const std::string& reason() const { return reason_; }

 private:
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed() || !failed_.empty()) return;
    failed_ = current_;
    reason_ = result.summary();
  }
  /// Gtest cannot be asked for it while it reports.
  void OnTestStart(const testing::TestInfo& test) override {
    current_ = fmt::format("{}.{}", test.test_suite_name(), test.name());
  }
  void OnTestEnd(const testing::TestInfo&) override { alive_(); }
  const std::function<void()>& alive_;
  std::string current_, failed_, reason_;
};

/// In a process of its own: all tests until one fails.
std::string run_tests(const Mutant& mutant, const std::function<void()>& alive) {
  constexpr rlim_t most_seconds = 60;  // of the processor; without a mutant it is a tenth
  const rlimit limit{most_seconds, RLIM_INFINITY};
  (void)setrlimit(RLIMIT_CPU, &limit);
  (void)std::freopen("/dev/null", "w", stdout);
  (void)std::freopen("/dev/null", "w", stderr);
  (void)activate(mutant.identity);
  auto* const watcher = new Watcher(alive);  // the listeners own it
  testing::TestEventListeners& listeners = testing::UnitTest::GetInstance()->listeners();
  delete listeners.Release(listeners.default_result_printer());
  listeners.Append(watcher);
  Finding finding;
  finding.mutant = mutant.name;
  finding.caught = RUN_ALL_TESTS() != 0;
  finding.check = watcher->failed();
  finding.reason = watcher->reason();
  return nlohmann::json(finding).dump();
}

/// A process that did not come to its end is a catch too.
Finding finding_of(const Mutant& mutant, const Ended& ended) {
  Finding finding;
  if (!ended.text.empty()) {
    finding = nlohmann::json::parse(ended.text).get<Finding>();
  } else {
    const bool hung = ended.hung || ended.signal == SIGXCPU;
    finding.mutant = mutant.name;
    finding.caught = true;
    finding.check = hung ? "hang" : "crash";
    finding.reason = hung ? "no test came to its end in time" : std::string(strsignal(ended.signal));
  }
  finding.device = "host";
  finding.suite = "tests";
  finding.seconds = ended.seconds;
  return finding;
}

constexpr double most_silent = 240;  // seconds

int run(const std::string& names_file, const std::string& out, int jobs) {
  std::ifstream file(names_file);
  if (!file) throw Refusal{exit_usage, fmt::format("cannot read {}", names_file)};
  const std::set<std::string, std::less<>> names{std::istream_iterator<std::string>(file), {}};
  std::set<std::string, std::less<>> done;
  for (const Finding& finding : found_before(out)) done.insert(finding.mutant);
  std::vector<const Mutant*> mutants;
  for (const Mutant& mutant : all_mutants()) {
    if (names.contains(mutant.name) && !done.contains(mutant.name)) mutants.push_back(&mutant);
  }
  testing::GTEST_FLAG(fail_fast) = true;
  testing::GTEST_FLAG(filter) += ":-*EverySuite*";  // validate's own part, and slow
  const Mutant none{0, "none", {}, {}, 0, {}, {}, {}, true, true, {}};
  run_processes(
      {[&](const std::function<void()>& alive) { return run_tests(none, alive); }}, 1, most_silent,
      [&](std::size_t, const Ended& ended) {
        const Finding finding = finding_of(none, ended);
        if (!finding.caught) return;
        throw Refusal{exit_infrastructure, fmt::format("without a mutant {} fails: {}", finding.check, finding.reason)};
      });
  std::vector<Work> work;
  for (const Mutant* mutant : mutants) {
    work.emplace_back([mutant](const std::function<void()>& alive) { return run_tests(*mutant, alive); });
  }
  FindingFile records(out, true);
  std::size_t caught = 0;
  run_processes(work, jobs, most_silent, [&](std::size_t index, const Ended& ended) {
    const Finding finding = finding_of(*mutants[index], ended);
    records.add(finding);
    caught += finding.caught ? 1 : 0;
    fmt::print("{} {}\n", finding.mutant, finding.caught ? finding.check : "passes");
    std::fflush(stdout);
  });
  fmt::print("{} of {} mutants caught by unit tests; {} were run before\n", caught, mutants.size(), done.size());
  return exit_pass;
}

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  CLI::App app("Unit tests with planted bugs (docs/mutants.md)");
  std::string names, out;
  int jobs = 1;
  app.add_option("--names", names, "Run the mutants that this file names, one a line")->required();
  app.add_option("--out", out, "Write the findings to this file, a JSON record a line; what it has is not run again")
      ->required();
  app.add_option("--jobs", jobs, "Processes side by side")->check(CLI::Range(1, 1000))->capture_default_str();
  try {
    app.parse(argc, argv);
    return run(names, out, jobs);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? exit_pass : exit_usage;
  } catch (const Refusal& refusal) {
    fmt::print(stderr, "normquant-mutants-tests: {}\n", refusal.sentence);
    return refusal.status;
  }
}

}  // namespace
}  // namespace normquant::mutants

int main(int argc, char** argv) { return normquant::mutants::main(argc, argv); }
