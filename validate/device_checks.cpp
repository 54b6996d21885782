#include "validate/device_checks.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <nlohmann/json.hpp>

#include "exit_status.hpp"
#include "validate/card.hpp"
#include "validate/check_job.hpp"
#include "validate/job_json.hpp"
#include "validate/verdict_json.hpp"

namespace normquant::validate {
namespace {

using nlohmann::json;

json answer_to(const json& request, OpenDevices& devices) {
  const Job job = job_from_json(request.at("job"));
  OpenDevice* open = nullptr;
  const Status current = devices.make_current(job.device, job.schedule_seed, request.at("warm").get<bool>(), open);
  const std::vector<CaseResult> results =
      current.ok() ? check_job(job, *open) : all_alike(job, outcome(Outcome::error, current.message));
  json answer = {{"results", json::array()}};
  if (job.device.kind == DeviceKind::cuda) answer["card"] = uuid_of_gpu(job.device.index);
  for (const CaseResult& result : results) {
    answer["results"].push_back({{"verdict", to_json(result.verdict)}, {"seconds", result.seconds}});
  }
  return answer;
}

}  // namespace

bool DeviceChecks::ask(std::size_t device, const Job& job, std::vector<CaseResult>& results, std::string& why) {
  if (serves_ != device) worker_.reset();
  serves_ = device;
  if (worker_ == nullptr) worker_ = plugins::Worker::start({checker_command}, why);
  const ListedDevice& listed = devices_[device];
  Job there = job;
  there.device = listed.choice;
  std::string text;
  if (worker_ == nullptr || !worker_->ask(json{{"job", to_json(there)}, {"warm", warm_}}.dump(), 0, text, why)) {
    worker_.reset();
    return false;
  }
  const json answer = json::parse(text);
  for (std::size_t i = 0; i < job.variants.size(); ++i) {
    const json& one = answer.at("results").at(i);
    CaseResult result{
        job.device.name(), job.variants[i],  job.subject.problem, verdict_from_json(one.at("verdict")), {},
        job.schedule_seed, one.at("seconds")};
    result.card = listed.card.empty() ? answer.value("card", "") : listed.card;
    result.ran_on = listed.choice.name();
    results.push_back(std::move(result));
  }
  return true;
}

std::vector<CaseResult> DeviceChecks::check(const Job& job) {
  std::vector<CaseResult> results;
  std::string why;
  if (ask(own_, job, results, why)) return results;
  fmt::print(stderr, "normquant: a process of {} {}; {} goes to another\n", own().name(), why,
             to_text(job.subject.problem));
  if (ask((own_ + 1) % devices_.size(), job, results, why)) return results;
  for (const std::string& variant : job.variants) {
    Job one = job;
    one.variants = {variant};
    if (ask(own_, one, results, why)) continue;
    CaseResult failed =
        all_alike(one, outcome(Outcome::error, fmt::format("the process of {} {}", own().name(), why))).front();
    failed.ran_on = own().choice.name();
    results.push_back(std::move(failed));
  }
  return results;
}

int serve_device_checks(plugins::Requests& requests) {
  OpenDevices devices;
  for (std::string text; requests.next(text);) {
    json answer;
    const json request = json::parse(text);
    try {
      answer = answer_to(request, devices);
    } catch (const std::exception& error) {
      answer = {{"results", json::array()}};
      for (std::size_t i = 0; i < request.at("job").at("variants").size(); ++i) {
        answer["results"].push_back({{"verdict", to_json(outcome(Outcome::error, error.what()))}, {"seconds", 0.0}});
      }
    }
    requests.answer(answer.dump(-1, ' ', false, json::error_handler_t::replace));
  }
  return exit_pass;
}

}  // namespace normquant::validate
