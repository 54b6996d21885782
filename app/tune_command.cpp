// `normquant tune`
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>
#include <CLI/CLI.hpp>

#include "app/commands.hpp"
#include "app/options.hpp"
#include "app/tune_fit.hpp"
#include "app/tune_shapes.hpp"
#include "bench/session.hpp"
#include "bench/summary_table.hpp"
#include "bench/tune/build_table.hpp"
#include "bench/tune/invariant_price.hpp"
#include "bench/tune/regret.hpp"
#include "bench/tune/time_sweep.hpp"
#include "bench/tune/timed_cases.hpp"
#include "exit_status.hpp"
#include "output/output_file.hpp"
#include "output/words.hpp"
#include "reports/records.hpp"

namespace normquant::tune {
namespace {

using bench::Refusal;

struct TuneOptions {
  std::vector<std::string> from, held_out, ops;
  std::string device, sweep, records, out, fit, shapes;
  bool quick = false, invariant = false;
  bool require_gpu = false;
  output::Existing existing = output::Existing::refuse;
};

/// The timings to tune on, and those of shapes that are left out of it.
struct Timings {
  reports::RecordSet tuned;
  std::optional<reports::RecordSet> held_out;
  bench::Tally counts;
};

reports::RecordSet read_or_refuse(const std::vector<std::string>& files) {
  std::string why;
  std::optional<reports::RecordSet> set = reports::read_records(files, why);
  if (!set) throw Refusal{exit_usage, why};
  for (const std::string& warning : set->warnings) fmt::print(stderr, "normquant tune: {}\n", warning);
  return std::move(*set);
}

Timings read_timings(const TuneOptions& options) {
  Timings timings{read_or_refuse(options.from), std::nullopt, {}};
  if (!options.held_out.empty()) timings.held_out = read_or_refuse(options.held_out);
  return timings;
}

/// `FILE.held_out.jsonl` beside `FILE.jsonl`.
std::string held_out_path(const std::string& records) {
  if (records.empty()) return {};
  const std::filesystem::path path(records);
  return (path.parent_path() / path.stem()).string() + ".held_out" + path.extension().string();
}

/// Refuses what can be refused before the first minute of timing.
Timings take_timings(const TuneOptions& options) {
  if (options.held_out.size() > 1) throw Refusal{exit_usage, "--held-out names one sweep where there is no --from"};
  const auto devices = validate::listed_devices(options.device, options.require_gpu);
  const validate::DeviceChoice chosen =
      devices ? devices->front().choice : bench::choose_device(options.device, options.require_gpu);
  const bool gpu = chosen.kind == DeviceKind::cuda;
  const std::string held_out_sweep = !options.held_out.empty() ? options.held_out.front() : gpu ? "held_out" : "";
  const auto plan = plan_sweep(!options.sweep.empty() ? options.sweep : gpu ? "tuning" : "host", options.ops);
  const auto held_out_plan =
      held_out_sweep.empty() ? std::vector<bench::PlannedCase>{} : plan_sweep(held_out_sweep, options.ops);
  const std::string held_out_records = held_out_path(options.records);
  if (!options.records.empty()) output::refuse_unwritable(held_out_records, options.existing);
  const bench::Session session = bench::open_session(chosen);
  if (options.out.empty()) {
    output::refuse_unwritable(choice::file_name(session.device->info().name), options.existing);
  }
  if (!gpu) fmt::print("host: CPU execution, not a GPU time; this table says nothing about any GPU\n");
  Timings timings;
  const auto time = [&](const std::vector<bench::PlannedCase>& cases, const std::string& file) {
    const KeptRecords kept{file, options.existing};
    return devices ? time_plan_on_many(*devices, cases, options.quick, kept, timings.counts)
                   : time_plan(session, cases, options.quick, kept, timings.counts);
  };
  timings.tuned = time(plan, options.records);
  if (!held_out_plan.empty()) timings.held_out = time(held_out_plan, held_out_records);
  fmt::print("{}\n", bench::tally_text(timings.counts));
  return timings;
}

/// The cases that were left out of the table, on the table's device; what is wrong with them is refused or said.
std::vector<TimedCase> held_out_cases(const Timings& timings, const TimedDevice& device,
                                      const choice::TunedTable& table, std::vector<std::string>& notes) {
  if (!timings.held_out) return {};
  std::string why;
  const std::optional<TimedDevice> other = device_of(*timings.held_out, why);
  if (!other) throw Refusal{exit_usage, "held out: " + why};
  if (!(*other == device)) {
    throw Refusal{exit_usage,
                  fmt::format("the held-out records are of {}, the others of {}", other->name, device.name)};
  }
  const std::vector<TimedCase> cases = timed_cases(*timings.held_out, candidates_of_this_build(), notes);
  std::vector<TimedCase> kept = held_out(cases, table);
  if (kept.size() < cases.size()) {
    notes.push_back(fmt::format("{} of the held-out cases were tuned on and do not count", cases.size() - kept.size()));
  }
  return kept;
}

std::vector<std::string> comments_of(const TimedDevice& device, const std::string& regret) {
  return {"Which variants `auto` takes on this device, written by `normquant tune`; docs/choice.md explains it.",
          fmt::format("Timed: {}{}", device.about, device.time_kind == "steady" ? "" : "; CPU execution, no GPU times"),
          "Regret on shapes that were left out: " + regret,
          "operation, type, form, alignment, M, N, fastest variants with their time over the best; 1.00 ties with it"};
}

int finish(const TuneOptions& options, const Timings& timings) {
  std::string why;
  const std::optional<TimedDevice> device = device_of(timings.tuned, why);
  if (!device) throw Refusal{exit_usage, why};
  std::vector<std::string> notes;
  const std::vector<TimedCase> tuned = timed_cases(timings.tuned, candidates_of_this_build(), notes);
  if (tuned.empty()) {
    if (notes.empty()) notes.emplace_back("the records hold times of `auto` alone, and of none of its candidates");
    throw Refusal{exit_usage, fmt::format("no table can be made; {}", fmt::join(notes, "; "))};
  }
  choice::TunedTable table{device->name, device->compute_capability, device->sm_count, cells_of(tuned)};
  const std::string text = choice::to_text(table, {});  // costs are rounded in it, so it is what counts
  if (!choice::parse_table(text, table, why)) throw Refusal{exit_usage, "no table can be made: " + why};
  const std::vector<TimedCase> held = held_out_cases(timings, *device, table, notes);
  const Regrets regrets = regrets_of_table(table, held);

  const std::string path = options.out.empty() ? choice::file_name(device->name) : options.out;
  const std::string known = held.empty() ? "not known" : summary(regrets);
  output::write_document(path, choice::to_text(table, comments_of(*device, known)), options.existing);
  for (const std::string& note : notes) fmt::print("{}\n", note);
  fmt::print("{}: {} cells, written to {}\n", device->name, table.cells.size(), path);
  fmt::print("regret on the shapes of the table: {}\n", summary(regrets_of_table(table, tuned)));
  if (held.empty()) {
    fmt::print("regret on shapes that were left out: not known, there are none\n");
  } else {
    fmt::print("regret of `auto` as it was when these were timed: {}\n", summary(regrets_of_auto(held)));
    fmt::print("regret on shapes that were left out: {}", to_text(regrets));
  }
  const bench::Tally& counts = timings.counts;  // all 0 with --from
  if (counts.wrong > 0)
    throw Refusal{exit_wrong_results,
                  output::counted(counts.wrong, "result was WRONG", "results were WRONG") + "; the table does without"};
  if (counts.error > 0)
    throw Refusal{exit_infrastructure,
                  output::counted(counts.error, "case", "cases") + " ended in an error; the table does without"};
  return exit_pass;
}

/// --invariant: the price of the row-invariant choice at the shapes of these records.
int print_prices(const reports::RecordSet& records) {
  std::string why;
  const std::optional<TimedDevice> device = device_of(records, why);
  if (!device) throw Refusal{exit_usage, why};
  std::vector<std::string> notes;
  const Prices all = prices(timed_cases(records, candidates_of_this_build(), notes), device_like(*device));
  for (const std::string& note : notes) fmt::print("{}\n", note);
  if (all.cases.empty()) {
    throw Refusal{exit_usage, "of no case do the records hold the times of both choices; time all variants"};
  }
  fmt::print("{}: {}\n{}", device->name, device->about, to_text(all));
  return exit_pass;
}

int run_tune(const TuneOptions& options) {
  output::refuse_to_mix({options.out, options.records, held_out_path(options.records)});
  if (!options.out.empty() && options.shapes.empty()) output::refuse_unwritable(options.out, options.existing);
  if (!options.shapes.empty()) {
    return tune_shapes(
        {options.shapes, options.device, options.out, options.require_gpu, {options.records, options.existing}});
  }
  if (options.invariant) return print_prices(read_or_refuse(options.from));
  if (!options.fit.empty()) {
    if (options.out.empty()) output::refuse_unwritable(options.fit, options.existing);
    return fit_to_records(read_or_refuse(options.from), options.fit, options.out, options.existing);
  }
  return finish(options, options.from.empty() ? take_timings(options) : read_timings(options));
}

void add_options(CLI::App& command, TuneOptions& options) {
  const auto single = [&command](const char* name, std::string& value, const char* help) {
    return command.add_option(name, value, help);
  };
  const auto repeatable = [&command](const char* name, std::vector<std::string>& values, const char* help) {
    return command.add_option(name, values, help)->allow_extra_args(false);
  };
  CLI::Option* from =
      repeatable("--from", options.from, "make the table of these record files, timing nothing; repeatable");
  single("--fit", options.fit,
         "with --from: in place of a table fit this model of costs to the records (docs/choice.md)")
      ->needs(from);
  command
      .add_flag("--invariant", options.invariant,
                "with --from: in place of a table print what the row-invariant choice costs beside `auto`, case by "
                "case (docs/row_invariance.md)")
      ->needs(from)
      ->excludes("--fit");
  repeatable("--held-out", options.held_out,
             "shapes to take the regret on: a sweep (default: held_out); with --from record files, repeatable");
  single("--out", options.out, "the table (default: the device's name with .table, in the current folder)");
  single("--device", options.device,
         "host, cuda or cuda:I (default: cuda when usable, else host); cases shared by several: cuda:all, cuda:0,2, "
         "host:K")
      ->excludes(from);
  repeatable("--op", options.ops, "tune this operation only; repeatable")->excludes(from);
  single("--sweep", options.sweep, "sweep to tune on (default: tuning; host on the host)")->excludes(from);
  single("--records", options.records,
         "keep the timings here, those of the shapes left out beside it: a.held_out.jsonl for a.jsonl")
      ->excludes(from);
  CLI::Option* sweep = command.get_option("--sweep");
  single("--shapes", options.shapes,
         "time the shapes of this file, MxN a line, and keep the best variants in a table of yours, which `auto` "
         "follows there")
      ->excludes(from)
      ->excludes(sweep)
      ->excludes(command.get_option("--op"))
      ->excludes(command.get_option("--held-out"));
  command.add_flag("--quick", options.quick, "fewer samples a case")->excludes(from);
  command.add_flag("--require-gpu", options.require_gpu, "exit with status 77 when there is no GPU")->excludes(from);
}

}  // namespace

void add_tune_command(CLI::App& app, int& status) {
  auto options = std::make_shared<TuneOptions>();
  CLI::App* command = app.add_subcommand("tune", "time all variants and write the table that `auto` follows");
  add_options(*command, *options);
  app::add_force(*command, options->existing);
  command->callback([options, &status] { status = run_tune(*options); });
}

}  // namespace normquant::tune
