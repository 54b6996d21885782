// `normquant oracle`: what the checks themselves are worth.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <mutex>
#include <thread>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/options.hpp"
#include "exit_status.hpp"
#include "output/did_you_mean.hpp"
#include "output/interrupt.hpp"
#include "output/output_file.hpp"
#include "output/standard_streams.hpp"
#include "output/words.hpp"
#include "refusal.hpp"
#include "validate/oracle/kernels.hpp"
#include "validate/oracle/tightness.hpp"
#include "validate/summary.hpp"

namespace normquant::oracle {
namespace {

struct OracleOptions {
  std::string device = "host", suite = "smoke", json;
  std::vector<std::string> ops;
  std::uint64_t seed = 1;
  double elements = 1e6, seconds = 0;
  int jobs = 0;
  output::Existing existing = output::Existing::refuse;
};

KernelQuestion question_of(const OracleOptions& options, std::string& left_out) {
  KernelQuestion question;
  const auto selection = validate::select_devices(options.device, /*require_gpu=*/false);
  if (selection.exit_status != exit_pass) throw Refusal{selection.exit_status, selection.why};
  question.devices = selection.devices;
  left_out = selection.left_out;
  for (const std::string& name : options.ops) {
    const auto named = validate::operations_named(name);
    if (named.empty()) {
      throw Refusal{exit_usage,
                    fmt::format("there is no operation '{}'; there are {}{}", name, validate::known_operations,
                                output::did_you_mean(name, validate::operation_names()))};
    }
    question.operations.insert(question.operations.end(), named.begin(), named.end());
  }
  if (options.ops.empty()) question.operations.assign(std::begin(all_operations), std::end(all_operations));
  const auto suite = validate::suite_named(options.suite);
  if (!suite) {
    throw Refusal{exit_usage,
                  fmt::format("there is no suite '{}'; there are smoke, standard and exhaustive{}", options.suite,
                              output::did_you_mean(options.suite, {"smoke", "standard", "exhaustive"}))};
  }
  question.suite = *suite;
  question.first_seed = options.seed;
  question.elements = static_cast<std::int64_t>(options.elements);
  question.seconds = options.seconds;
  const int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  question.threads = options.jobs > 0 ? options.jobs : std::min(cores, 8);
  return question;
}

void print_tightness(const std::vector<Tightness>& all) {
  fmt::print("| operation | tensor | lengths | elements | outside | worst / bound | median of bound / worst |\n");
  fmt::print("| --- | --- | ---: | ---: | ---: | ---: | ---: |\n");
  for (const Tightness& t : all) {
    fmt::print("| {} | {} | {} | {} | {} | {} | {:.1f} |\n", name_of(t.op), t.tensor, t.lengths, t.evaluated, t.outside,
               output::short_figure(t.worst), t.median);
  }
}

void print_kernels(const KernelFindings& f, const std::vector<Tightness>& tightness) {
  fmt::print("\n## Kernels\n\n");
  fmt::print("{} elements in {} checks of {} suites, seeds {} to {}: {} false alarms, {} errors, {} skipped.\n\n",
             f.elements, f.checks, f.seeds, f.first_seed, f.first_seed + f.seeds - 1,
             static_cast<std::int64_t>(f.alarms.size()) - f.errors, f.errors, f.skipped);
  fmt::print("| operation | x | codes | two admissible | but for ties |\n| --- | --- | ---: | ---: | ---: |\n");
  for (const auto& [key, own] : f.ambiguity) {
    fmt::print("| {} | {} | {} | {:.5f}% | {:.5f}% |\n", key.first, key.second, own.codes, 100 * own.share(),
               100 * own.loose_share());
  }
  fmt::print("\n");
  print_tightness(tightness);
  constexpr std::size_t most_shown = 10;
  for (std::size_t i = 0; i < std::min(most_shown, f.alarms.size()); ++i) {
    fmt::print("\nALARM {}: {}\n  {}\n", f.alarms[i].variant, f.alarms[i].verdict.reason,
               reproducing_command(f.alarms[i]));
  }
}

nlohmann::json as_json(const std::vector<Tightness>& all) {
  auto list = nlohmann::json::array();
  for (const Tightness& t : all) {
    list.push_back({{"op", name_of(t.op)},
                    {"tensor", t.tensor},
                    {"lengths", t.lengths},
                    {"elements", t.evaluated},
                    {"outside", t.outside},
                    {"worst_over_bound", t.worst},
                    {"median_bound_over_worst", t.median}});
  }
  return list;
}

nlohmann::json as_json(const KernelFindings& f, const std::vector<Tightness>& tightness) {
  nlohmann::json document = {{"elements", f.elements},
                             {"checks", f.checks},
                             {"first_seed", f.first_seed},
                             {"seeds", f.seeds},
                             {"skipped", f.skipped},
                             {"errors", f.errors},
                             {"false_alarms", static_cast<std::int64_t>(f.alarms.size()) - f.errors},
                             {"ambiguity", nlohmann::json::array()},
                             {"tightness", as_json(tightness)},
                             {"alarms", nlohmann::json::array()}};
  for (const auto& [key, own] : f.ambiguity) {
    document["ambiguity"].push_back({{"op", key.first},
                                     {"x", key.second},
                                     {"codes", own.codes},
                                     {"ambiguous", own.ambiguous},
                                     {"on_ties", own.on_ties},
                                     {"share", own.share()}});
  }
  for (const auto& alarm : f.alarms) {
    document["alarms"].push_back({{"reason", alarm.verdict.reason}, {"reproduce", reproducing_command(alarm)}});
  }
  return document;
}

/// What would make the checks untrustworthy; empty when nothing does.
std::string distrust(const std::vector<Tightness>& evaluations, const KernelFindings& f) {
  for (const Tightness& t : evaluations) {
    if (t.outside > 0) {
      return fmt::format("{} honest values of {} {} are outside their bound", t.outside, name_of(t.op), t.tensor);
    }
    if (t.median > most_loose) {
      return fmt::format("the bound of {} {} is {:.0f} times the worst error seen; at most {} is tight", name_of(t.op),
                         t.tensor, t.median, most_loose);
    }
  }
  for (const auto& [key, own] : f.ambiguity) {
    if (own.too_loose()) {
      return fmt::format(
          "{:.3f}% of the codes of {} {} have two admissible values without a tie; at most {}% is allowed",
          100 * own.loose_share(), key.first, key.second, 100 * validate::most_ambiguous);
    }
  }
  const auto alarms = static_cast<std::int64_t>(f.alarms.size()) - f.errors;
  return alarms > 0 ? fmt::format("{} checks of the library's own variants raised an alarm", alarms) : "";
}

void show_progress(const KernelFindings& f) {
  if (!output::fancy_terminal()) return;
  fmt::print(stderr, "\r{} suites, {} elements, {} alarms ", f.seeds, f.elements, f.alarms.size());
  std::fflush(stderr);
}

int ask(const OracleOptions& options) {
  std::string left_out;
  KernelQuestion question = question_of(options, left_out);
  output::OutputFile json;
  json.open(options.json, options.existing);
  if (!left_out.empty()) fmt::print("{}\n", left_out);

  std::vector<Nearest> nearest;
  for (const validate::Problem& problem : tightness_problems(options.seed)) {
    for (Nearest& one : nearest_of(problem)) nearest.push_back(std::move(one));
  }
  const auto evaluations = tightness_of(nearest);
  fmt::print("## Honest float32 evaluations\n\n");
  print_tightness(evaluations);
  std::fflush(stdout);

  const auto document_of = [&](const KernelFindings& found, bool finished) {
    const nlohmann::json document = {{"schema", "normquant.oracle/1"},
                                     {"device", options.device},
                                     {"suite", options.suite},
                                     {"finished", finished},
                                     {"evaluations", as_json(evaluations)},
                                     {"kernels", as_json(found, tightness_of(found.nearest))}};
    return document.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  };
  std::mutex mutex;
  KernelFindings so_far;
  question.progress = [&](const KernelFindings& found) {
    const std::lock_guard lock(mutex);
    so_far = found;
    show_progress(found);
  };
  const auto ask_all = [&] {
    const output::OnInterrupt keep([&] {
      const std::lock_guard lock(mutex);
      try {
        json.commit(document_of(so_far, false));
      } catch (const Refusal& refusal) {
        std::fprintf(stderr, "normquant oracle: %s\n", refusal.sentence.c_str());
      }
      std::fprintf(
          stderr, "normquant oracle: %s %llu suites were finished; --seed %llu goes on\n",
          options.json.empty() ? "nothing keeps what was found:" : (options.json + " holds what was found:").c_str(),
          static_cast<unsigned long long>(so_far.seeds), static_cast<unsigned long long>(options.seed) + so_far.seeds);
    });
    return ask_kernels(question);
  };
  const KernelFindings findings = ask_all();
  json.commit(document_of(findings, true));
  const auto tightness = tightness_of(findings.nearest);
  if (findings.seeds > 0) print_kernels(findings, tightness);
  const std::string doubt = distrust(evaluations, findings);
  fmt::print("\n{}\n", doubt.empty() ? "nothing speaks against the checks" : "DOUBT: " + doubt);
  if (!doubt.empty()) throw Refusal{exit_wrong_results, doubt};
  if (findings.errors > 0)
    throw Refusal{exit_infrastructure, output::counted(findings.errors, "check", "checks") + " ended in an error"};
  return exit_pass;
}

}  // namespace

void add_oracle_command(CLI::App& app, int& status) {
  auto options = std::make_shared<OracleOptions>();
  CLI::App* command = app.add_subcommand("oracle", "What the checks are worth: tightness, ambiguity, false alarms");
  command->add_option("--device", options->device, "host, cuda, cuda:I or all")->capture_default_str();
  command->add_option("--op", options->ops,
                      fmt::format("Only kernels of this operation: {}", validate::known_operations));
  command->add_option("--suite", options->suite, "smoke, standard or exhaustive")->capture_default_str();
  command->add_option("--seed", options->seed, "Seed of the first suite; each has the next")->capture_default_str();
  command->add_option("--elements", options->elements, "Begin suites until so many elements were checked")
      ->check(app::number_between(0, 1e15))
      ->capture_default_str();
  command->add_option("--seconds", options->seconds, "Begin no suite after this time (0: no limit)")
      ->check(app::seconds_range());
  command->add_option("--jobs", options->jobs, "Cases that run side by side (default: cores, 8 at most)")
      ->check(app::jobs_range());
  command->add_option("--json", options->json, "Write the figures to this file");
  app::add_force(*command, options->existing);
  command->callback([options, &status] { status = ask(*options); });
}

}  // namespace normquant::oracle
