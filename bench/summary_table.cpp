#include "bench/summary_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "exit_status.hpp"
#include "output/reasons.hpp"
#include "output/table.hpp"

namespace normquant::bench {
namespace {

/// The passing records of one case: the fastest run of every variant.
struct CaseResults {
  std::string title;
  std::string auto_variant;
  std::string invariant_variant;
  std::map<std::string, const TimingRecord*> by_variant;
  const TimingRecord* best = nullptr;
};

bool faster(const TimingRecord& a, const TimingRecord* b) {
  return b == nullptr || a.summary.median < b->summary.median;
}

std::vector<CaseResults> grouped(const std::vector<TimingRecord>& records) {
  std::vector<CaseResults> cases;
  std::map<std::string, std::size_t> index;
  for (const TimingRecord& record : records) {
    if (record.outcome != Outcome::pass) continue;
    const auto& problem = record.timed.problem;
    const std::string title = fmt::format("{} {} {} {}", name_of(problem.op), shape_text(problem),
                                          normquant::name_of(problem.x), record.timed.form);
    const auto [at, added] = index.emplace(title, cases.size());
    if (added) cases.push_back({title, record.auto_variant, {}, {}, nullptr});
    CaseResults& results = cases[at->second];
    if (!record.invariant_variant.empty()) results.invariant_variant = record.invariant_variant;
    const TimingRecord*& known = results.by_variant[record.variant];
    if (faster(record, known)) known = &record;
    if (faster(record, results.best)) results.best = &record;
  }
  return cases;
}

/// `name 1.04x`: auto's choice and its time over the best time; the name alone when that variant was not timed.
std::string auto_text(const CaseResults& results) {
  for (const std::string& name : {results.auto_variant, std::string("auto")}) {
    const auto found = results.by_variant.find(name);
    if (found == results.by_variant.end()) continue;
    const double ratio = found->second->summary.median / results.best->summary.median;
    return fmt::format("{} {:.2f}x", results.auto_variant, ratio);
  }
  return results.auto_variant + " (not timed)";
}

/// `name +3.1%`: the row-invariant choice and what it takes beside `auto`.
std::string invariant_text(const CaseResults& results) {
  const auto time_of = [&](const std::string& name) {
    const auto found = results.by_variant.find(name);
    return found == results.by_variant.end() ? 0.0 : found->second->summary.median;
  };
  const double invariant = time_of("invariant");
  double chosen = time_of("auto");
  if (chosen <= 0) chosen = time_of(results.auto_variant);
  if (invariant <= 0 || chosen <= 0) return results.invariant_variant;
  return fmt::format("{} {:+.1f}%", results.invariant_variant, (invariant / chosen - 1) * 100);
}

/// `streams`: with the column of shares of what the case's own matrices allow.
std::vector<std::string> cells(const CaseResults& results, bool streams) {
  const TimingRecord& best = *results.best;
  const auto share = best.share_of_copy();
  const auto of_streams = best.share_of_streams();
  const bool gpu = best.timed_on_gpu();
  std::vector<std::string> cells = {results.title,
                                    best.variant,
                                    fmt::format("{:.2f}", best.summary.median),
                                    best.cold ? fmt::format("{:.2f}", best.cold->summary.median) : "-",
                                    gpu ? fmt::format("{:.0f}", best.gb_per_s()) : "-",
                                    gpu && share ? fmt::format("{:.0f}%", *share * 100) : "-"};
  if (streams) cells.push_back(of_streams ? fmt::format("{:.0f}%", *of_streams * 100) : "-");
  cells.push_back(auto_text(results));
  cells.push_back(invariant_text(results));
  return cells;
}

}  // namespace

std::string summary_table(const std::vector<TimingRecord>& records) {
  const std::vector<CaseResults> cases = grouped(records);
  if (cases.empty()) return {};
  const bool gpu = cases.front().best->timed_on_gpu();
  const bool streams = gpu && std::any_of(cases.begin(), cases.end(), [](const CaseResults& results) {
                         return results.best->streams_us.has_value();
                       });
  output::Table table;
  table.columns = {{"case"}, {"best variant"}, {gpu ? "us" : "CPU us", true}};
  // Rates, shares and how `auto` does are about GPU times; times of CPU execution rank no kernels.
  if (gpu) {
    for (const char* title : {"cold us", "GB/s", "of copy"}) table.columns.push_back({title, true});
    if (streams) table.columns.push_back({"of streams", true});
    table.columns.push_back({"auto"});
    if (std::any_of(cases.begin(), cases.end(), [](const auto& results) { return !results.invariant_variant.empty(); }))
      table.columns.push_back({"invariant, beside auto"});
  }
  for (const CaseResults& results : cases) {
    std::vector<std::string> row = cells(results, streams);
    row.resize(table.columns.size());
    table.rows.push_back(std::move(row));
  }
  return (gpu ? "" : "host: CPU execution, not a GPU time\n") + output::to_terminal(table);
}

void add(Tally& counts, const Tally& more) {
  counts.pass += more.pass;
  counts.skipped += more.skipped;
  counts.wrong += more.wrong;
  counts.error += more.error;
}

Tally tally(const std::vector<TimingRecord>& records) {
  Tally counts;
  for (const TimingRecord& record : records) {
    switch (record.outcome) {
      case Outcome::pass: ++counts.pass; break;
      case Outcome::skipped: ++counts.skipped; break;
      case Outcome::wrong:
      case Outcome::hazard: ++counts.wrong; break;
      case Outcome::error: ++counts.error; break;
    }
  }
  return counts;
}

std::string tally_text(const Tally& counts) {
  std::string text = fmt::format("{} timed", counts.pass);
  if (counts.skipped > 0) text += fmt::format(", {} skipped (the variant does not serve the case)", counts.skipped);
  if (counts.wrong > 0) text += fmt::format(", {} WRONG and not timed", counts.wrong);
  if (counts.error > 0) text += fmt::format(", {} ended in an error", counts.error);
  return text;
}

std::string skipped_text(const std::vector<TimingRecord>& records) {
  output::Reasons reasons;
  for (const TimingRecord& record : records) {
    if (record.outcome == Outcome::skipped) reasons.add(record.reason, record.variant);
  }
  constexpr std::size_t most_reasons = 8;
  const std::string text = reasons.text(most_reasons);
  return text.empty() ? text : "skipped:\n" + text;
}

int exit_status_of(const Tally& counts) {
  if (counts.wrong > 0) return exit_wrong_results;
  if (counts.error > 0) return exit_infrastructure;
  return counts.pass > 0 ? exit_pass : exit_usage;
}

}  // namespace normquant::bench
