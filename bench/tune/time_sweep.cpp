#include "bench/tune/time_sweep.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "bench/progress.hpp"
#include "bench/runner.hpp"
#include "bench/tune/timed_cases.hpp"
#include "exit_status.hpp"

namespace normquant::tune {
namespace {

using bench::Refusal;

}  // namespace

std::vector<bench::PlannedCase> plan_sweep(const std::string& sweep, const std::vector<std::string>& ops) {
  const Candidates candidates = candidates_of_this_build();
  const bench::VariantNames names = [&candidates](validate::Operation op) {
    return candidates(choice::operation_named(validate::name_of(op)).value_or(choice::Operation{}));
  };
  bench::PlanRequest asked;
  asked.ops = ops;
  asked.sweep = sweep;
  std::string why;
  auto plan = bench::make_plan(asked, names, why);
  if (!plan) throw Refusal{exit_usage, why};
  return std::move(*plan);
}

reports::RecordSet time_plan(const bench::Session& session, const std::vector<bench::PlannedCase>& plan, bool quick,
                             const std::string& records, bench::Tally& counts) {
  std::string why, text;
  bench::RecordFile file;
  if (!records.empty() && !file.open(records, why)) throw Refusal{exit_infrastructure, why};
  bool written = true;
  const auto keep = [&](const nlohmann::ordered_json& record) {
    written = file.write(record) && written;
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
  if (!written) throw Refusal{exit_infrastructure, fmt::format("writing {} failed; it is incomplete", records)};
  reports::RecordSet set;
  if (!reports::parse_records(text, "the timings", set, why)) throw Refusal{exit_infrastructure, why};
  reports::pool(set);
  return set;
}

}  // namespace normquant::tune
