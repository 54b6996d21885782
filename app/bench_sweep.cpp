#include "app/bench_sweep.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <optional>
#include <nlohmann/json.hpp>

#include "bench/google_benchmark.hpp"
#include "bench/many_devices.hpp"
#include "bench/merge.hpp"
#include "bench/progress.hpp"
#include "exit_status.hpp"
#include "output/output_file.hpp"
#include "output/words.hpp"
#include "reports/whole_file.hpp"

namespace normquant::bench {
namespace {

/// The records came as devices came free; in the end they are in the order of the plan.
void put_in_order(const std::string& path) {
  std::error_code ignored;
  if (path.empty() || !std::filesystem::is_regular_file(path, ignored)) return;
  const std::optional<std::string> content = reports::read_whole(path);
  if (content) output::write_document(path, in_plan_order(*content), output::Existing::replace);
}

/// Times what is left and writes it; the counts include what was finished before.
Tally time_on_many(ManyDevices& devices, const std::vector<PlannedCase>& left, Tally counts, RecordFile& file,
                   std::atomic<std::size_t>& done) {
  std::vector<TimingRecord> records;
  Progress progress(static_cast<int>(left.size()));
  devices.run(left, [&](TimingRecord record) {
    progress.begin(case_name(record.timed, record.variant));
    progress.end();
    if (!file.write(to_json(record))) return false;
    ++done;
    record.samples = {};
    records.push_back(std::move(record));
    return true;
  });
  if (!file.failure().empty()) throw Refusal{exit_infrastructure, file.failure()};
  add(counts, tally(records));
  fmt::print("\n{}{}\n{}", summary_table(records), tally_text(counts), skipped_text(records));
  return counts;
}

}  // namespace

nlohmann::ordered_json with_plan(nlohmann::ordered_json record, const BenchOptions& options,
                                 const std::vector<PlannedCase>& plan) {
  const std::string sweep = std::filesystem::path(options.request.sweep).filename().string();  // no path in a record
  record["plan"] = {{"sweep", sweep}, {"shard", options.shard}, {"cases", plan.size()}};
  if (const int repetitions = repetitions_asked_for(options.benchmark_flags); repetitions > 1) {
    record["plan"]["repetitions"] = repetitions;
  }
  return record;
}

Finished open_file(const BenchOptions& options, const nlohmann::ordered_json& first,
                   const std::vector<PlannedCase>& plan, RecordFile& file) {
  Finished finished;
  if (options.out.empty()) return finished;
  if (!options.resume) {
    file.open(options.out, options.existing);
    return finished;
  }
  std::string why;
  auto found = read_finished(options.out, first, plan, why);
  if (!found) throw Refusal{exit_usage, why};
  file.open_behind(options.out, found->bytes);
  return std::move(*found);
}

output::OnInterrupt say_how_to_go_on(const BenchOptions& options, std::size_t planned,
                                     const std::atomic<std::size_t>& done) {
  return output::OnInterrupt([&options, planned, &done] {
    const std::string where = options.out.empty() ? "nothing keeps them: give --out FILE"
                                                  : options.out + " holds them; the same command with --resume goes on";
    std::fprintf(stderr, "normquant bench: %zu of %zu cases are finished; %s\n", done.load(), planned, where.c_str());
  });
}

int status_of(const Tally& counts) {
  if (counts.pass + counts.skipped + counts.wrong + counts.error == 0) return exit_pass;  // --benchmark_list_tests
  if (counts.pass + counts.wrong + counts.error == 0) {
    throw Refusal{exit_usage,
                  "nothing was timed: no variant asked for serves any of these cases, for the reasons above"};
  }
  const int status = exit_status_of(counts);
  if (counts.wrong > 0) {
    throw Refusal{status, output::counted(counts.wrong, "result is WRONG and was not timed",
                                          "results are WRONG and were not timed")};
  }
  if (counts.error > 0) {
    throw Refusal{status, output::counted(counts.error, "case ended in an error", "cases ended in an error")};
  }
  return status;
}

int run_on_many(const BenchOptions& options, const std::vector<validate::ListedDevice>& devices,
                const std::vector<PlannedCase>& plan) {
  for (const auto& [given, name] : {std::pair(options.profiled, "--profiled"),
                                    {options.lean, "--lean"},
                                    {options.self_test, "--self-test"},
                                    {options.sustained_seconds > 0, "--sustained"},
                                    {!options.extra_work.empty(), "--extra-work"},
                                    {!options.plugins.empty(), "--plugin"},
                                    {!options.benchmark_flags.empty(), "a flag of Google Benchmark"}}) {
    if (given)
      throw Refusal{exit_usage, fmt::format("{} is for one device at a time, not for {}", name, options.device)};
  }
  ManyDevices many({devices, options});
  std::vector<nlohmann::ordered_json> first;
  for (const auto& environment : many.environments()) first.push_back(with_plan(environment, options, plan));
  Tally counts;
  {
    RecordFile file;
    const Finished before = open_file(options, first.front(), plan, file);
    for (const auto& record : first) {
      if (before.bytes > 0 && before.cards.count(record.value("card", "")) > 0) continue;
      if (!file.write(record)) throw Refusal{exit_infrastructure, file.failure()};
    }
    if (devices.front().choice.kind == DeviceKind::host) fmt::print("host: CPU execution, not a GPU time\n");
    const std::vector<PlannedCase> left = without(plan, before);
    if (!before.indices.empty())
      fmt::print(stderr, "{} of {} were finished before\n", before.indices.size(), plan.size());
    std::atomic<std::size_t> done = before.indices.size();
    const output::OnInterrupt how = say_how_to_go_on(options, plan.size(), done);
    counts = left.empty() ? before.counts : time_on_many(many, left, before.counts, file, done);
  }
  put_in_order(options.out);
  return status_of(counts);
}

}  // namespace normquant::bench
