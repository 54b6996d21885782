// `normquant check`: anybody's output against the float64 reference.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <cstdio>
#include <memory>
#include <CLI/CLI.hpp>

#include "app/commands.hpp"
#include "exit_status.hpp"
#include "validate/check/check.hpp"
#include "validate/check/load.hpp"
#include "validate/result_files.hpp"
#include "validate/run.hpp"
#include "validate/summary.hpp"

namespace normquant::check {
namespace {

using validate::CaseResult;
using validate::Operation;
using validate::Outcome;
using validate::Problem;
using validate::Verdict;

struct CheckOptions {
  std::string op, norm, rounding, h_source = "unrounded", name = "given", json, junit;
  double eps = 0;
  bool eps_given = false;
  Sources sources;
  std::map<std::string, std::string, std::less<>> roles;  ///< what the options of roles were given; empty: not
};

struct Refusal {
  int status;
  std::string sentence;
};

Operation operation_of(const CheckOptions& options) {
  const auto op = validate::operation_named(options.op);
  if (op && !roles_of(*op).empty()) return *op;
  throw Refusal{exit_usage,
                fmt::format("--op '{}': there are forward, backward, activation_quant and weight_quant; the layer is "
                            "checked by these parts",
                            options.op)};
}

/// The switches, each explicit where a wrong guess would call a right output wrong.
Problem switches_of(const CheckOptions& options) {
  Problem p;
  p.op = operation_of(options);
  const bool forward = p.op == Operation::norm_quant_forward, backward = p.op == Operation::norm_quant_backward;
  const auto unused = [&](const char* option) {
    throw Refusal{exit_usage, fmt::format("{} has no meaning for {}", option, name_of(p.op))};
  };
  if (p.op == Operation::activation_quant) p.rounding = Rounding::half_even;
  if (!options.rounding.empty()) {
    if (p.op == Operation::weight_quant) unused("--rounding (weights are rounded half to even)");
    p.rounding = options.rounding == "half_even" ? Rounding::half_even : Rounding::half_away;
  }
  if (forward || backward) {
    if (options.norm.empty()) throw Refusal{exit_usage, "say which norm it is: --norm rms or --norm layer"};
    p.norm = options.norm == "layer" ? NormKind::layer : NormKind::rms;
  } else if (!options.norm.empty()) {
    unused("--norm");
  }
  if (!forward) {
    if (options.eps_given) unused("--eps");
    if (options.h_source != "unrounded") unused("--h-source");
    return p;
  }
  if (!options.eps_given) throw Refusal{exit_usage, "say what eps the output was computed with: --eps 1e-6"};
  p.eps = static_cast<float>(options.eps);
  if (!(p.eps > 0) || !std::isfinite(p.eps)) {
    throw Refusal{exit_usage, fmt::format("--eps {}: it must be positive and finite", options.eps)};
  }
  p.h_source = options.h_source == "stored" ? HSource::stored : HSource::unrounded;
  return p;
}

std::string quoted(const std::string& text) {
  std::string safe = "'";
  for (char c : text) c == '\'' ? safe += "'\\''" : safe += c;
  return safe + "'";
}

/// This command again.
std::string command_of(const CheckOptions& options) {
  std::string command = fmt::format("normquant check --op {}", options.op);
  const auto add = [&](const char* option, const std::string& value) {
    if (!value.empty()) command += fmt::format(" {} {}", option, quoted(value));
  };
  add("--norm", options.norm);
  if (options.eps_given) command += fmt::format(" --eps {}", options.eps);
  add("--rounding", options.rounding);
  if (options.h_source != "unrounded") add("--h-source", options.h_source);
  for (const std::string& file : options.sources.files) add("--tensors", file);
  for (const auto& [role, text] : options.sources.roles) add(("--" + role).c_str(), text);
  for (const std::string& type : options.sources.types) add("--as", type);
  return command;
}

std::vector<std::string> unchecked_outputs(const Given& given) {
  std::vector<std::string> names;
  for (const Role& role : roles_of(given.problem.op)) {
    if (role.output && given.tensor(role.name) == nullptr && given.dense(role.name) == nullptr) {
      names.emplace_back(role.name);
    }
  }
  return names;
}

/// Which other reading of the same inputs would make every output right; empty when none does.
std::string other_reading(Given& given) {
  const Problem p = given.problem;
  const auto passes = [&](auto change) {
    change(given.problem);
    const bool right = check(given).outcome == Outcome::pass;
    given.problem = p;
    return right;
  };
  if (p.op != Operation::weight_quant && passes([](Problem& q) {
        q.rounding = q.rounding == Rounding::half_even ? Rounding::half_away : Rounding::half_even;
      })) {
    return fmt::format("--rounding {}", p.rounding == Rounding::half_even ? "half_away" : "half_even");
  }
  if (p.op != Operation::norm_quant_forward) return {};
  if (p.residual_out &&
      passes([](Problem& q) { q.h_source = q.h_source == HSource::stored ? HSource::unrounded : HSource::stored; })) {
    return fmt::format("--h-source {}", p.h_source == HSource::stored ? "unrounded" : "stored");
  }
  for (const float eps : {1e-5F, 1e-6F, 1e-8F}) {
    if (eps != p.eps && passes([eps](Problem& q) { q.eps = eps; })) return fmt::format("--eps {}", eps);
  }
  return {};
}

void print_result(const CaseResult& result, Given& given, const Loaded& loaded) {
  const Verdict& v = result.verdict;
  fmt::print("{}\n", to_text(result.problem));
  fmt::print("{:<16} {:>14} {:>12} {:>12}\n", "tensor", "elements", "wrong", "worst/bound");
  for (const validate::TensorScore& score : v.tensors) {
    fmt::print("{:<16} {:>14} {:>12} {:>12.3f}\n", score.tensor, score.checked, score.wrong,
               score.worst_error_over_bound);
  }
  for (const std::string& name : unchecked_outputs(given)) fmt::print("not checked: {}, which was not given\n", name);
  if (!loaded.ignored.empty()) fmt::print("ignored: {}\n", fmt::join(loaded.ignored, ", "));
  if (v.outcome == Outcome::fail) {
    fmt::print("\nWRONG: {}\n", v.reason);
    for (const validate::Mismatch& m : v.mismatches) {
      fmt::print("  {}[{},{}]: expected {}, got {}\n", m.tensor, m.row, m.column, m.expected, m.actual);
    }
    if (const std::string reading = other_reading(given); !reading.empty()) {
      fmt::print("  with {} all of it would be right\n", reading);
    }
    fmt::print("  docs/reading_a_failure.md says what each line means\n\n");
  }
  const double share =
      v.codes_checked == 0 ? 0 : 100.0 * static_cast<double>(v.codes_ambiguous) / static_cast<double>(v.codes_checked);
  fmt::print("{} elements checked, {} wrong; {:.4f}% of the codes have two admissible values\n", v.elements_checked,
             v.elements_wrong, share);
}

int check_files(CheckOptions& options) {
  const Problem switches = switches_of(options);
  for (const auto& [role, text] : options.roles) {
    if (!text.empty()) options.sources.roles[role] = text;
  }
  std::string why;
  auto loaded = load(switches.op, options.sources, why);
  if (!loaded) throw Refusal{exit_usage, why};
  auto given = arrange(switches, std::move(loaded->tensors), why);
  if (!given) throw Refusal{exit_usage, why};
  validate::ResultFile json, junit;
  if ((!options.json.empty() && !json.open(options.json, why)) ||
      (!options.junit.empty() && !junit.open(options.junit, why))) {
    throw Refusal{exit_infrastructure, why};
  }
  const CaseResult result{"files", options.name, given->problem, check(*given), command_of(options)};
  print_result(result, *given, *loaded);
  if ((!options.json.empty() && !json.commit(validate::as_json({result}), why)) ||
      (!options.junit.empty() && !junit.commit(validate::as_junit({result}), why))) {
    throw Refusal{exit_infrastructure, why};
  }
  if (result.verdict.outcome == Outcome::pass && result.verdict.elements_checked == 0) {
    throw Refusal{exit_usage, "nothing was checked: the given outputs have no elements"};
  }
  return result.verdict.outcome == Outcome::pass ? exit_pass : exit_wrong_results;
}

}  // namespace

void add_check_command(CLI::App& app, int& status) {
  auto options = std::make_shared<CheckOptions>();
  CLI::App* command = app.add_subcommand("check", "Check anybody's output, in .npy, .npz or .safetensors files");
  command->add_option("--op", options->op, "forward, backward, activation_quant or weight_quant")->required();
  command->add_option("--norm", options->norm, "rms or layer")->check(CLI::IsMember({"rms", "layer"}));
  CLI::Option* eps = command->add_option("--eps", options->eps, "What was added to the variance (forward)");
  command
      ->add_option("--rounding", options->rounding,
                   "Of ties (default: forward, backward half_away; activation_quant half_even)")
      ->check(CLI::IsMember({"half_away", "half_even"}));
  command->add_option("--h-source", options->h_source, "unrounded or stored: what mean, var and y come from")
      ->check(CLI::IsMember({"unrounded", "stored"}))
      ->capture_default_str();
  command->add_option("--tensors", options->sources.files, "File whose tensors are called as below (repeatable)")
      ->allow_extra_args(false);
  for (std::string_view role : all_roles()) {
    command
        ->add_option("--" + std::string(role), options->roles[std::string(role)],
                     "FILE, or FILE:NAME of a tensor in it")
        ->group("Tensors, inputs and outputs");
  }
  command->add_option("--as", options->sources.types, "ROLE=bfloat16: what 16 bits without a type are (repeatable)")
      ->allow_extra_args(false);
  command->add_option("--name", options->name, "What to call the checked program in --json and --junit")
      ->capture_default_str();
  command->add_option("--json", options->json, "Write the result to this file");
  command->add_option("--junit", options->junit, "Write the result to this file as JUnit XML");
  command->callback([options, eps, &status] {
    options->eps_given = eps->count() > 0;
    try {
      status = check_files(*options);
    } catch (const Refusal& refusal) {
      fmt::print(stderr, "normquant: {}\n", refusal.sentence);
      status = refusal.status;
    }
  });
}

}  // namespace normquant::check
