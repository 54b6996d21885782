#include "bench/plugin_timings.hpp"

#include <fmt/format.h>

#include <exception>
#include <optional>
#include <nlohmann/json.hpp>

#include "bench/runner.hpp"
#include "bench/session.hpp"
#include "exit_status.hpp"
#include "kernels/plugin/plugins.hpp"
#include "validate/plugin_checks.hpp"

namespace normquant::bench {
namespace {

using Json = nlohmann::ordered_json;

std::vector<std::string> arguments_of(const BenchOptions& options, const validate::DeviceChoice& device,
                                      const std::string& variant) {
  std::vector<std::string> arguments = {plugins::timer_command, "--plugin", plugins::file_of(variant), "--device",
                                        device.name()};
  const Figures figures = options.figures();
  if (options.quick || options.lean) arguments.emplace_back("--quick");
  if (figures.cold) arguments.emplace_back("--cold");
  if (figures.hot) arguments.emplace_back("--hot");
  if (figures.copy) arguments.emplace_back("--copy");
  if (figures.profiled) arguments.emplace_back("--profiled");
  return arguments;
}

std::string request_of(const PlannedCase& planned, long long least_launches) {
  return Json{{"case", validate::to_text(planned.timed.problem)},
              {"form", planned.timed.form},
              {"variant", planned.variant},
              {"least_launches", least_launches}}
      .dump();
}

/// Opened with the first case, so that its time is not the plugin's.
class TimerSession {
 public:
  TimerSession(const TimerProcess& process, const plugins::Requests& requests)
      : process_(process), requests_(requests) {}

  TimingRecord run(const Json& request) {
    if (!runner_) open();
    std::string why;
    const Case timed{validate::parse_problem(request.at("case").get<std::string>(), why).value(),
                     request.at("form").get<std::string>()};
    return runner_->run(timed, request.at("variant").get<std::string>(), request.at("least_launches").get<long long>());
  }

 private:
  void open() {
    const Figures figures{process_.cold, process_.hot, process_.copy, /*checked=*/!process_.profiled,
                          process_.profiled};
    session_ = open_session(choose_device(process_.device, false), figures);
    RunnerParts parts = session_->parts(rule_for(session_->choice.kind, process_.quick, process_.profiled));
    parts.loaded = [this] { requests_.begin(); };
    runner_.emplace(parts);
  }

  const TimerProcess& process_;
  const plugins::Requests& requests_;
  std::optional<Session> session_;
  std::optional<Runner> runner_;
};

}  // namespace

bool PluginTimings::start(const std::string& variant, std::string& why) {
  if (serves_ != variant) time_outs_ = 0;
  if (worker_ != nullptr && serves_ == variant) return true;
  serves_ = variant;
  worker_.reset();  // before the next one takes memory of the device
  worker_ = plugins::Worker::start(arguments_of(options_, device_, variant), why);
  std::string description;
  if (worker_ != nullptr && worker_->ask("describe", options_.plugin_timeout, description, why)) return true;
  if (worker_ != nullptr) why = "loading it " + why;
  return false;
}

TimingRecord PluginTimings::failed(const PlannedCase& planned, const std::string& reason) const {
  TimingRecord record;
  record.timed = planned.timed;
  record.variant = planned.variant;
  record.time_kind = device_.kind == DeviceKind::host ? "cpu_execution" : "steady";
  record.reason = reason;
  return record;
}

TimingRecord PluginTimings::run(const PlannedCase& planned, long long least_launches) {
  const std::string& variant = planned.variant;
  const std::string file = plugins::file_of(variant);
  std::string why, answer;
  if (serves_ == variant && time_outs_ >= validate::most_time_outs) {
    return failed(planned,
                  fmt::format("not tried: {} of the plugin {} ran out of time {} times", variant, file, time_outs_));
  }
  if (start(variant, why) && worker_->ask(request_of(planned, least_launches), options_.plugin_timeout, answer, why)) {
    try {
      return record_from_json(Json::parse(answer), planned.timed);
    } catch (const Json::exception&) {
      why = plugins::wrote_into_the_line;
    }
  }
  if (worker_ != nullptr && worker_->ran_out_of_time()) ++time_outs_;
  worker_.reset();
  return failed(planned, fmt::format("the plugin {} {}", file, why));
}

int serve_plugin_timings(plugins::Requests& requests, const TimerProcess& process) {
  const plugins::HeapWalk heap;
  if (!plugins::load_and_describe(requests, process.plugin)) return exit_pass;  // whoever asked says it
  TimerSession session(process, requests);
  for (std::string text; requests.next(text);) {
    const Json request = Json::parse(text);
    TimingRecord record;
    try {
      record = session.run(request);
    } catch (const Refusal& refusal) {
      record.reason = refusal.sentence;
    } catch (const std::exception& error) {
      record.reason = error.what();
    }
    if (record.variant.empty()) record.variant = request.value("variant", "");
    validate::look_at_the_heap(heap);
    requests.answer(to_json(record).dump(-1, ' ', false, Json::error_handler_t::replace));
  }
  return exit_pass;
}

}  // namespace normquant::bench
