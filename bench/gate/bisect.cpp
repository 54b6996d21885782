#include "bench/gate/bisect.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <sstream>
#include <vector>

#include "bench/child_process.hpp"
#include "exit_status.hpp"
#include "refusal.hpp"
#include "reports/whole_file.hpp"

namespace normquant::gate {
namespace {

std::string_view word_of(CommitVerdict::Word word) {
  if (word == CommitVerdict::Word::good) return "good";
  return word == CommitVerdict::Word::bad ? "bad" : "skip";
}

/// git in the worktree of the search, with what it printed.
class BisectGit {
 public:
  explicit BisectGit(std::string place) : place_(std::move(place)) {}

  std::string source() const { return place_ + "/source"; }
  std::string log() const { return place_ + "/git.txt"; }

  /// Its exit status; 128 and more also when it cannot be started.
  int run(std::vector<std::string> arguments) {
    // Where git would ask a question it is told nothing.
    arguments.insert(arguments.begin(), {"/bin/sh", "-c", "exec git \"$@\" </dev/null", "sh"});
    bench::ChildRequest request;
    request.arguments = std::move(arguments);
    request.environment = {"LC_ALL=C"};
    request.output = log();
    std::string why;
    const auto end = bench::run_child(request, why);
    printed_ = end ? reports::read_whole(log()).value_or("") : why;
    return end ? end->status : 128;
  }
  int run_inside(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"-C", source()});
    return run(std::move(arguments));
  }
  const std::string& printed() const { return printed_; }
  std::string first_line() const { return printed_.substr(0, printed_.find('\n')); }

 private:
  std::string place_, printed_;
};

BisectResult git_failed(const BisectGit& git) {
  return {exit_infrastructure, fmt::format("git: {} (all of it in {})", git.first_line(), git.log()), {}, 0};
}

/// What git says of the end of a search; no status and no commit while it goes on.
struct SearchEnd {
  bool over = false;
  std::string commit;
};
SearchEnd end_in(const std::string& printed) {
  const std::size_t found = printed.find(" is the first bad commit");
  if (found != std::string::npos) {
    const std::size_t start = found == 0 ? std::string::npos : printed.rfind('\n', found - 1);
    const std::size_t from = start == std::string::npos ? 0 : start + 1;
    return {true, printed.substr(from, found - from)};
  }
  return {printed.find("There are only 'skip'ped commits left") != std::string::npos, {}};
}

}  // namespace

BisectResult bisect(const std::string& good, const std::string& bad, const std::string& place,
                    const JudgeCommit& judge) {
  std::error_code error;
  std::filesystem::create_directories(place, error);
  if (error) return {exit_infrastructure, fmt::format("cannot make the folder {}: {}", place, error.message()), {}, 0};
  BisectGit git(place);
  for (const std::string& commit : {good, bad}) {
    if (git.run({"cat-file", "-e", commit + "^{commit}"}) != 0) return git_failed(git);
  }
  if (!std::filesystem::exists(git.source() + "/.git") &&
      git.run({"worktree", "add", "--force", "--detach", "--no-checkout", git.source(), bad}) != 0) {
    return git_failed(git);
  }
  SearchEnd end;
  if (git.run_inside({"rev-parse", "--verify", "--quiet", "BISECT_HEAD"}) != 0) {
    if (git.run_inside({"bisect", "start", "--no-checkout", bad, good}) != 0) return git_failed(git);
    end = end_in(git.printed());
  }
  BisectResult result;
  while (!end.over) {
    if (git.run_inside({"rev-parse", "--verify", "BISECT_HEAD"}) != 0) return git_failed(git);
    const std::string commit = git.first_line();
    const CommitVerdict verdict = judge(commit);
    ++result.judged;
    std::fprintf(stderr, "normquant gate: %.12s is %s: %s\n", commit.c_str(),
                 std::string(word_of(verdict.word)).c_str(), verdict.why.c_str());
    const int status = git.run_inside({"bisect", std::string(word_of(verdict.word)), commit});
    end = end_in(git.printed());
    if (status != 0 && !end.over) return git_failed(git);
  }
  result.commit = end.commit;
  if (result.commit.empty()) {
    result.status = exit_inconclusive;
    result.sentence = "only commits are left that could not be judged:";
    std::istringstream lines(git.printed());
    for (std::string line; std::getline(lines, line);) {
      if (line.size() == 40 && line.find(' ') == std::string::npos) result.sentence += " " + line.substr(0, 12);
    }
  } else {
    (void)git.run({"log", "-1", "--format=%h %s", result.commit});
    result.sentence = git.first_line() + " is the first commit that is slower";
  }
  // The next search begins anew.
  (void)git.run_inside({"bisect", "reset"});
  (void)git.run({"worktree", "remove", "--force", git.source()});
  return result;
}

NamedCase named_case(const std::string& text) {
  std::istringstream words(text);
  std::string op, shape, dtype, form, variant = "auto", more;
  if (!(words >> op >> shape >> dtype >> form)) {
    throw Refusal{exit_usage, fmt::format("--case '{}': expected a case as the gate names it, such as "
                                          "'norm_quant_forward 4096x4096 bfloat16 rms auto'",
                                          text)};
  }
  words >> variant;
  if (words >> more) throw Refusal{exit_usage, fmt::format("--case '{}': {} is one word too many", text, more)};
  for (const std::string& word : {op, shape, dtype, form}) {
    if (word.find_first_of("\"\\") != std::string::npos) throw Refusal{exit_usage, "--case: no quotes within a name"};
  }
  return {
      fmt::format(
          R"({{"name":"bisect","about":"one case","cases":[{{"op":"{}","shapes":["{}"],"dtypes":["{}"],"forms":["{}"]}}]}})",
          op, shape, dtype, form),
      variant.empty() ? "auto" : variant};
}

}  // namespace normquant::gate
