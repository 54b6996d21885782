#include "validate/check_job.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "kernels/plugin/plugins.hpp"
#include "validate/operations/prepared_problem.hpp"
#include "validate/row_invariance.hpp"
#include "validate/side_stream.hpp"

namespace normquant::validate {
namespace {

/// Above this a second run for the same bits costs more than it finds.
constexpr std::int64_t repeat_below_bytes = std::int64_t{64} << 20;

/// How many launches a case goes through that is also run after others.
constexpr int launches_before = 1000;

/// Poisons, launches, waits; from a cold start where one is given.
Status run_once(PreparedProblem& prepared, Device& device, VariantHandle variant, ColdStart* cold = nullptr,
                Poison poison = Poison::first) {
  if (Status status = prepared.poison_outputs(poison); !status.ok()) return status;
  if (cold != nullptr) {
    if (Status status = cold->enqueue(); !status.ok()) return status;
  }
  if (Status status = prepared.launch(variant, nullptr); !status.ok()) return status;
  return device.synchronize();
}

/// A problem on a device, with what its checks need beside it.
struct Subject {
  PreparedProblem& prepared;
  Device& device;
  ColdStart* cold;  ///< may be null
  const Job& job;
  std::unique_ptr<PreparedProblem> twin = {};    ///< the same problem in other memory
  std::unique_ptr<PreparedProblem> others = {};  ///< another problem of the operation
  std::unique_ptr<SideStream> side = {};
  std::unique_ptr<RowInvariance> rows = {};
};

/// Poisons, launches, waits, where mistakes in the order of reads and writes show best: on a GPU from a cold start, on the host
/// device by a schedule in which warps run ahead of each other.
Status run_once_adversely(PreparedProblem& prepared, Device& device, VariantHandle variant, ColdStart* cold,
                          Poison poison) {
  constexpr std::uint64_t even_seed = 2;
  std::string why;
  if (device.info().kind == DeviceKind::host) (void)DeviceChoice{DeviceKind::host, 0}.open(even_seed, why);
  Status status = run_once(prepared, device, variant, cold, poison);
  if (Status back = device.make_current(); !back.ok()) return back;
  return status;
}

/// Runs it again in other memory, over the other poison; the layer in the same over the same, since cuBLASLt chooses by what it
/// finds there, and it has outputs that not every variant writes.
Verdict run_again(Subject& subject, VariantHandle variant, Verdict verdict) {
  std::string why;
  std::string damage;
  const std::uint64_t before = subject.prepared.digest(why, damage);
  PreparedProblem* again = &subject.prepared;
  if (!is_layer(subject.prepared.problem().op)) {
    if (subject.twin == nullptr) subject.twin = subject.prepared.copy(why);
    if (subject.twin == nullptr) return outcome(Outcome::error, why);
    again = subject.twin.get();
    if (Status status = again->reserve(variant); !status.ok()) return outcome(Outcome::error, status.message);
  }
  const Poison poison = is_layer(subject.prepared.problem().op) ? Poison::first : Poison::second;
  if (Status status = run_once_adversely(*again, subject.device, variant, subject.cold, poison); !status.ok()) {
    return outcome(Outcome::error, status.message);
  }
  if (again->digest(why, damage) != before) {
    verdict.outcome = Outcome::wrong;
    verdict.reason = "a second run, in other memory, gave other bits, and the variant promises the same";
  } else if (!damage.empty()) {
    verdict.outcome = Outcome::wrong;
    verdict.reason = fmt::format("in a second run, in other memory, {}", damage);
  }
  return why.empty() ? verdict : outcome(Outcome::error, why);
}

/// Launches a small problem many times on another stream, and this one meanwhile; its outputs must be right again.
Verdict run_after_others(Subject& subject, VariantHandle variant, Verdict verdict) {
  std::string why;
  if (subject.others == nullptr) {
    Problem small = subject.prepared.problem();
    small.rows = 3, small.columns = 40;
    subject.others = prepare(small, subject.device, 0, why);
    if (subject.others == nullptr) return outcome(Outcome::error, why);
    subject.side = SideStream::open(subject.device.info().kind, why);
    if (subject.side == nullptr) return outcome(Outcome::error, why);
  }
  const VariantHandle other = subject.others->why_not(variant).empty() ? variant : subject.others->find("auto");
  Status status = subject.others->reserve(other);
  if (status.ok()) status = subject.prepared.poison_outputs();
  if (status.ok()) status = subject.device.synchronize();
  // Where every access is watched, one says as much of the kernels as a thousand.
  const int launches = subject.device.watches() ? 1 : launches_before;
  for (int i = 0; i < launches && status.ok(); ++i) status = subject.others->launch(other, subject.side->get());
  if (status.ok()) status = subject.prepared.launch(variant, nullptr);
  if (status.ok()) status = subject.device.synchronize();
  if (!status.ok()) return outcome(Outcome::error, status.message);
  const Verdict after = subject.prepared.check();
  if (after.outcome == Outcome::pass) return verdict;
  verdict = after;
  verdict.reason = fmt::format("after {} other launches on another stream: {}", launches, after.reason);
  return verdict;
}

/// Of a plugin on the host, right after a launch: whether some thread of its has still to write. Where values are normal no
/// right output looks like the poison.
std::string written_late(const PreparedProblem& prepared, const Device& device, VariantHandle variant) {
  const Problem& problem = prepared.problem();
  if (device.info().kind != DeviceKind::host || plugins::file_of(variant.name()).empty()) return {};
  if (problem.values != Values::normal || problem.save_quant_scale) return {};
  const std::string where = prepared.unwritten_element(problem.seed);
  return where.empty() ? where : where + " was not written yet when the launch returned";
}

Verdict check_results(Subject& subject, const std::string& asked, VariantHandle variant) {
  PreparedProblem& prepared = subject.prepared;
  Device& device = subject.device;
  std::string reason = prepared.why_not(variant);
  if (std::string misdeed = plugins::take_misdeed(); !misdeed.empty()) return outcome(Outcome::error, misdeed);
  if (!reason.empty()) {
    Verdict verdict = outcome(Outcome::skipped, reason);
    verdict.for_other_devices = !prepared.device_lacks(variant).empty();
    return verdict;
  }
  if (Status status = prepared.reserve(variant); !status.ok()) return outcome(Outcome::error, status.message);
  if (Status status = run_once(prepared, device, variant); !status.ok()) return outcome(Outcome::error, status.message);
  const std::string late = written_late(prepared, device, variant);
  Verdict verdict = check_what_was_launched(prepared, [&] {
    Status status = prepared.launch(variant, nullptr);
    return status.ok() ? device.synchronize() : status;
  });
  if (verdict.outcome == Outcome::pass && !late.empty()) return outcome(Outcome::wrong, late);
  if (verdict.outcome == Outcome::pass && variant.deterministic() &&
      prepared.algorithmic_bytes() <= repeat_below_bytes) {
    verdict = run_again(subject, variant, std::move(verdict));
  }
  const std::vector<std::string>& compared = subject.job.compare_rows;
  const bool compares_rows = std::find(compared.begin(), compared.end(), asked) != compared.end();
  if (verdict.outcome == Outcome::pass && compares_rows && variant.row_invariant()) {
    if (subject.rows == nullptr) subject.rows = std::make_unique<RowInvariance>(prepared.problem(), device);
    verdict = subject.rows->prove(asked, variant, std::move(verdict));
  }
  if (verdict.outcome == Outcome::pass && subject.job.subject.after_others) {
    verdict = run_after_others(subject, variant, std::move(verdict));
  }
  return verdict;
}

/// What was noticed since the last call, by a device that watches its kernels and by guard pages.
std::vector<std::string> take_findings(Subject& subject) {
  std::vector<std::string> findings = subject.device.take_findings();
  for (PreparedProblem* problem : {&subject.prepared, subject.twin.get(), subject.others.get()}) {
    if (problem == nullptr) continue;
    for (std::string& finding : problem->take_findings()) findings.push_back(std::move(finding));
  }
  return findings;
}

Verdict check_variant(Subject& subject, const std::string& asked, VariantHandle variant) {
  (void)take_findings(subject);  // of whatever ran before
  Verdict verdict = check_results(subject, asked, variant);
  verdict.row_invariant = variant.row_invariant();
  verdict.watched = subject.device.watches();
  verdict.findings = take_findings(subject);
  if (verdict.findings.empty()) return verdict;
  verdict.outcome = Outcome::hazard;
  verdict.reason = verdict.findings.front();
  return verdict;
}

}  // namespace

Verdict outcome(Outcome kind, std::string reason) {
  Verdict verdict;
  verdict.outcome = kind;
  verdict.reason = std::move(reason);
  return verdict;
}

std::vector<CaseResult> all_alike(const Job& job, const Verdict& verdict) {
  std::vector<CaseResult> results;
  for (const std::string& variant : job.variants) {
    results.push_back({job.device.name(), variant, job.subject.problem, verdict, {}, job.schedule_seed});
  }
  return results;
}

std::vector<CaseResult> check_job(const Job& job, const OpenDevice& open, const std::function<void()>& prepared_now) {
  std::vector<CaseResult> results;
  const auto all = [&](const Verdict& verdict) { return all_alike(job, verdict); };
  if (job.subject.gpu_only && job.device.kind == DeviceKind::host) {
    return all(outcome(Outcome::skipped, "too large for the host device; a GPU runs it"));
  }
  std::string why;
  Device& device = *open.device;
  auto prepared = prepare(job.subject.problem, device, job.subject.distinct_rows, why);
  if (prepared == nullptr) return all(outcome(Outcome::error, why));
  if (prepared_now) prepared_now();
  Subject subject{*prepared, device, open.cold.get(), job};
  for (const std::string& variant : job.variants) {
    const auto start = std::chrono::steady_clock::now();
    Verdict verdict = check_variant(subject, variant, prepared->find(variant));
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    results.push_back(
        {job.device.name(), variant, job.subject.problem, std::move(verdict), {}, job.schedule_seed, taken.count()});
  }
  return results;
}

Status OpenDevices::make_current(const DeviceChoice& choice, std::uint64_t schedule_seed, bool warm,
                                 OpenDevice*& current) {
  std::string why;
  current = &devices_[choice.name() + " " + std::to_string(schedule_seed)];
  if (current->device == nullptr) current->device = choice.open(schedule_seed, why, DeviceMemory::pooled);
  if (current->device == nullptr) return Status::infrastructure(why);
  if (Status status = current->device->make_current(); !status.ok()) return status;
  if (warm || choice.kind == DeviceKind::host || current->cold != nullptr) return {};
  current->cold = ColdStart::open(*current->device, why);
  return current->cold == nullptr ? Status::infrastructure(why) : Status{};
}

}  // namespace normquant::validate
