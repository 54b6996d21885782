#include "bench/plugin_timings.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "exit_status.hpp"
#include "kernels/plugin/plugins.hpp"
#include "validate/plugin_checks.hpp"

namespace normquant::bench {
namespace {

using Json = nlohmann::ordered_json;

std::vector<std::string> arguments_of(const BenchOptions& options, const validate::DeviceChoice& device,
                                      const std::string& variant) {
  std::vector<std::string> arguments = {plugins::timer_command, "--plugin", plugins::file_of(variant)};
  for (std::string& more : timer_arguments(options, device)) arguments.push_back(std::move(more));
  return arguments;
}

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
  if (start(variant, why) &&
      worker_->ask(timing_request(planned, least_launches), options_.plugin_timeout, answer, why)) {
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
  session.serve([&heap] { validate::look_at_the_heap(heap); });
  return exit_pass;
}

}  // namespace normquant::bench
