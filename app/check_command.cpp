// `normquant check`: anybody's output against the float64 reference.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <thread>
#include <CLI/CLI.hpp>

#include "app/commands.hpp"
#include "app/options.hpp"
#include "exit_status.hpp"
#include "output/did_you_mean.hpp"
#include "output/escape.hpp"
#include "output/output_file.hpp"
#include "output/words.hpp"
#include "refusal.hpp"
#include "validate/check/check.hpp"
#include "validate/check/load.hpp"
#include "validate/check/readings.hpp"
#include "validate/result_files.hpp"
#include "validate/run.hpp"
#include "validate/summary.hpp"

namespace normquant::check {
namespace {

using validate::CaseResult;
using validate::Outcome;
using validate::Problem;
using validate::Verdict;

struct CheckOptions {
  std::string op, norm, rounding, h_source = "unrounded", algorithm = "any", y_type, arithmetic, packing = "normquant",
                                  name = "given", json, junit;
  double eps = 0;
  bool eps_given = false;
  output::Existing existing = output::Existing::refuse;
  Sources sources;
  std::map<std::string, std::string, std::less<>> roles;  ///< what the options of roles were given; empty: not
};

Op op_of(const CheckOptions& options) {
  if (const auto op = op_named(options.op)) return *op;
  throw Refusal{
      exit_usage,
      fmt::format(
          "--op '{}': there are forward, norm, backward, activation_quant and weight_quant; the layer is "
          "checked by these parts{}",
          options.op,
          output::did_you_mean(options.op, {"forward", "norm", "backward", "activation_quant", "weight_quant"}))};
}

std::optional<DType> type_of(const std::string& name) {
  return name.empty() || name == "float32" ? std::nullopt : dtype_named(name);
}

validate::Algorithm algorithm_of(const std::string& name) {
  using validate::Algorithm;
  return name == "two_pass" ? Algorithm::two_pass : name == "welford" ? Algorithm::welford : Algorithm::any;
}

/// The switches, each explicit where a wrong guess would call a right output wrong.
Switches switches_of(const CheckOptions& options) {
  Switches s;
  s.op = op_of(options);
  Problem& p = s.problem;
  p.op = operation_of(s.op);
  const bool forward = s.op == Op::forward || s.op == Op::norm, normed = forward || s.op == Op::backward;
  const auto unused = [&](const std::string& option) {
    throw Refusal{exit_usage, fmt::format("{} has no meaning for {}", option, name_of(s.op))};
  };
  if (s.op == Op::activation_quant) p.rounding = Rounding::half_even;
  if (!options.rounding.empty()) {
    if (s.op == Op::weight_quant) unused("--rounding (weights are rounded half to even)");
    if (s.op == Op::norm) unused("--rounding");
    p.rounding = options.rounding == "half_even" ? Rounding::half_even : Rounding::half_away;
  }
  if (!options.y_type.empty() && s.op != Op::forward) unused("--y-type");
  if (!options.arithmetic.empty() && s.op != Op::norm) unused("--arithmetic");
  if (options.packing != "normquant" && s.op != Op::weight_quant) unused("--packing");
  s.y_type = type_of(options.y_type);
  s.arithmetic = type_of(options.arithmetic);
  s.packing = packing_named(options.packing).value_or(Packing::normquant);
  s.algorithm = algorithm_of(options.algorithm);
  if (normed) {
    if (options.norm.empty()) throw Refusal{exit_usage, "say which norm it is: --norm rms or --norm layer"};
    p.norm = options.norm == "layer" ? NormKind::layer : NormKind::rms;
  } else if (!options.norm.empty()) {
    unused("--norm");
  }
  if (!normed && options.algorithm != "any") unused("--algorithm");
  if (!forward) {
    if (options.eps_given) unused("--eps");
    if (options.h_source != "unrounded") unused("--h-source");
    return s;
  }
  if (!options.eps_given) throw Refusal{exit_usage, "say what eps the output was computed with: --eps 1e-6"};
  p.eps = static_cast<float>(options.eps);
  if (!(p.eps > 0) || !std::isfinite(p.eps)) {
    throw Refusal{exit_usage, fmt::format("--eps {}: it must be positive and finite as a float32", options.eps)};
  }
  p.h_source = options.h_source == "stored" ? HSource::stored : HSource::unrounded;
  return s;
}

/// This command again.
std::string command_of(const CheckOptions& options) {
  std::string command = fmt::format("normquant check --op {}", options.op);
  const auto add = [&](const char* option, const std::string& value) {
    if (!value.empty()) command += fmt::format(" {} {}", option, output::quoted_for_shell(value));
  };
  add("--norm", options.norm);
  if (options.eps_given) command += fmt::format(" --eps {}", options.eps);
  add("--rounding", options.rounding);
  if (options.h_source != "unrounded") add("--h-source", options.h_source);
  if (options.algorithm != "any") add("--algorithm", options.algorithm);
  add("--y-type", options.y_type);
  add("--arithmetic", options.arithmetic);
  if (options.packing != "normquant") add("--packing", options.packing);
  for (const std::string& file : options.sources.files) add("--tensors", file);
  for (const auto& [role, text] : options.sources.roles) add(("--" + role).c_str(), text);
  for (const std::string& type : options.sources.types) add("--as", type);
  return command;
}

std::vector<std::string> unchecked_outputs(const Given& given) {
  std::vector<std::string> names;
  for (const Role& role : roles_of(given.switches.op)) {
    if (role.output && given.tensor(role.name) == nullptr && given.dense(role.name) == nullptr) {
      names.emplace_back(role.name);
    }
  }
  return names;
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

/// The case as one line; that of the norm alone is norm_quant_forward's without what it does not have.
std::string title_of(const CaseResult& result, const Given& given) {
  std::string text = to_text(result.problem);
  const std::string_view own = name_of(result.problem.op);
  return given.switches.op == Op::norm ? text.replace(text.find(own), own.size(), name_of(Op::norm)) : text;
}

void print_wrong(const Verdict& v, Given& given, const Walk& walk) {
  fmt::print("\nWRONG: {}\n", v.reason);
  for (const validate::Mismatch& m : v.mismatches) {
    fmt::print("  {}[{},{}]: expected {}, got {}\n", m.tensor, m.row, m.column, m.expected, m.actual);
  }
  std::fflush(stdout);
  const auto readings = other_readings(given, walk);
  if (!readings.empty()) fmt::print("  with {} all of it would be right\n", fmt::join(readings, ", or with "));
  fmt::print("  docs/reading_a_failure.md says what each line means\n\n");
}

void print_result(const CaseResult& result, const Verdict& v, Given& given, const Loaded& loaded, const Walk& walk) {
  fmt::print("{}\n", title_of(result, given));
  fmt::print("{:<16} {:>14} {:>12} {:>12}\n", "tensor", "elements", "wrong", "worst/bound");
  for (const validate::TensorScore& score : v.tensors) {
    fmt::print("{:<16} {:>14} {:>12} {:>12}\n", score.tensor, score.checked, score.wrong,
               output::short_figure(score.worst_error_over_bound));
  }
  if (const auto names = unchecked_outputs(given); !names.empty()) {
    fmt::print("not checked, since not given: {}\n", fmt::join(names, ", "));
  }
  if (!loaded.ignored.empty()) fmt::print("ignored: {}\n", fmt::join(loaded.ignored, ", "));
  if (v.outcome == Outcome::wrong) print_wrong(v, given, walk);
  fmt::print("{} checked, {} wrong", output::counted(v.elements_checked, "element", "elements"), v.elements_wrong);
  if (v.codes_checked > 0) {
    fmt::print("; {:.4f}% of the codes have two admissible values",
               100.0 * static_cast<double>(v.codes_ambiguous) / static_cast<double>(v.codes_checked));
  }
  fmt::print("\n");
}

/// Behind a sentence that misses a tensor: those that the files hold under other names.
std::string what_else_is_there(const Loaded& loaded) {
  if (loaded.other_names.empty()) return {};
  return fmt::format("; the files also hold {}, which no role is called: give --ROLE FILE:NAME",
                     fmt::join(loaded.other_names, ", "));
}

int check_files(CheckOptions& options) {
  const Switches switches = switches_of(options);
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
  print_result(result, found, *given, *loaded, walk);
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
  command->add_option("--op", options->op, "forward, norm, backward, activation_quant or weight_quant")->required();
  command->add_option("--norm", options->norm, "rms or layer")->check(CLI::IsMember({"rms", "layer"}));
  CLI::Option* eps = command->add_option("--eps", options->eps, "What was added to the variance (forward)");
  command
      ->add_option("--rounding", options->rounding,
                   "Of ties (default: forward, backward half_away; activation_quant half_even)")
      ->check(CLI::IsMember({"half_away", "half_even"}));
  command->add_option("--h-source", options->h_source, "unrounded or stored: what mean, var and y come from")
      ->check(CLI::IsMember({"unrounded", "stored"}))
      ->capture_default_str();
  command
      ->add_option("--algorithm", options->algorithm,
                   "two_pass, welford or any: whose bounds hold for the norm (docs/numerics.md, \"Other algorithms\")")
      ->check(CLI::IsMember({"two_pass", "welford", "any"}))
      ->capture_default_str();
  command->add_option("--y-type", options->y_type, "Type to which y is rounded before it is quantised (forward)")
      ->check(CLI::IsMember({"float32", "bfloat16", "float16"}));
  command->add_option("--arithmetic", options->arithmetic, "Type to which each step is rounded (norm; sums in float32)")
      ->check(CLI::IsMember({"float32", "bfloat16", "float16"}));
  command
      ->add_option("--packing", options->packing,
                   "normquant, transformers or tq2_0: the order of packed (weight_quant)")
      ->check(CLI::IsMember({"normquant", "transformers", "tq2_0"}))
      ->capture_default_str();
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
  command->callback([options, eps, &status] {
    options->eps_given = eps->count() > 0;
    status = check_files(*options);
  });
}

}  // namespace normquant::check
