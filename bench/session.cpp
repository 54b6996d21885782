#include "bench/session.hpp"

#include <fmt/format.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <normquant/choice.hpp>

#include "bench/environment.hpp"
#include "bench/gpu_facts.hpp"
#include "exit_status.hpp"

namespace normquant::bench {

validate::DeviceChoice choose_device(std::string device, bool require_gpu) {
  std::string why;
  if (device == "all") throw Refusal{exit_usage, "one device is timed at a time; give --device host, cuda or cuda:I"};
  if (device == "host" && require_gpu) {
    throw Refusal{exit_usage, "--require-gpu and --device host contradict each other"};
  }
  if (device.empty()) device = cuda_device_count(why) > 0 ? "cuda" : "host";
  const validate::DeviceSelection selection = validate::select_devices(device, require_gpu);
  if (selection.exit_status != exit_pass) throw Refusal{selection.exit_status, selection.why};
  return selection.devices.front();
}

void use_tuned_table(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.bad() || text.empty()) throw Refusal{exit_usage, fmt::format("cannot read the table {}", path)};
  if (const Status status = set_tuned_table(text); !status.ok()) {
    throw Refusal{exit_usage, fmt::format("{}: {}", path, status.message)};
  }
}

RunnerParts Session::parts(const SamplingRule& rule) const {
  return {*device, *timer, rule, limit.get(), on_gpu() ? gpu_free_bytes : nullptr, nvml.get(), pci_bus_id};
}

Session open_session(const validate::DeviceChoice& choice) {
  Session session;
  session.choice = choice;
  std::string why;
  constexpr std::uint64_t schedule_seed = 1;
  session.device = choice.open(schedule_seed, why);
  if (session.device == nullptr) throw Refusal{exit_infrastructure, why};
  if (!session.on_gpu()) {
    session.timer = open_host_timer(*session.device);
    return session;
  }
  session.timer = open_cuda_timer(*session.device, why);
  if (session.timer == nullptr) throw Refusal{exit_infrastructure, why};
  session.limit = std::make_unique<CopyLimit>(*session.device, *session.timer, open_cuda_copier(session.device->info()),
                                              gpu_free_bytes);
  if (const auto facts = gpu_facts(choice.index, why)) session.pci_bus_id = facts->pci_bus_id;
  session.nvml = Nvml::open(why);
  return session;
}

nlohmann::ordered_json first_record(const Session& session) {
  auto record = describe_environment(session.on_gpu() ? std::optional<int>(session.choice.index) : std::nullopt);
  record["device"] = session.choice.name();
  record["launch_floor_us"] = nullptr;
  double floor_us = 0;
  if (session.on_gpu() && session.limit->launch_floor(floor_us).ok()) record["launch_floor_us"] = floor_us;
  return record;
}

/// Samples on the host say how long the CPU took and nothing else, so a few are enough.
SamplingRule rule_for(DeviceKind kind, bool quick) {
  if (kind == DeviceKind::host) {
    return {.relative_error = 0.005, .minimum = 3, .maximum = 3, .seconds = 0.05, .batch = 1};
  }
  if (quick) return {.relative_error = 0.0025, .minimum = 10, .maximum = 40, .seconds = 0.06, .batch = 5};
  return {};
}

}  // namespace normquant::bench
