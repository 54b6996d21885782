#include "validate/plugin_checks.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "exit_status.hpp"
#include "kernels/plugin/plugins.hpp"
#include "validate/check_job.hpp"
#include "validate/job_json.hpp"
#include "validate/verdict_json.hpp"

namespace normquant::validate {
namespace {

using nlohmann::json;

Verdict check_here(const json& request, OpenDevices& devices, const plugins::Requests& requests) {
  const Job job = job_from_json(request.at("job"));
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
  Job one = job;
  one.variants = {variant};
  const std::string request = json{{"job", to_json(one)}, {"warm", warm_}}.dump();
  if (start(job, variant, why) && worker_->ask(request, seconds_, answer, why)) {
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
