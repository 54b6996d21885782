// `normquant gate`
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <CLI/CLI.hpp>

#include "app/commands.hpp"
#include "bench/gate/bisect.hpp"
#include "bench/gate/ci_output.hpp"
#include "bench/gate/gate_options.hpp"
#include "bench/gate/on_this_gpu.hpp"
#include "bench/session.hpp"
#include "exit_status.hpp"
#include "output/escape.hpp"
#include "output/output_file.hpp"
#include "output/words.hpp"
#include "reports/whole_file.hpp"

namespace normquant::gate {
namespace {

using bench::Refusal;
using reports::RecordSet;

RecordSet read_or_refuse(const std::string& file) {
  std::string why;
  std::optional<RecordSet> set = reports::read_records({file}, why);
  if (!set) throw Refusal{exit_usage, why};
  for (const std::string& warning : set->warnings) fmt::print(stderr, "normquant gate: {}\n", warning);
  return std::move(*set);
}

/// The file that a folder of baselines keeps for this machine.
std::string baseline_of(const std::string& folder, const reports::Environment& machine) {
  return (std::filesystem::path(folder) / (machine_name(machine) + ".jsonl")).string();
}

/// A baseline is what later changes are judged by: it must hold GPU times, and nothing that was wrong.
void refuse_as_baseline(const std::string& file, const RecordSet& set) {
  const auto refuse = [&file](const std::string& why) {
    throw Refusal{exit_usage, fmt::format("{} is not adopted as a baseline: {}", file, why)};
  };
  std::size_t passed = 0;
  for (const reports::Timing& timing : set.timings) {
    const std::string name = timing.case_text() + " " + timing.variant;
    if (timing.verdict == "wrong" || timing.verdict == "error") refuse(fmt::format("{} is {}", name, timing.verdict));
    if (!timing.passed()) continue;
    if (timing.time_kind != "steady") refuse(fmt::format("{} is CPU execution, not a GPU time", name));
    ++passed;
  }
  if (set.environments.front().gpu.empty()) refuse("it names no GPU");
  if (passed == 0) refuse("it holds no time");
}

void adopt(const std::string& from, const RecordSet& set, const std::string& to) {
  refuse_as_baseline(from, set);
  const std::optional<std::string> content = reports::read_whole(from);
  if (!content) throw Refusal{exit_usage, "cannot read " + from};
  output::write_document(to, *content, output::Existing::refuse);
  fmt::print("no baseline for this GPU and driver: {} is stored as one in {}. NOTHING WAS COMPARED.\n", from, to);
}

/// Nothing when the candidate was adopted as the baseline.
std::optional<GateReport> compare_files(const GateOptions& options) {
  const RecordSet candidate = read_or_refuse(options.candidate);
  std::string file = options.baseline;
  if (std::filesystem::is_directory(file)) {
    file = baseline_of(options.baseline, candidate.environments.front());
    if (!std::filesystem::exists(file)) {
      if (!options.adopt) {
        throw Refusal{exit_usage,
                      fmt::format("{} has no baseline for this GPU and driver ({}); --adopt stores the candidate "
                                  "as one",
                                  options.baseline, std::filesystem::path(file).filename().string())};
      }
      adopt(options.candidate, candidate, file);
      return std::nullopt;
    }
  }
  const RecordSet baseline = read_or_refuse(file);
  GateReport report;
  report.rule.min_effect = options.min_effect;
  report.rule.special = options.special;
  report.result = reports::compare(baseline, candidate, report.rule);
  return report;
}

/// The file of --junit, opened before the work and written after it.
class CiFiles {
 public:
  explicit CiFiles(const GateOptions& options) : options_(options) {
    output::refuse_to_mix({options.junit, options.markdown});
    junit_.open(options.junit, options.existing);
  }
  /// Once; what is written later says less.
  void write(const GateReport& report) {
    if (written_) return;
    written_ = true;
    junit_.commit(junit_xml(report));
    if (!options_.markdown.empty()) output::append_document(options_.markdown, markdown_summary(report));
    if (options_.annotate) fmt::print("{}", annotations(report));
  }

 private:
  const GateOptions& options_;
  output::OutputFile junit_;
  bool written_ = false;
};

int show(const GateReport& report, CiFiles& files) {
  const reports::GateResult& result = report.result;
  const std::string text = reports::gate_text(result, report.rule);
  files.write(report);
  if (result.refusal.empty()) fmt::print("{}", text);
  std::FILE* out = result.refusal.empty() ? stdout : stderr;
  for (const std::string& note : report.notes) fmt::print(out, "{}\n", output::printable(note));
  const int status = reports::gate_status(result);
  if (!result.refusal.empty()) throw Refusal{status, text.substr(0, text.find_last_not_of('\n') + 1)};
  if (status == exit_regression) {
    const auto slower = static_cast<std::int64_t>(reports::count(result, reports::Change::slower));
    throw Refusal{status, output::counted(slower, "case is SLOWER", "cases are SLOWER")};
  }
  if (status == exit_inconclusive) {
    const auto open = static_cast<std::int64_t>(reports::count(result, reports::Change::inconclusive));
    const auto missing = static_cast<std::int64_t>(result.missing.size());
    throw Refusal{status, output::counted(open, "case is INCONCLUSIVE", "cases are INCONCLUSIVE") + ", " +
                              output::counted(missing, "is missing", "are missing")};
  }
  return status;
}

/// What the file of --min-effects says; empty without one.
std::vector<reports::SpecialEffect> special_effects(const std::string& file) {
  if (file.empty()) return {};
  const std::optional<std::string> text = reports::read_whole(file);
  if (!text) throw Refusal{exit_usage, "cannot read " + file};
  std::string why;
  auto effects = reports::parse_effects(*text, why);
  if (!effects) throw Refusal{exit_usage, fmt::format("--min-effects {}: {}", file, why)};
  return std::move(*effects);
}

int judge(const GateOptions& options, CiFiles& files) {
  if (const std::string why = contradiction(options); !why.empty()) throw Refusal{exit_usage, why};
  if (options.against.empty()) {
    const std::optional<GateReport> report = compare_files(options);
    if (report) return show(*report, files);
    GateReport adopted;
    adopted.notes.emplace_back("the candidate was adopted as the baseline; nothing was compared");
    files.write(adopted);
    return exit_pass;
  }
  const AgainstResult compared = compare_programs(options);
  if (!compared.wrong) return show(compared.report, files);
  try {
    (void)show(compared.report, files);
  } catch (const Refusal& refusal) {
    fmt::print(stderr, "normquant gate: {}\n", output::printable(refusal.sentence));
  }
  throw Refusal{exit_wrong_results, "a result was wrong; its time says nothing"};
}

int run_gate(GateOptions options) {
  if (options.qualify || !options.bisect.empty()) {
    options.special = special_effects(options.effects_file);
    if (const std::string why = contradiction(options); !why.empty()) throw Refusal{exit_usage, why};
    return options.qualify ? qualify_this_gpu(options) : bisect_case(options);
  }
  CiFiles files(options);
  try {
    options.special = special_effects(options.effects_file);
    return judge(options, files);
  } catch (const Refusal& refusal) {
    GateReport report;
    report.result.refusal = refusal.sentence;
    files.write(report);
    throw;
  }
}

}  // namespace

void add_gate_command(CLI::App& app, int& status) {
  auto options = std::make_shared<GateOptions>();
  CLI::App* command = app.add_subcommand("gate", "did anything become slower? Two record files, or two programs");
  add_gate_options(*command, *options);
  command->callback([options, &status] { status = run_gate(*options); });
}

}  // namespace normquant::gate
