#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <optional>
#include <vector>

#include "bench/child_process.hpp"
#include "bench/gate/bisect.hpp"
#include "bench/gate/elf_file.hpp"
#include "bench/gate/on_this_gpu.hpp"
#include "bench/gate/reference_build.hpp"
#include "bench/gate/scratch_folder.hpp"
#include "bench/gate/unchanged.hpp"
#include "output/interrupt.hpp"
#include "output/output_file.hpp"
#include "reports/whole_file.hpp"

namespace normquant::gate {
namespace {

using Word = CommitVerdict::Word;

/// A commit whose verdict is known, with the code that it came from.
struct JudgedProgram {
  Word word;
  std::string commit;
  ProgramFacts facts;
};

class CaseJudge {
 public:
  CaseJudge(const GateOptions& options, std::string good_program, std::string sweep_file, std::string variant,
            const ScratchFolder& folder)
      : options_(options), folder_(folder.path()), good_(std::move(good_program)) {
    options_.against = good_;
    options_.sweep = std::move(sweep_file);
    options_.variant = std::move(variant);
    options_.time_all = true;  // whether the code is the same is asked here
  }

  /// Remembers a program by its code, so that commits with the same need no timing.
  void remember(Word word, const std::string& commit, const std::string& program) {
    std::string why;
    if (auto facts = facts_of(program, options_.device, options_.variant, options_.sweep, folder_, why)) {
      judged_.push_back({word, commit, std::move(*facts)});
    } else if (!told_) {
      std::fprintf(stderr, "normquant gate: the machine code is not compared, so every commit is timed: %s\n",
                   why.c_str());
      told_ = true;
    }
  }

  CommitVerdict judge(const std::string& commit) {
    const ReferenceProgram built = reference_program(commit, folder_);
    if (built.path.empty()) return {Word::skip, built.why};
    std::string why;
    const auto facts = facts_of(built.path, options_.device, options_.variant, options_.sweep, folder_, why);
    for (const JudgedProgram& one : judged_) {
      if (!facts || unchanged_cases(one.facts, *facts).empty()) continue;
      return {one.word, fmt::format("its code is that of {:.12}", one.commit)};
    }
    CommitVerdict verdict = time(built.path);
    if (facts && verdict.word != Word::skip) judged_.push_back({verdict.word, commit, *facts});
    return verdict;
  }

  /// By time, against the good program.
  CommitVerdict time(const std::string& program) {
    options_.candidate_program = program;
    try {
      const AgainstResult result = compare_programs(options_);
      if (!result.report.result.refusal.empty()) return {Word::skip, result.report.result.refusal};
      if (result.report.result.comparisons.empty()) return {Word::skip, "the case was not timed"};
      const reports::Comparison& found = result.report.result.comparisons.front();
      const std::string figures =
          fmt::format("{:.4f} times as long ({:.4g} to {:.4g} us)", found.ratio, found.baseline_us, found.candidate_us);
      switch (found.change) {
        case Change::slower: return {Word::bad, "SLOWER: " + figures};
        case Change::inconclusive: return {Word::skip, "INCONCLUSIVE: " + figures};
        default: return {Word::good, fmt::format("{}: {}", reports::name_of(found.change), figures)};
      }
    } catch (const Refusal& refusal) {
      if (refusal.status == exit_gpu_absent || refusal.status == exit_usage) throw;
      return {Word::skip, refusal.sentence};
    }
  }

 private:
  GateOptions options_;
  std::string folder_, good_;
  std::vector<JudgedProgram> judged_;
  bool told_ = false;
};

/// First line of what git prints; a Refusal when it fails.
std::string git_answer(const std::vector<std::string>& arguments, const ScratchFolder& folder,
                       const std::string& sentence) {
  bench::ChildRequest request;
  request.arguments = arguments;
  request.output = folder.path() + "/git.txt";
  std::string why;
  const auto end = bench::run_child(request, why);
  const std::string printed = reports::read_whole(request.output).value_or("");
  if (!end || end->status != 0) throw Refusal{exit_usage, sentence};
  return printed.substr(0, printed.find('\n'));
}

std::string built_or_refused(const std::string& commit, const ScratchFolder& folder) {
  const ReferenceProgram built = reference_program(commit, folder.path());
  if (built.path.empty()) throw Refusal{built.status, built.why};
  return built.path;
}

}  // namespace

int bisect_case(const GateOptions& options) {
  const NamedCase named = named_case(options.bisect_case);
  const ScratchFolder folder;
  const std::string root = git_answer({"git", "rev-parse", "--show-toplevel"}, folder,
                                      "--bisect: there is no git repository around this folder");
  std::string commits[2];
  for (std::size_t i = 0; i < 2; ++i) {
    const std::string& text = options.bisect[i];
    commits[i] = git_answer({"git", "rev-parse", "--verify", "--quiet", "--end-of-options", text + "^{commit}"}, folder,
                            fmt::format("--bisect: {} is no commit of this repository", text));
  }
  const std::string place = fmt::format("{}/build/against/bisect-{:.12}-{:.12}-{:.8}", root, commits[0], commits[1],
                                        digest_of(options.bisect_case));
  std::error_code ignored;
  std::filesystem::create_directories(place, ignored);
  const std::string sweep_file = place + "/sweep.json", ends_file = place + "/ends.txt";
  output::write_document(sweep_file, named.sweep, output::Existing::replace);
  const output::OnInterrupt how([&place] {
    std::fprintf(stderr, "normquant gate: %s holds what was found; the same command goes on\n", place.c_str());
  });
  const std::string good = built_or_refused(commits[0], folder), bad = built_or_refused(commits[1], folder);
  CaseJudge judge(options, good, sweep_file, named.variant, folder);
  judge.remember(Word::good, commits[0], good);
  judge.remember(Word::bad, commits[1], bad);
  if (!std::filesystem::exists(ends_file)) {  // else an earlier call saw it
    const CommitVerdict ends = judge.time(bad);
    if (ends.word != Word::bad) {
      throw Refusal{ends.word == Word::good ? exit_usage : exit_inconclusive,
                    fmt::format("--bisect: {} is not slower than {}, so there is nothing to find: {}",
                                options.bisect[1], options.bisect[0], ends.why)};
    }
    output::write_document(ends_file, ends.why + "\n", output::Existing::replace);
    std::fprintf(stderr, "normquant gate: %s is %s\n", options.bisect[1].c_str(), ends.why.c_str());
  }
  const BisectResult result =
      bisect(commits[0], commits[1], place, [&judge](const std::string& commit) { return judge.judge(commit); });
  if (result.commit.empty()) throw Refusal{result.status, "--bisect: " + result.sentence};
  fmt::print("{}\n{} in '{}'; {} commits were judged\n", result.commit, result.sentence, options.bisect_case,
             result.judged);
  return exit_pass;
}

}  // namespace normquant::gate
