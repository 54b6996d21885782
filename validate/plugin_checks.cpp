#include "validate/plugin_checks.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "exit_status.hpp"
#include "kernels/plugin/plugins.hpp"
#include "validate/check_job.hpp"
#include "validate/verdict_json.hpp"

namespace normquant::validate {
namespace {

using nlohmann::json;

std::string request_of(const Job& job, const std::string& variant, bool warm) {
  return json{{"variant", variant},
              {"case", to_text(job.subject.problem)},
              {"distinct_rows", job.subject.distinct_rows},
              {"gpu_only", job.subject.gpu_only},
              {"after_others", job.subject.after_others},
              {"host", job.device.kind == DeviceKind::host},
              {"index", job.device.index},
              {"schedule_seed", job.schedule_seed},
              {"warm", warm}}
      .dump();
}

Job job_of(const json& request) {
  std::string why;
  Job job;
  job.device.kind = request.at("host").get<bool>() ? DeviceKind::host : DeviceKind::cuda;
  job.device.index = request.at("index").get<int>();
  job.subject.problem = parse_problem(request.at("case").get<std::string>(), why).value();
  job.subject.distinct_rows = request.at("distinct_rows").get<std::int64_t>();
  job.subject.gpu_only = request.at("gpu_only").get<bool>();
  job.subject.after_others = request.at("after_others").get<bool>();
  job.variants = {request.at("variant").get<std::string>()};
  job.schedule_seed = request.at("schedule_seed").get<std::uint64_t>();
  return job;
}

Verdict check_here(const json& request, OpenDevices& devices, const plugins::Requests& requests) {
  const Job job = job_of(request);
  OpenDevice* open = nullptr;
  const Status current = devices.make_current(job.device, job.schedule_seed, request.at("warm").get<bool>(), open);
  if (!current.ok()) return outcome(Outcome::error, current.message);
  return check_job(job, *open, [&requests] { requests.begin(); }).front().verdict;
}

}  // namespace

void TimeOuts::note(const std::string& variant) {
  const std::lock_guard lock(mutex_);
  ++counts_[variant];
}

bool TimeOuts::too_many(const std::string& variant) {
  const std::lock_guard lock(mutex_);
  return counts_[variant] >= most_time_outs;
}

bool PluginChecks::start(const Job& job, const std::string& variant, std::string& why) {
  const std::string wanted = variant + " " + job.device.name();
  if (worker_ != nullptr && serves_ == wanted) return true;
  serves_ = wanted;
  worker_ =
      plugins::Worker::start({plugins::worker_command, "--plugin", plugins::file_of(variant), "--role", "check"}, why);
  if (worker_ == nullptr) return false;
  std::string description;
  if (worker_->ask("describe", seconds_, description, why)) return true;
  why = "loading it " + why;
  worker_.reset();
  return false;
}

Verdict PluginChecks::check(const Job& job, const std::string& variant) {
  const std::string file = plugins::file_of(variant);
  if (time_outs_.too_many(variant)) {
    return outcome(Outcome::error, fmt::format("not tried: {} of the plugin {} ran out of time {} times", variant, file,
                                               most_time_outs));
  }
  std::string answer, why;
  if (start(job, variant, why) && worker_->ask(request_of(job, variant, warm_), seconds_, answer, why)) {
    try {
      return verdict_from_json(json::parse(answer));
    } catch (const json::exception&) {
      why = plugins::wrote_into_the_line;
    }
  }
  if (worker_ != nullptr && worker_->ran_out_of_time()) time_outs_.note(variant);
  worker_.reset();
  return outcome(Outcome::error, fmt::format("the plugin {} {}", file, why));
}

int serve_plugin_checks(plugins::Requests& requests, const std::string& plugin) {
  const plugins::HeapWalk heap;
  if (!plugins::load_and_describe(requests, plugin)) return exit_pass;  // whoever asked says it
  OpenDevices devices;
  for (std::string text; requests.next(text);) {
    Verdict verdict;
    try {
      verdict = check_here(json::parse(text), devices, requests);
    } catch (const std::exception& error) {
      verdict = outcome(Outcome::error, error.what());
    }
    look_at_the_heap(heap);
    requests.answer(to_json(verdict).dump(-1, ' ', false, json::error_handler_t::replace));
  }
  return exit_pass;
}

void look_at_the_heap(const plugins::HeapWalk& heap) {
  if (heap.whole()) return;
  fmt::print(stderr, "normquant: the plugin broke the heap of its process\n");
  std::abort();
}

}  // namespace normquant::validate
