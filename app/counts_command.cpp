// `normquant-watched counts`: what every variant asks of the memory system of a GPU, counted on the host device. A table that
// is kept in the repository (tests/baselines/host_counts.txt), so that a change of it is seen.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <regex>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "app/commands.hpp"
#include "app/options.hpp"
#include "exit_status.hpp"
#include "host/watch/counts.hpp"
#include "refusal.hpp"
#include "validate/operations/prepared_problem.hpp"
#include "validate/problem.hpp"

namespace normquant::watched {
namespace {

using host_exec::watch::Counts;

struct CountsOptions {
  std::vector<std::string> cases;
  std::string variant = ".*";
  int multiprocessors = 132;  // of an H100
};

/// Forms that kernels know when they are compiled, aligned and not, at a length of models and one whose rows share a warp.
std::vector<std::string> counted_cases() {
  const std::string forward = "op=norm_quant_forward shape=4x4096 x=bfloat16 weight=bfloat16 ";
  const std::string backward =
      "op=norm_quant_backward shape=4x4096 x=bfloat16 weight=bfloat16 out=bfloat16 dy=bfloat16 ";
  return {
      forward + "out=bfloat16",
      forward + "codes=1",
      forward + "out=bfloat16 residual=bfloat16 residual_out=bfloat16",
      forward + "out=bfloat16 bias=bfloat16 norm=layer",
      forward + "out=bfloat16 row_padding=5 offset=1",
      "op=norm_quant_forward shape=4x4096 x=float32 weight=float32 out=float32",
      "op=norm_quant_forward shape=17x136 x=bfloat16 weight=bfloat16 out=bfloat16",
      backward,
      backward + "dresidual=bfloat16",
      backward + "bias=bfloat16 norm=layer",
      backward + "row_padding=5 offset=1",
      "op=norm_quant_backward shape=17x136 x=bfloat16 weight=bfloat16 out=bfloat16 dy=bfloat16",
      "op=activation_quant shape=4x4096 x=bfloat16 out=bfloat16 rounding=half_even",
      "op=activation_quant shape=17x136 x=bfloat16 codes=1 rounding=half_even",
      "op=weight_quant shape=4x512 x=bfloat16 out=bfloat16",
      "op=weight_quant shape=4x512 x=bfloat16 packed=1",
  };
}

std::string first_line() {
  return fmt::format(
      "{:<22} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9} {:>6} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7}\n",
      "variant", "launches", "loads", "sectors", "stores", "sectors", "copies", "sectors", "x min", "sh.lds", "confl.",
      "sh.sts", "confl.", "remote", "barrier", "shuffle", "atomic");
}

/// `least`: bytes that an algorithm must move.
std::string line(std::string_view variant, const Counts& c, std::int64_t least) {
  constexpr double sector_bytes = 32;
  const double moved =
      sector_bytes * static_cast<double>(c.global_loads.sectors + c.global_stores.sectors + c.copies.sectors);
  return fmt::format(
      "{:<22} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9} {:>6.2f} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7}\n",
      variant, c.launches, c.global_loads.warps, c.global_loads.sectors, c.global_stores.warps, c.global_stores.sectors,
      c.copies.warps, c.copies.sectors, moved / static_cast<double>(least), c.shared_loads.warps,
      c.shared_loads.conflicts, c.shared_stores.warps, c.shared_stores.conflicts, c.remote_stores, c.barriers,
      c.shuffles, c.atomics);
}

void count_case(const std::string& text, const std::regex& wanted, Device& device) {
  std::string why;
  const auto problem = validate::parse_problem(text, why);
  if (!problem) throw Refusal{exit_usage, why};
  const auto prepared = validate::prepare(*problem, device, 0, why);
  if (prepared == nullptr) throw Refusal{exit_infrastructure, why};
  fmt::print("\n# {}; at least {} bytes\n{}", to_text(*problem), prepared->algorithmic_bytes(), first_line());
  for (const validate::VariantEntry& variant : validate::catalogue(problem->op, DeviceKind::host)) {
    if (!std::regex_search(variant.name.begin(), variant.name.end(), wanted)) continue;
    const validate::VariantHandle handle = prepared->find(variant.name);
    if (!prepared->why_not(handle).empty()) continue;  // what does not serve the problem is not in the table
    Status status = prepared->reserve(handle);
    if (status.ok()) status = prepared->poison_outputs();
    host_exec::watch::counting_begins();
    if (status.ok()) status = prepared->launch(handle, nullptr);
    const Counts counts = host_exec::watch::counting_ends();
    if (!status.ok()) throw Refusal{exit_infrastructure, fmt::format("{}: {}", variant.name, status.message)};
    fmt::print("{}", line(variant.name, counts, prepared->algorithmic_bytes()));
  }
}

int count(const CountsOptions& options) {
  std::regex wanted;
  try {
    wanted = std::regex(options.variant);
  } catch (const std::regex_error&) {
    throw Refusal{exit_usage, fmt::format("'{}' is not a regular expression", options.variant)};
  }
  const auto device = open_host_device(1, options.multiprocessors);
  fmt::print(
      "What the variants ask of a GPU's memory system, counted on the host device (docs/races.md says how, and what "
      "each\n"
      "column is). Generated: scripts/host_counts.py. {} multiprocessors.\n",
      options.multiprocessors);
  for (const std::string& text : options.cases.empty() ? counted_cases() : options.cases)
    count_case(text, wanted, *device);
  return exit_pass;
}

}  // namespace

void add_counts_command(CLI::App& app, int& status) {
  auto options = std::make_shared<CountsOptions>();
  CLI::App* command = app.add_subcommand("counts", "Count what every variant asks of a GPU's memory system");
  command->add_option("--case", options->cases, "This problem instead of the table's (repeatable)");
  command->add_option("--variant", options->variant, "Only variants whose name matches this expression");
  command->add_option("--multiprocessors", options->multiprocessors, "Of the GPU whose launches are counted")
      ->check(app::count_between(1, 10000))
      ->capture_default_str();
  command->callback([options, &status] { status = count(*options); });
}

}  // namespace normquant::watched
