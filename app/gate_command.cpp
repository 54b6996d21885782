// `normquant gate`
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <CLI/CLI.hpp>

#include "app/commands.hpp"
#include "bench/gate/ci_output.hpp"
#include "bench/gate/gate_options.hpp"
#include "bench/gate/on_this_gpu.hpp"
#include "bench/session.hpp"
#include "exit_status.hpp"
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

void adopt(const std::string& from, const std::string& to) {
  const std::optional<std::string> content = reports::read_whole(from);
  if (!content || !reports::write_whole(to, *content)) throw Refusal{exit_infrastructure, "cannot write " + to};
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
      adopt(options.candidate, file);
      return std::nullopt;
    }
  }
  const RecordSet baseline = read_or_refuse(file);
  GateReport report;
  report.rule.min_effect = options.min_effect;
  report.result = reports::compare(baseline, candidate, report.rule);
  return report;
}

void write_ci_files(const GateOptions& options, const GateReport& report) {
  if (!options.junit.empty() && !reports::write_whole(options.junit, junit_xml(report))) {
    throw Refusal{exit_infrastructure, "cannot write " + options.junit};
  }
  if (!options.markdown.empty()) {
    std::ofstream file(options.markdown, std::ios::app);
    file << markdown_summary(report) << std::flush;
    if (!file) throw Refusal{exit_infrastructure, "cannot write " + options.markdown};
  }
  if (options.annotate) fmt::print("{}", annotations(report));
}

int show(const GateOptions& options, const GateReport& report) {
  const bool refused = !report.result.refusal.empty();
  std::FILE* out = refused ? stderr : stdout;
  fmt::print(out, "{}{}", refused ? "normquant gate: " : "", reports::gate_text(report.result, report.rule));
  for (const std::string& note : report.notes) fmt::print(out, "{}\n", note);
  write_ci_files(options, report);
  return reports::gate_status(report.result);
}

int run_gate(const GateOptions& options) {
  if (const std::string why = contradiction(options); !why.empty()) throw Refusal{exit_usage, why};
  if (options.qualify) return qualify_this_gpu(options);
  if (!options.against.empty()) {
    const AgainstResult compared = compare_programs(options);
    const int status = show(options, compared.report);
    return compared.wrong ? exit_wrong_results : status;
  }
  const std::optional<GateReport> report = compare_files(options);
  return report ? show(options, *report) : exit_pass;
}

}  // namespace

void add_gate_command(CLI::App& app, int& status) {
  auto options = std::make_shared<GateOptions>();
  CLI::App* command = app.add_subcommand("gate", "did anything become slower? Two record files, or two programs");
  add_gate_options(*command, *options);
  command->callback([options, &status] {
    try {
      status = run_gate(*options);
    } catch (const Refusal& refusal) {
      fmt::print(stderr, "normquant gate: {}\n", refusal.sentence);
      status = refusal.status;
    }
  });
}

}  // namespace normquant::gate
