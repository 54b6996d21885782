#include "bench/tune/time_sweep.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <optional>
#include <nlohmann/json.hpp>

#include "bench/many_devices.hpp"
#include "bench/progress.hpp"
#include "bench/runner.hpp"
#include "bench/tune/timed_cases.hpp"
#include "exit_status.hpp"
#include "output/interrupt.hpp"

namespace normquant::tune {
namespace {

using bench::Refusal;

/// The records as they come: in the file, where there is one, as text, and counted.
class Kept {
 public:
  explicit Kept(const KeptRecords& kept) : kept_(kept) {
    if (!kept.file.empty()) file_.open(kept.file, kept.existing);
  }
  void keep(const nlohmann::ordered_json& record) {
    if (!file_.write(record)) throw Refusal{exit_infrastructure, file_.failure()};
    text_ += record.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  }
  void keep(bench::TimingRecord record) {
    keep(bench::to_json(record));
    if (record.outcome == bench::Outcome::wrong || record.outcome == bench::Outcome::error) {
      fmt::print(stderr, "normquant tune: {}: {}: {}\n", bench::case_name(record.timed, record.variant),
                 name_of(record.outcome), record.reason);
    }
    record.samples = {};
    results_.push_back(std::move(record));
  }
  reports::RecordSet set(bench::Tally& counts) const {
    bench::add(counts, bench::tally(results_));
    std::string why;
    reports::RecordSet set;
    if (!reports::parse_records(text_, "the timings", set, why)) throw Refusal{exit_infrastructure, why};
    reports::pool(set);
    return set;
  }

 private:
  const KeptRecords& kept_;
  bench::RecordFile file_;
  std::string text_;
  std::vector<bench::TimingRecord> results_;
  output::OnInterrupt how_{[this] {
    const std::string where = kept_.file.empty()
                                  ? "nothing keeps the timings: give --records FILE"
                                  : kept_.file + " holds the timings so far; `normquant tune --from` takes it";
    std::fprintf(stderr, "normquant tune: no table was made; %s\n", where.c_str());
  }};
};

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
  Kept records(kept);
  records.keep(bench::first_record(session));
  bench::Runner runner(session.parts(bench::rule_for(session.choice.kind, quick)));
  bench::Progress progress(static_cast<int>(plan.size()));
  for (const bench::PlannedCase& planned : plan) {
    progress.begin(planned.name());
    bench::TimingRecord record = runner.run(planned.timed, planned.variant, 0);
    progress.end();
    record.card = session.card;
    records.keep(std::move(record));
  }
  return records.set(counts);
}

reports::RecordSet time_plan_on_many(const std::vector<validate::ListedDevice>& devices,
                                     const std::vector<bench::PlannedCase>& plan, bool quick, const KeptRecords& kept,
                                     bench::Tally& counts) {
  bench::BenchOptions options;
  options.quick = quick;
  options.no_cold = true;  // as one device tunes
  Kept records(kept);
  bench::ManyDevices many({devices, options});
  for (const auto& environment : many.environments()) records.keep(environment);
  bench::Progress progress(static_cast<int>(plan.size()));
  std::optional<Refusal> failure;  // not thrown on the thread of a device
  many.run(plan, [&](bench::TimingRecord record) {
    progress.begin(bench::case_name(record.timed, record.variant));
    progress.end();
    try {
      records.keep(std::move(record));
    } catch (const Refusal& refusal) {
      failure = refusal;
    }
    return !failure;
  });
  if (failure) throw Refusal(*failure);
  return records.set(counts);
}

}  // namespace normquant::tune
