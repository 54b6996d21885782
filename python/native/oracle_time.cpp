// Times a launch of the caller's by the timers of `normquant bench`.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <thread>

#include "bench/gpu_facts.hpp"
#include "bench/memory_limit.hpp"
#include "bench/rotation.hpp"
#include "bench/runner.hpp"
#include "bench/session.hpp"
#include "exit_status.hpp"
#include "python/native/oracle_request.hpp"
#include "validate/check/check.hpp"
#include "validate/operations/prepared_problem.hpp"

namespace normquant::python {
namespace {

using namespace normquant::bench;

/// Each device is opened once: to measure what its events cost takes its time.
Session& session_of(const std::string& device) {
  static std::map<std::string, Session> sessions;
  const auto found = sessions.find(device);
  if (found != sessions.end()) {
    if (Status status = found->second.device->make_current(); !status.ok())
      throw Refusal{exit_infrastructure, status.message};
    return found->second;
  }
  Figures figures;
  figures.cold = device != "host";
  return sessions.emplace(device, open_session(choose_device(device, false), figures)).first->second;
}

void must(const Status& status, std::string_view what) {
  if (!status.ok()) throw Refusal{exit_infrastructure, fmt::format("{}: {}", what, status.message)};
}

Json figure(std::string_view kind, const Summary& s, Stop stop) {
  return {{"kind", kind},
          {"median_us", s.median},
          {"q1_us", s.q1},
          {"q3_us", s.q3},
          {"minimum_us", s.minimum},
          {"samples", s.count},
          {"relative_error", s.relative_error},
          {"stop_reason", name_of(stop)}};
}

/// Samples of the caller's launch.
Json time_theirs(Timer& timer, const Enqueue& enqueue, int slots, const SamplingRule& rule,
                 const Surroundings& around) {
  const std::string kind(timer.time_kind());
  must(timer.prepare(enqueue, {slots, {}, true, 0}), kind);
  Sampling sampling;
  must(collect(timer, rule, 0, around, sampling), kind);
  return figure(kind, summarise(sampling.microseconds), sampling.stop);
}

/// This library's own variants on the same problem: those asked for, each checked before and after it is timed.
Json time_ours(Session& session, const SamplingRule& rule, const validate::Problem& problem, const std::string& which) {
  Json ours = Json::array();
  if (which == "none") return ours;
  Runner runner(session.parts(rule));
  const Case timed{problem, "as given"};
  std::vector<std::string> names{"auto"};
  for (std::size_t i = 0; i < names.size(); ++i) {
    const TimingRecord record = runner.run(timed, names[i], 0);
    Json line = {{"variant", names[i]}, {"outcome", validate::name_of(record.outcome)}};
    if (i == 0) line["auto_variant"] = record.auto_variant;
    if (record.outcome == validate::Outcome::pass) {
      line.update(figure(record.time_kind, record.summary, record.stop));
      line["bytes"] = record.bytes;
      if (record.cold) line["cold_us"] = record.cold->summary.median;
    } else {
      line["reason"] = record.reason;
    }
    ours.push_back(std::move(line));
    if (i == 0 && which == "all") {
      for (const auto& entry : validate::catalogue(problem.op, session.choice.kind)) names.emplace_back(entry.name);
    }
  }
  return ours;
}

Json time(const Json& request, const check::Given& given, NormquantLaunch launch, NormquantLaunch poison) {
  Session& session = session_of(request.at("device").get<std::string>());
  const SamplingRule rule = rule_for(session.choice.kind, request.value("quick", false));
  const int slots = request.at("slots").get<int>();
  const auto bytes = request.at("bytes").get<std::int64_t>();
  const Enqueue enqueue = [launch](int slot, Stream stream) {
    return launch(slot, stream) == 0 ? Status{} : Status::infrastructure("the callable failed");
  };
  Surroundings around = plain_surroundings();
  if (session.nvml != nullptr) around.conditions = [&] { return session.nvml->conditions(session.pci_bus_id); };
  Json answer = {{"outcome", "right"}, {"device", session.device->info().name}, {"bytes", bytes}, {"slots", slots}};
  const std::int64_t rotated = bytes * slots;
  answer["rotated_bytes"] = rotated;
  answer["copy_us"] = nullptr;
  if (session.limit != nullptr) {  // before our own buffers take the memory that it needs
    WayTime copy;
    if (const Status status = session.limit->copy_time(bytes, copy); status.ok()) {
      answer["copy_us"] = copy.microseconds;
      answer["copy_way"] = copy.way;
    } else {
      answer["copy_missing"] = status.message;
    }
  }
  answer["cold"] = nullptr;
  if (session.cold != nullptr) answer["cold"] = time_theirs(*session.cold, enqueue, slots, rule, around);
  answer["theirs"] = time_theirs(*session.timer, enqueue, slots, rule, around);
  if (poison(0, nullptr) != 0) throw Refusal{exit_infrastructure, "the outputs could not be overwritten"};
  must(session.timer->run_once(), "once more after timing");
  const MemoryTraffic traffic{bytes, rotated, session.peak_gb_per_s,
                              static_cast<int>(std::max(1U, std::thread::hardware_concurrency()))};
  const std::string impossible =
      faster_than_memory(answer["theirs"]["median_us"].get<double>(), traffic, session.device->info());
  if (!impossible.empty()) throw Refusal{exit_infrastructure, impossible};
  answer["ours"] = given.switches.op == check::Op::norm
                       ? Json::array()
                       : time_ours(session, rule, given.problem, request.value("ours", std::string("auto")));
  return answer;
}

Json slots_of(const Json& request) {
  const Session& session = session_of(request.at("device").get<std::string>());
  const auto bytes = request.at("bytes").get<std::int64_t>();
  if (!session.on_gpu()) return {{"outcome", "right"}, {"slots", 1}};
  const RotationLimits limits{bytes, session.device->info().l2_bytes, static_cast<std::size_t>(bytes),
                              gpu_free_bytes()};
  return {{"outcome", "right"}, {"slots", rotation_slots(limits)}};
}

}  // namespace
}  // namespace normquant::python

using namespace normquant::python;

extern "C" char* normquant_oracle_slots(const char* request) { return answered(request, slots_of); }

extern "C" char* normquant_oracle_time(const char* request, const NormquantTensor* tensors, std::int32_t count,
                                       NormquantLaunch launch, NormquantLaunch poison) {
  return answered(request, [&](const Json& asked) {
    std::string why;
    const auto given =
        normquant::check::arrange(normquant::check::switches_of(words_of(asked)), tensors_of(tensors, count), why);
    if (!given) throw normquant::Refusal{normquant::exit_usage, why};
    return time(asked, *given, launch, poison);
  });
}
