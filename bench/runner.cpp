#include "bench/runner.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <thread>

#include "bench/rotation.hpp"
#include "kernels/plugin/plugins.hpp"
#include "validate/repetition.hpp"

namespace normquant::bench {
namespace {

/// Up to this many elements over all copies, all copies are checked after timing; above it one, or the checks would
/// take longer than the sweep.
constexpr std::int64_t check_all_elements = std::int64_t{1} << 20;

bool fail(TimingRecord& record, Outcome outcome, std::string reason) {
  record.outcome = outcome;
  record.reason = std::move(reason);
  return false;
}

/// Turns a Status into the record's error; true when it was ok.
bool accept(const Status& status, TimingRecord& record, std::string_view what) {
  if (status.ok()) return true;
  if (status.code == StatusCode::unsupported) return fail(record, Outcome::skipped, status.message);
  return fail(record, Outcome::error, fmt::format("{}: {}", what, status.message));
}

/// Turns a verdict into the record's result; true when it passed.
bool accept(const validate::Verdict& verdict, TimingRecord& record, std::string_view when) {
  switch (verdict.outcome) {
    case Outcome::pass: return true;
    case Outcome::hazard:
    case Outcome::wrong: return fail(record, Outcome::wrong, fmt::format("{}: {}", when, verdict.reason));
    case Outcome::skipped: return fail(record, Outcome::skipped, verdict.reason);
    case Outcome::error: return fail(record, Outcome::error, fmt::format("{}: {}", when, verdict.reason));
  }
  return fail(record, Outcome::error, "the check gave no verdict");
}

}  // namespace

validate::Problem problem_of_slot(const validate::Problem& problem, int slot) {
  validate::Problem other = problem;
  if (!is_layer(problem.op)) other.seed += static_cast<std::uint64_t>(slot % sets_of_values);
  return other;
}

TimingRecord Runner::run(const Case& timed, std::string_view variant, long long least_launches) {
  TimingRecord record;
  record.timed = timed;
  record.variant = variant;
  record.time_kind = parts_.timer.time_kind();
  try {
    if (loaded_ != timed) load(timed);
    if (parts_.loaded) parts_.loaded();
    run_checked(record, least_launches);
    if (scrutiny_) unload();  // the buffers hold other values now
  } catch (const std::bad_alloc&) {
    unload();
    fail(record, Outcome::error, "out of memory on the host");
  } catch (const std::exception& error) {
    unload();
    fail(record, Outcome::error, error.what());
  }
  return record;
}

void Runner::run_checked(TimingRecord& record, long long least_launches) {
  if (!load_failure_.empty()) {
    fail(record, Outcome::error, load_failure_);
    return;
  }
  const validate::PreparedProblem& first = *slots_.front();
  record.auto_variant = first.find("auto").name();
  for (const auto& slot : slots_) slot->ask_for_row_invariance(record.variant == "invariant");
  variant_ = first.find(record.variant);
  if (record.variant == "invariant") record.invariant_variant = variant_.name();
  record.bytes = first.algorithmic_bytes();
  std::string why = first.why_not(variant_);
  if (std::string misdeed = plugins::take_misdeed(); !misdeed.empty()) {
    fail(record, Outcome::error, std::move(misdeed));
    return;
  }
  if (!why.empty()) {
    fail(record, Outcome::skipped, std::move(why));
    return;
  }
  record.requested_bytes = first.requested_bytes(variant_);
  record.rotated_bytes = record.bytes * static_cast<std::int64_t>(slots_.size());
  if (!check_before(record) || !scrutinise(record) || !time(record, least_launches)) return;
  if (!check_after(record) || (parts_.checked && !check_possible(record))) return;
  record.outcome = Outcome::pass;
  record.checked = parts_.checked;
  record.reason = copy_failure_.empty() ? streams_failure_ : copy_failure_;
}

void Runner::unload() {
  scrutiny_.reset();
  slots_.clear();
  loaded_.reset();
}

void Runner::load(const Case& timed) {
  unload();
  load_failure_.clear();
  const std::size_t free_before = parts_.free_bytes != nullptr ? parts_.free_bytes() : 0;
  std::unique_ptr<validate::PreparedProblem> first =
      validate::prepare(timed.problem, parts_.device, validate::distinct_rows(timed.problem), load_failure_);
  if (first == nullptr) {
    if (load_failure_.empty()) load_failure_ = "the case could not be prepared";
    loaded_ = timed;  // remembered, so that the other variants do not try again
    return;
  }
  slots_.push_back(std::move(first));
  measure_limits();  // before the copies take the memory that it needs
  if (parts_.free_bytes != nullptr) {
    const std::size_t free_after = parts_.free_bytes();
    load_failure_ = add_copies(free_before > free_after ? free_before - free_after : 0);
  }
  loaded_ = timed;
}

void Runner::measure_limits() {
  copy_ = streams_ = {};
  copy_failure_.clear();
  streams_failure_.clear();
  const validate::PreparedProblem& first = *slots_.front();
  if (parts_.limit != nullptr) copy_failure_ = parts_.limit->copy_time(first.algorithmic_bytes(), copy_).message;
  if (parts_.streams != nullptr) streams_failure_ = parts_.streams->time(first.matrices(), streams_).message;
}

/// Adds copies until the rotation is complete or memory is short; one more than the first is not required. Where outputs are
/// not checked all have the first one's values, for others take references that nobody asks.
std::string Runner::add_copies(std::size_t slot_bytes) {
  // What the allocator had in store does not show in free memory; a slot takes its traffic at least.
  const std::int64_t bytes = slots_.front()->algorithmic_bytes();
  slot_bytes = std::max(slot_bytes, static_cast<std::size_t>(std::max<std::int64_t>(bytes, 0)));
  const int wanted = rotation_slots({bytes, parts_.device.info().l2_bytes, slot_bytes, parts_.free_bytes()});
  while (static_cast<int>(slots_.size()) < wanted) {
    std::string why;
    const auto slot = static_cast<int>(slots_.size());
    const validate::Problem& first = slots_.front()->problem();
    const validate::Problem wanted_problem = parts_.checked ? problem_of_slot(first, slot) : first;
    const auto alike = std::find_if(slots_.begin(), slots_.end(),
                                    [&](const auto& other) { return other->problem() == wanted_problem; });
    auto copy = alike != slots_.end()
                    ? (*alike)->copy(why)
                    : validate::prepare(wanted_problem, parts_.device, validate::distinct_rows(wanted_problem), why);
    if (copy == nullptr) {
      if (why.starts_with("out of memory")) return {};  // fewer slots then; records say how much was rotated
      return "the buffers could not be copied: " + why;
    }
    slots_.push_back(std::move(copy));
  }
  return {};
}

bool Runner::check_before(TimingRecord& record) {
  for (const auto& slot : slots_) {
    if (!accept(slot->reserve(variant_), record, "scratch memory")) return false;
  }
  if (!parts_.checked) return true;
  validate::PreparedProblem& first = *slots_.front();
  if (!accept(first.poison_outputs(), record, "poisoning the outputs")) return false;
  if (!accept(first.launch(variant_, nullptr), record, "the launch")) return false;
  if (!accept(parts_.device.synchronize(), record, "the launch")) return false;
  const auto again = [&] {
    Status status = first.launch(variant_, nullptr);
    return status.ok() ? parts_.device.synchronize() : status;
  };
  return accept(validate::check_what_was_launched(first, again), record, "before timing");
}

/// Cold and hot first: what the check after timing runs again is what the steady timer was given.
bool Runner::time(TimingRecord& record, long long least_launches) {
  Enqueue enqueue = [this](int slot, Stream stream) {
    return slots_[static_cast<std::size_t>(slot)]->launch(variant_, stream);
  };
  if (scrutiny_) enqueue = scrutiny_->enqueue();
  const auto slots = static_cast<int>(slots_.size());
  if (parts_.cold != nullptr && !time_figure(record, *parts_.cold, enqueue, slots, record.cold)) return false;
  if (parts_.hot && !time_figure(record, parts_.timer, enqueue, 1, record.hot)) return false;
  return time_steady(record, enqueue, least_launches);
}

bool Runner::time_figure(TimingRecord& record, Timer& timer, const Enqueue& enqueue, int slots,
                         std::optional<Figure>& figure) {
  if (scrutiny_) scrutiny_->begin();
  if (!accept(timer.prepare(enqueue, {slots, {}, scrutiny_.has_value(), 0}), record, timer.time_kind())) return false;
  Sampling sampling;
  if (!accept_sampling(collect(timer, parts_.rule, 0, surroundings(), sampling), record, timer.time_kind()))
    return false;
  figure.emplace();
  figure->samples = std::move(sampling.microseconds);
  figure->summary = summarise(figure->samples);
  figure->stop = sampling.stop;
  return true;
}

bool Runner::time_steady(TimingRecord& record, const Enqueue& enqueue, long long least_launches) {
  const LaunchPlan plan{static_cast<int>(slots_.size()), parts_.extra_work, scrutiny_.has_value(), 0};
  if (scrutiny_) scrutiny_->begin();
  if (!accept(parts_.timer.prepare(enqueue, plan), record, "timing")) return false;
  Sampling sampling;
  const Status sampled = collect(parts_.timer, parts_.rule, least_launches, surroundings(), sampling);
  if (!accept_sampling(sampled, record, "timing")) return false;
  record.samples = std::move(sampling.microseconds);
  record.stop = sampling.stop;
  record.summary = summarise(record.samples);
  record.drifting = drifting(record.summary, parts_.rule);
  record.disturbed = sampling.disturbed.size();
  record.disturbed_used = sampling.disturbed_used;
  record.before = sampling.before;
  record.after = sampling.after;
  record.throttle_reasons = sampling.throttle_reasons;
  record.launches_per_sample = parts_.timer.launches_per_sample();
  record.peak_gb_per_s = parts_.peak_gb_per_s;
  if (parts_.extra_work) {
    const int launches = record.launches_per_sample;
    record.extra_work = static_cast<double>(extra_launches(launches, *parts_.extra_work)) / launches;
  }
  if (copy_.microseconds > 0) {
    record.copy_us = copy_.microseconds;
    record.copy_way = copy_.way;
  }
  if (streams_.microseconds > 0) {
    record.streams_us = streams_.microseconds;
    record.streams_way = streams_.way;
  }
  return scrutiny_ || time_sustained(record);
}

bool Runner::time_sustained(TimingRecord& record) {
  if (parts_.sustained_seconds <= 0 || parts_.timer.time_kind() != "steady") return true;
  PowerReadings readings;
  if (parts_.nvml != nullptr) {
    readings.conditions = [this] { return parts_.nvml->conditions(parts_.pci_bus_id); };
    readings.joules = [this] { return parts_.nvml->joules(parts_.pci_bus_id); };
  }
  return accept(run_sustained(parts_.timer, parts_.sustained_seconds, readings, record.sustained), record, "sustained");
}

/// Poisons all buffers that were timed, runs exactly what was timed once more, and looks at what it wrote.
bool Runner::check_after(TimingRecord& record) {
  if (!parts_.checked) return true;
  if (scrutiny_) {
    return accept_sampling(scrutiny_->check_all(parts_.timer), record, "after timing") &&
           accept_sampling(scrutiny_->compare_with_new_values(parts_.timer, record.summary.median), record,
                           "new values");
  }
  for (const auto& slot : slots_) {
    if (!accept(slot->poison_outputs(), record, "poisoning the outputs")) return false;
  }
  if (!accept(parts_.timer.run_once(), record, "the run after timing")) return false;
  const validate::Problem& problem = record.timed.problem;
  const auto count = static_cast<std::int64_t>(slots_.size());
  const bool all = problem.rows * problem.columns <= check_all_elements / count;
  for (std::size_t slot = all ? 0 : slots_.size() - 1; slot < slots_.size(); ++slot) {
    if (!check_slot(slot, record, "after timing")) return false;
  }
  return true;
}

bool Runner::check_slot(std::size_t slot, TimingRecord& record, std::string_view when) {
  return accept(slots_[slot]->check(), record, when);
}

/// What a kernel says that its time be, its memory must be able to deliver.
bool Runner::check_possible(TimingRecord& record) const {
  const int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  const MemoryTraffic traffic{record.bytes, record.rotated_bytes, parts_.peak_gb_per_s, cores};
  std::string sentence = faster_than_memory(record.summary.median, traffic, parts_.device.info());
  return sentence.empty() || fail(record, Outcome::error, std::move(sentence));
}

/// Readies the scrutiny of a plugin's variant; other variants need none.
bool Runner::scrutinise(TimingRecord& record) {
  scrutiny_.reset();
  if (!parts_.checked || plugins::file_of(record.variant).empty()) return true;
  scrutiny_.emplace(parts_.device, slots_, variant_);
  record.scrutiny_seed = scrutiny_->seed();
  return accept(scrutiny_->open(), record, "scrutiny");
}

Surroundings Runner::surroundings() {
  Surroundings around = plain_surroundings();
  if (parts_.nvml != nullptr) around.conditions = [this] { return parts_.nvml->conditions(parts_.pci_bus_id); };
  if (!scrutiny_) return around;
  around.before_batch = [this] { return scrutiny_->before_batch(); };
  around.after_batch = [this] { return scrutiny_->after_batch(); };
  around.batch_size = [this](int usual) { return scrutiny_->batch_size(usual); };
  return around;
}

/// As accept(), where a failure may be what the scrutiny found.
bool Runner::accept_sampling(const Status& status, TimingRecord& record, std::string_view what) const {
  if (scrutiny_ && scrutiny_->finding()) return accept(*scrutiny_->finding(), record, "while it was timed");
  return accept(status, record, what);
}

}  // namespace normquant::bench
