#include "bench/many_devices.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <nlohmann/json.hpp>

#include "bench/finished.hpp"
#include "exit_status.hpp"

namespace normquant::bench {
namespace {

using Json = nlohmann::ordered_json;

constexpr int most_deaths = 3;  ///< of a device's processes, one after another, before it is left alone

}  // namespace

struct ManyDevices::OneDevice {
  validate::ListedDevice listed;
  std::unique_ptr<plugins::Worker> worker;
  std::string about;  ///< "cuda:1 (GPU-...)"
  int deaths = 0;     ///< since the last record
};

/// A case with the variants that are left of it.
struct ManyDevices::Group {
  std::vector<PlannedCase> planned;
  const void* not_on = nullptr;  ///< the device whose process its first one ended
};

/// The cases that are left, and who is at work. The layer's come first: their references take seconds, and a device that
/// begins one last would keep the others waiting.
class ManyDevices::Queue {
 public:
  Queue(const std::vector<PlannedCase>& plan, std::size_t devices, const std::function<bool(TimingRecord)>& finished)
      : devices_(devices), finished_(finished) {
    for (const PlannedCase& planned : plan) {
      if (groups_.empty() || groups_.back().planned.back().timed != planned.timed) groups_.emplace_back();
      groups_.back().planned.push_back(planned);
    }
    std::stable_partition(groups_.begin(), groups_.end(),
                          [](const Group& group) { return is_layer(group.planned.front().timed.problem.op); });
  }

  /// The next case for this device; nothing when all is done. Waits while another device may give one back.
  std::optional<Group> take(const OneDevice& device) {
    std::unique_lock lock(mutex_);
    for (;;) {
      if (stopped_ || (groups_.empty() && at_work_ == 0)) return std::nullopt;
      for (auto group = groups_.begin(); group != groups_.end(); ++group) {
        if (group->not_on == &device && devices_ > 1) continue;
        Group taken = std::move(*group);
        groups_.erase(group);
        ++at_work_;
        return taken;
      }
      changed_.wait(lock);
    }
  }
  /// What is left of a case that was taken; empty when it is done.
  void give_back(Group group) {
    const std::lock_guard lock(mutex_);
    --at_work_;
    if (!group.planned.empty()) groups_.push_front(std::move(group));
    changed_.notify_all();
  }
  void record(TimingRecord record) {
    const std::lock_guard lock(mutex_);
    if (!finished_(std::move(record))) stopped_ = true;
  }
  void device_is_lost() {
    const std::lock_guard lock(mutex_);
    --devices_;
    changed_.notify_all();
  }
  bool stopped() {
    const std::lock_guard lock(mutex_);
    return stopped_;
  }
  std::size_t left() const { return groups_.size(); }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Group> groups_;
  std::size_t devices_, at_work_ = 0;
  bool stopped_ = false;
  const std::function<bool(TimingRecord)>& finished_;
};

bool ManyDevices::start(OneDevice& device, std::string& why) const {
  std::vector<std::string> arguments = {device_command};
  for (std::string& more : timer_arguments(request_.options, device.listed.choice))
    arguments.push_back(std::move(more));
  if (!device.listed.card.empty()) arguments.insert(arguments.end(), {"--card", device.listed.card});
  if (!request_.options.table.empty()) arguments.insert(arguments.end(), {"--table", request_.options.table});
  device.worker = plugins::Worker::start(arguments, why);
  return device.worker != nullptr;
}

ManyDevices::ManyDevices(ManyDevicesRequest request) : request_(std::move(request)) {
  std::string why, answer;
  for (const validate::ListedDevice& listed : request_.devices) {
    devices_.push_back(std::make_unique<OneDevice>());
    devices_.back()->listed = listed;
    if (!start(*devices_.back(), why)) throw Refusal{exit_infrastructure, why};
  }
  for (const auto& device : devices_) {  // they open their devices side by side
    if (!device->worker->ask("describe", 0, answer, why)) {
      throw Refusal{exit_infrastructure, fmt::format("{}: its process {}", device->listed.name(), why)};
    }
    Json environment = Json::parse(answer);
    if (environment.contains("refusal")) {
      throw Refusal{environment.at("status").get<int>(),
                    fmt::format("{}: {}", device->listed.name(), environment.at("refusal").get<std::string>())};
    }
    const std::string card = environment.value("card", "");
    device->about = device->listed.name() == card || card.empty() ? device->listed.name()
                                                                  : fmt::format("{} ({})", device->listed.name(), card);
    environments_.push_back(std::move(environment));
    if (const std::string differ = sweep_difference(environments_.front(), environments_.back()); !differ.empty()) {
      throw Refusal{exit_usage, fmt::format("{} and {} are not of one kind: {}; name those of one kind, as cuda:0,2",
                                            devices_.front()->about, device->about, differ)};
    }
  }
}

ManyDevices::~ManyDevices() = default;

const std::vector<Json>& ManyDevices::environments() const { return environments_; }

void ManyDevices::work(OneDevice& device, Queue& queue) {
  while (std::optional<Group> group = queue.take(device)) {
    while (!group->planned.empty() && !queue.stopped()) {
      const PlannedCase planned = group->planned.front();
      std::string why, answer;
      if (device.worker == nullptr && device.deaths < most_deaths && start(device, why)) {
        if (!device.worker->ask("describe", 0, answer, why)) device.worker.reset();
      }
      if (device.worker == nullptr) {
        fmt::print(stderr,
                   "normquant: {} is left alone from here on: its processes ended {} times one after another{}{}\n",
                   device.about, device.deaths, why.empty() ? "" : ", and a new one ", why);
        queue.device_is_lost();
        queue.give_back(std::move(*group));
        return;
      }
      const double limit = request_.options.case_timeout;
      TimingRecord record;
      if (device.worker->ask(timing_request(planned, 0), limit, answer, why)) {
        device.deaths = 0;
        record = record_from_json(Json::parse(answer), planned.timed);
      } else {
        const bool over = device.worker->ran_out_of_time();
        device.worker.reset();
        ++device.deaths;
        if (!over && group->not_on == nullptr) {
          fmt::print(stderr, "normquant: the process of {} {}; {} goes to another\n", device.about, why,
                     planned.name());
          group->not_on = &device;
          break;
        }
        record.timed = planned.timed;
        record.variant = planned.variant;
        record.time_kind = device.listed.choice.kind == DeviceKind::host ? "cpu_execution" : "steady";
        record.reason = over ? fmt::format("given up after {:.3g} s (--case-timeout)", limit)
                             : fmt::format("the process of {} {}, as another one had before", device.about, why);
        fmt::print(stderr, "normquant: {}: {}\n", planned.name(), record.reason);
      }
      record.index = planned.index;
      queue.record(std::move(record));
      group->planned.erase(group->planned.begin());
      group->not_on = nullptr;
    }
    queue.give_back(std::move(*group));
  }
}

void ManyDevices::run(const std::vector<PlannedCase>& plan, const std::function<bool(TimingRecord)>& finished) {
  Queue queue(plan, devices_.size(), finished);
  std::vector<std::thread> threads;
  for (const auto& device : devices_) threads.emplace_back([this, &device, &queue] { work(*device, queue); });
  for (std::thread& thread : threads) thread.join();
  if (queue.left() > 0 && !queue.stopped()) {
    throw Refusal{exit_infrastructure,
                  fmt::format("no device is left, and {} cases are; --resume goes on", queue.left())};
  }
}

int serve_device(plugins::Requests& requests, const TimerProcess& process) {
  TimerSession session(process, requests);
  Json description;
  try {
    if (!process.table.empty()) use_tuned_table(process.table);
    description = first_record(session.open());
    if (!process.card.empty()) description["card"] = process.card;
  } catch (const Refusal& refusal) {
    description = {{"refusal", refusal.sentence}, {"status", refusal.status}};
  }
  if (std::string request; !requests.next(request)) return exit_pass;
  requests.answer(description.dump(-1, ' ', false, Json::error_handler_t::replace));
  session.serve([] {});
  return exit_pass;
}

}  // namespace normquant::bench
