// `normquant check`: anybody's output against the float64 reference.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <thread>
#include <CLI/CLI.hpp>

#include "app/commands.hpp"
#include "app/options.hpp"
#include "exit_status.hpp"
#include "output/escape.hpp"
#include "output/output_file.hpp"
#include "output/words.hpp"
#include "refusal.hpp"
#include "validate/check/answer.hpp"
#include "validate/check/check.hpp"
#include "validate/check/load.hpp"
#include "validate/check/readings.hpp"
#include "validate/check/switches.hpp"
#include "validate/result_files.hpp"
#include "validate/run.hpp"
#include "validate/summary.hpp"

namespace normquant::check {
namespace {

using validate::CaseResult;
using validate::Outcome;
using validate::Verdict;

struct CheckOptions {
  SwitchWords words;
  std::string name = "given", json, junit;
  double eps = 0, static_scale = 0, floor = 0;  ///< as far as it was given
  output::Existing existing = output::Existing::refuse;
  Sources sources;
  std::map<std::string, std::string, std::less<>> roles;  ///< what the options of roles were given; empty: not
};

/// This command again.
std::string command_of(const CheckOptions& options) {
  std::string command = "normquant check " + options_of(options.words);
  const auto add = [&](const char* option, const std::string& value) {
    if (!value.empty()) command += fmt::format(" {} {}", option, output::quoted_for_shell(value));
  };
  for (const std::string& file : options.sources.files) add("--tensors", file);
  for (const auto& [role, text] : options.sources.roles) add(("--" + role).c_str(), text);
  for (const std::string& type : options.sources.types) add("--as", type);
  return command;
}

/// One line on standard error, where a person looks on.
void show_progress(std::int64_t rows, std::int64_t all) {
  fmt::print(stderr, "\r{} of {} rows", rows, all);
  if (rows == all) fmt::print(stderr, "\r{:40}\r", "");
  std::fflush(stderr);
}

Walk walk_of_this_machine() {
  Walk walk;
  walk.threads = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1U, 8U));
  if (isatty(STDERR_FILENO) != 0) walk.progress = show_progress;
  return walk;
}

void print_result(const Verdict& v, Given& given, const Loaded& loaded, const Walk& walk) {
  fmt::print("{}\n{}", title_of(given), tensor_table(v, given));
  if (!loaded.ignored.empty()) fmt::print("ignored: {}\n", fmt::join(loaded.ignored, ", "));
  if (v.outcome == Outcome::wrong) {
    fmt::print("\n{}", wrong_lines(v));
    std::fflush(stdout);  // other readings take their time
    fmt::print("{}  docs/reading_a_failure.md says what each line means\n\n",
               readings_line(other_readings(given, walk)));
  }
  fmt::print("{}", count_line(v));
}

/// Behind a sentence that misses a tensor: those that the files hold under other names.
std::string what_else_is_there(const Loaded& loaded) {
  if (loaded.other_names.empty()) return {};
  return fmt::format("; the files also hold {}, which no role is called: give --ROLE FILE:NAME",
                     fmt::join(loaded.other_names, ", "));
}

int check_files(CheckOptions& options) {
  const Switches switches = switches_of(options.words);
  for (const auto& [role, text] : options.roles) {
    if (!text.empty()) options.sources.roles[role] = text;
  }
  std::string why;
  auto loaded = load(switches.op, options.sources, why);
  if (!loaded) throw Refusal{exit_usage, why};
  auto given = arrange(switches, std::move(loaded->tensors), why);
  if (!given) throw Refusal{exit_usage, why + what_else_is_there(*loaded)};
  output::OutputFile json, junit;
  json.open(options.json, options.existing);
  junit.open(options.junit, options.existing);
  const Walk walk = walk_of_this_machine();
  CaseResult result{"files", options.name, given->problem, check(*given, walk), command_of(options)};
  const Verdict found = result.verdict;
  const std::string doubt = found.outcome == Outcome::pass ? undecided(found) : "";
  if (!doubt.empty()) {
    result.verdict.outcome = Outcome::error;  // neither right nor wrong: never green
    result.verdict.reason = "cannot tell: " + doubt;
  }
  json.commit(validate::as_json({result}));  // before anything is printed: standard output may be closed
  junit.commit(validate::as_junit({result}));
  print_result(found, *given, *loaded, walk);
  if (found.outcome == Outcome::pass && found.elements_checked == 0) {
    throw Refusal{exit_usage, "nothing was checked: the given outputs have no elements"};
  }
  if (!doubt.empty()) throw Refusal{exit_inconclusive, result.verdict.reason};
  if (found.outcome == Outcome::pass) return exit_pass;
  throw Refusal{exit_wrong_results, output::counted(found.elements_wrong, "element is wrong", "elements are wrong") +
                                        fmt::format(", of {}", found.elements_checked)};
}

}  // namespace

void add_check_command(CLI::App& app, int& status) {
  auto options = std::make_shared<CheckOptions>();
  CLI::App* command = app.add_subcommand("check", "Check anybody's output, in .npy, .npz or .safetensors files");
  command
      ->add_option("--op", options->words.op,
                   "forward, norm, backward, activation_quant, weight_quant, bit_linear_forward or bit_linear_backward")
      ->required();
  command->add_option("--norm", options->words.norm, "rms or layer")->check(CLI::IsMember({"rms", "layer"}));
  CLI::Option* eps = command->add_option("--eps", options->eps, "What was added to the variance (forward)");
  command->add_option("--rounding", options->words.rounding, "Of ties (default: half_away; activation_quant half_even)")
      ->check(CLI::IsMember({"half_away", "half_even"}));
  command->add_option("--h-source", options->words.h_source, "unrounded or stored: what mean, var and y come from")
      ->check(CLI::IsMember({"unrounded", "stored"}))
      ->capture_default_str();
  command
      ->add_option("--algorithm", options->words.algorithm,
                   "two_pass, welford or any: whose bounds hold for the norm (docs/numerics.md, \"Other algorithms\")")
      ->check(CLI::IsMember({"two_pass", "welford", "any"}))
      ->capture_default_str();
  command->add_option("--y-type", options->words.y_type, "Type to which y is rounded before it is quantised (forward)")
      ->check(CLI::IsMember({"float32", "bfloat16", "float16"}));
  command
      ->add_option("--arithmetic", options->words.arithmetic,
                   "Type to which each step is rounded (norm; sums in float32)")
      ->check(CLI::IsMember({"float32", "bfloat16", "float16"}));
  command
      ->add_option("--packing", options->words.packing,
                   "normquant, transformers or tq2_0: the order of packed (weight_quant)")
      ->check(CLI::IsMember({"normquant", "transformers", "tq2_0"}))
      ->capture_default_str();
  command
      ->add_option(
          "--product", options->words.product,
          "What bit_linear_forward multiplies: codes, or operands of a type; any: codes, or operands of out's or "
          "x's type")
      ->check(CLI::IsMember({"any", "codes", "float32", "bfloat16", "float16"}))
      ->capture_default_str();
  command
      ->add_option("--format", options->words.format, "int8 or fp8_e4m3: of codes and out (forward, activation_quant)")
      ->check(CLI::IsMember({"int8", "fp8_e4m3"}))
      ->capture_default_str();
  CLI::Option* static_scale = command->add_option("--static-scale", options->static_scale,
                                                  "quant_scale of the whole tensor, in place of one a row");
  CLI::Option* floor = command->add_option("--floor", options->floor, "Floor of absmax (default 1e-5)");
  command->add_option("--tensors", options->sources.files, "File whose tensors are called as below (repeatable)")
      ->allow_extra_args(false);
  for (std::string_view role : all_roles()) {
    command
        ->add_option("--" + std::string(role), options->roles[std::string(role)],
                     "FILE, or FILE:NAME or FILE::NAME of a tensor in it")
        ->group("Tensors, inputs and outputs");
  }
  command->add_option("--as", options->sources.types, "ROLE=bfloat16: what 16 bits without a type are (repeatable)")
      ->allow_extra_args(false);
  command->add_option("--name", options->name, "What to call the checked program in --json and --junit")
      ->capture_default_str();
  command->add_option("--json", options->json, "Write the result to this file");
  command->add_option("--junit", options->junit, "Write the result to this file as JUnit XML");
  app::add_force(*command, options->existing);
  command->callback([options, eps, static_scale, floor, &status] {
    if (eps->count() > 0) options->words.eps = options->eps;
    if (static_scale->count() > 0) options->words.static_scale = options->static_scale;
    if (floor->count() > 0) options->words.floor = options->floor;
    status = check_files(*options);
  });
}

}  // namespace normquant::check
