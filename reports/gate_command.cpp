// `normquant gate`
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <CLI/CLI.hpp>

#include "exit_status.hpp"
#include "reports/commands.hpp"
#include "reports/gate.hpp"

namespace normquant::reports {
namespace {

struct GateOptions {
  std::string baseline, candidate;
  GateRule rule;
};

std::optional<RecordSet> read_or_say(const std::string& file) {
  std::string why;
  std::optional<RecordSet> set = read_records({file}, why);
  if (!set) fmt::print(stderr, "normquant gate: {}\n", why);
  if (set) {
    for (const std::string& warning : set->warnings) fmt::print(stderr, "normquant gate: {}\n", warning);
  }
  return set;
}

int run_gate(const GateOptions& options) {
  if (const double effect = options.rule.min_effect; !(effect >= 0.001 && effect <= 1)) {  // so that NaN is refused
    fmt::print(stderr, "normquant gate: --min-effect must lie between 0.001 and 1\n");
    return exit_usage;
  }
  const std::optional<RecordSet> baseline = read_or_say(options.baseline);
  if (!baseline) return exit_usage;
  const std::optional<RecordSet> candidate = read_or_say(options.candidate);
  if (!candidate) return exit_usage;
  const GateResult result = compare(*baseline, *candidate, options.rule);
  std::FILE* out = result.refusal.empty() ? stdout : stderr;
  fmt::print(out, "{}{}", result.refusal.empty() ? "" : "normquant gate: ", gate_text(result, options.rule));
  return gate_status(result);
}

}  // namespace

void add_gate_command(CLI::App& app, int& status) {
  auto options = std::make_shared<GateOptions>();
  CLI::App* command = app.add_subcommand("gate", "compare two record files: did anything become slower?");
  command->add_option("--baseline", options->baseline, "record file to compare against")->required();
  command->add_option("--candidate", options->candidate, "record file to judge")->required();
  command->add_option("--min-effect", options->rule.min_effect, "smallest change that counts, 0.001 to 1")
      ->capture_default_str();
  command->footer("Exit status: 0 nothing slower, 2 cannot be compared, 3 something slower, 4 inconclusive.");
  command->callback([options, &status] { status = run_gate(*options); });
}

}  // namespace normquant::reports
