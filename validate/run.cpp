#include "validate/run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <thread>

#include "validate/prepared_problem.hpp"

namespace normquant::validate {
namespace {

/// Above this a second run for the same bits costs more than it finds.
constexpr std::int64_t repeat_below_bytes = std::int64_t{64} << 20;

Verdict outcome(Outcome kind, std::string reason) {
  Verdict verdict;
  verdict.outcome = kind;
  verdict.reason = std::move(reason);
  return verdict;
}

/// Poisons, launches, waits.
Status run_once(PreparedProblem& prepared, Device& device, const std::string& variant) {
  if (Status status = prepared.poison_outputs(); !status.ok()) return status;
  if (Status status = prepared.launch(variant, nullptr); !status.ok()) return status;
  return device.synchronize();
}

Verdict check_variant(PreparedProblem& prepared, Device& device, const std::string& variant, bool same_bits) {
  if (std::string reason = prepared.why_not(variant); !reason.empty()) return outcome(Outcome::skipped, reason);
  if (Status status = prepared.reserve(variant); !status.ok()) return outcome(Outcome::error, status.message);
  if (Status status = run_once(prepared, device, variant); !status.ok()) return outcome(Outcome::error, status.message);
  Verdict verdict = prepared.check();
  if (verdict.outcome != Outcome::pass || !same_bits || prepared.algorithmic_bytes() > repeat_below_bytes) {
    return verdict;
  }
  std::string why;
  const std::uint64_t before = prepared.digest(why);
  if (Status status = run_once(prepared, device, variant); !status.ok()) return outcome(Outcome::error, status.message);
  if (prepared.digest(why) != before) {
    verdict.outcome = Outcome::fail;
    verdict.reason = "a second run gave other bits, and the variant promises the same";
  }
  return why.empty() ? verdict : outcome(Outcome::error, why);
}

std::vector<CaseResult> run_job(const Job& job, Device& device) {
  std::vector<CaseResult> results;
  const auto all = [&](const Verdict& verdict) {
    for (const std::string& variant : job.variants) {
      results.push_back({job.device.name(), variant, job.subject.problem, verdict});
    }
    return results;
  };
  if (job.subject.gpu_only && job.device.kind == DeviceKind::host) {
    return all(outcome(Outcome::skipped, "too large for the host device; a GPU runs it"));
  }
  std::string why;
  auto prepared = prepare(job.subject.problem, device, job.subject.distinct_rows, why);
  if (prepared == nullptr) return all(outcome(Outcome::error, why));
  std::map<std::string, bool, std::less<>> deterministic;
  for (const VariantEntry& entry : catalogue(job.subject.problem.op, job.device.kind)) {
    deterministic[std::string(entry.name)] = entry.deterministic;
  }
  for (const std::string& variant : job.variants) {
    const bool same_bits = variant == "auto" || deterministic[variant];
    results.push_back(
        {job.device.name(), variant, job.subject.problem, check_variant(*prepared, device, variant, same_bits)});
  }
  return results;
}

/// What one thread has open.
class OpenDevices {
 public:
  Device* get(const DeviceChoice& choice, std::string& why) {
    auto& device = devices_[choice.name()];
    if (device == nullptr) device = choice.open(1, why);
    return device.get();
  }

 private:
  std::map<std::string, std::unique_ptr<Device>> devices_;
};

}  // namespace

std::string reproducing_command(const CaseResult& result) {
  return fmt::format("normquant validate --device {} --variant '^{}$' --case '{}'", result.device, result.variant,
                     to_text(result.problem));
}

std::vector<CaseResult> run_jobs(const std::vector<Job>& jobs, const RunOptions& options) {
  std::vector<std::vector<CaseResult>> results(jobs.size());
  std::atomic<std::size_t> next = 0;
  std::size_t done = 0;
  std::mutex reporting;
  const auto work = [&] {
    OpenDevices devices;
    for (std::size_t i = next++; i < jobs.size(); i = next++) {
      const Job& job = jobs[i];
      std::string why;
      Device* device = devices.get(job.device, why);
      Status current = device == nullptr ? Status::infrastructure(why) : device->make_current();
      if (current.ok()) {
        results[i] = run_job(job, *device);
      } else {
        for (const std::string& variant : job.variants) {
          results[i].push_back(
              {job.device.name(), variant, job.subject.problem, outcome(Outcome::error, current.message)});
        }
      }
      const std::lock_guard lock(reporting);
      ++done;
      if (options.progress) options.progress(done, jobs.size());
    }
  };
  std::vector<std::thread> threads;
  for (int i = 1; i < std::min<int>(options.threads, static_cast<int>(jobs.size())); ++i) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();

  std::vector<CaseResult> flat;
  for (auto& group : results) flat.insert(flat.end(), group.begin(), group.end());
  return flat;
}

}  // namespace normquant::validate
