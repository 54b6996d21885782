#include "bench/tune/time_sweep.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "bench/progress.hpp"
#include "bench/runner.hpp"
#include "bench/tune/timed_cases.hpp"
#include "exit_status.hpp"
#include "output/interrupt.hpp"

namespace normquant::tune {
namespace {

using bench::Refusal;

}  // namespace

std::vector<bench::PlannedCase> plan_sweep(const std::string& sweep, const std::vector<std::string>& ops) {
  bench::PlanRequest asked;
  asked.ops = ops;
  asked.sweep = sweep;
  std::string why;
  auto plan = bench::make_plan(asked, candidates_of_this_build(), why);
  if (!plan) throw Refusal{exit_usage, why};
  return std::move(*plan);
}

reports::RecordSet time_plan(const bench::Session& session, const std::vector<bench::PlannedCase>& plan, bool quick,
                             const KeptRecords& kept, bench::Tally& counts) {
  std::string why, text;
  bench::RecordFile file;
  if (!kept.file.empty()) file.open(kept.file, kept.existing);
  const output::OnInterrupt how([&kept] {
    const std::string where = kept.file.empty()
                                  ? "nothing keeps the timings: give --records FILE"
                                  : kept.file + " holds the timings so far; `normquant tune --from` takes it";
    std::fprintf(stderr, "normquant tune: no table was made; %s\n", where.c_str());
  });
  const auto keep = [&](const nlohmann::ordered_json& record) {
    if (!file.write(record)) throw Refusal{exit_infrastructure, file.failure()};
    text += record.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  };
  keep(bench::first_record(session));
  bench::Runner runner(session.parts(bench::rule_for(session.choice.kind, quick)));
  bench::Progress progress(static_cast<int>(plan.size()));
  std::vector<bench::TimingRecord> results;
  for (const bench::PlannedCase& planned : plan) {
    progress.begin(planned.name());
    bench::TimingRecord record = runner.run(planned.timed, planned.variant, 0);
    progress.end();
    keep(bench::to_json(record));
    if (record.result == bench::Result::wrong || record.result == bench::Result::error) {
      fmt::print(stderr, "normquant tune: {}: {}: {}\n", planned.name(), bench::name_of(record.result), record.reason);
    }
    record.samples = {};
    results.push_back(std::move(record));
  }
  bench::add(counts, bench::tally(results));
  reports::RecordSet set;
  if (!reports::parse_records(text, "the timings", set, why)) throw Refusal{exit_infrastructure, why};
  reports::pool(set);
  return set;
}

}  // namespace normquant::tune
