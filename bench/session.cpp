#include "bench/session.hpp"

#include <fmt/format.h>

#include <cstdio>
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
  RunnerParts parts{*device, *timer, rule, limit.get(), on_gpu() ? gpu_free_bytes : nullptr, nvml.get(), pci_bus_id};
  parts.streams = streams.get();
  parts.cold = cold.get();
  parts.hot = figures.hot && on_gpu();
  parts.peak_gb_per_s = peak_gb_per_s;
  parts.checked = figures.checked;
  return parts;
}

namespace {

/// Two bits a clock and wire, 8 bits a byte: what datasheets call the memory bandwidth.
std::optional<double> memory_peak(const GpuFacts& facts, const Nvml& nvml) {
  const auto readings = nvml.read(facts.pci_bus_id);
  if (!readings || !readings->memory_clock_max_mhz || facts.memory_bus_bits <= 0) return std::nullopt;
  return 2e6 * *readings->memory_clock_max_mhz * facts.memory_bus_bits / 8 / 1e9;
}

/// For a profiler to see what it takes an empty kernel for: beside EventCosts::empty_us.
void launch_empty_kernels(Session& session) {
  const std::unique_ptr<Copier> copier = open_cuda_copier(session.device->info());
  Status status;
  for (int i = 0; i < 10 && status.ok(); ++i) status = copier->enqueue_nothing(nullptr);
  if (status.ok()) status = session.device->synchronize();
  if (!status.ok()) throw Refusal{exit_infrastructure, status.message};
}

void open_gpu_session(Session& session) {
  std::string why;
  if (session.figures.profiled) {
    std::unique_ptr<L2Flush> flush = open_l2_flush(session.device->info(), why);
    if (flush == nullptr) throw Refusal{exit_infrastructure, why};
    session.timer = open_profiled_timer(*session.device, std::move(flush));
  } else {
    session.timer = open_cuda_timer(*session.device, why);
  }
  if (session.timer == nullptr) throw Refusal{exit_infrastructure, why};
  if (session.figures.copy) {
    session.limit = std::make_unique<CopyLimit>(*session.device, *session.timer,
                                                open_cuda_copier(session.device->info()), gpu_free_bytes);
  }
  if (session.figures.streams) {
    session.streams = std::make_unique<StreamLimit>(*session.device, *session.timer,
                                                    open_cuda_mover(session.device->info()), gpu_free_bytes);
  }
  if (session.figures.cold) {
    session.cold = open_cold_timer(*session.device, why);
    if (session.cold == nullptr) throw Refusal{exit_infrastructure, "cold figures cannot be taken: " + why};
  }
  if (session.figures.profiled) launch_empty_kernels(session);
  const auto facts = gpu_facts(session.choice.index, why);
  if (facts) session.pci_bus_id = facts->pci_bus_id;
  if (facts) session.card = facts->uuid;
  session.nvml = Nvml::open(why);
  if (facts && session.nvml != nullptr) session.peak_gb_per_s = memory_peak(*facts, *session.nvml);
}

}  // namespace

Session open_session(const validate::DeviceChoice& choice, const Figures& figures) {
  if (const Status users = users_tables(); !users.ok()) fmt::print(stderr, "normquant: {}\n", users.message);
  Session session;
  session.choice = choice;
  session.figures = figures;
  std::string why;
  constexpr std::uint64_t schedule_seed = 1;
  session.device = choice.open(schedule_seed, why);
  if (session.device == nullptr) throw Refusal{exit_infrastructure, why};
  if (session.on_gpu()) {
    open_gpu_session(session);
  } else {
    session.timer = open_host_timer(*session.device);
  }
  return session;
}

nlohmann::ordered_json first_record(const Session& session) {
  auto record = describe_environment(session.on_gpu() ? std::optional<int>(session.choice.index) : std::nullopt);
  record["device"] = session.choice.name();
  record["launch_floor_us"] = nullptr;
  double floor_us = 0;
  if (session.limit != nullptr && session.limit->launch_floor(floor_us).ok()) record["launch_floor_us"] = floor_us;
  if (session.cold != nullptr) {
    const EventCosts& costs = session.cold->costs();
    record["events"] = {{"nothing_us", costs.nothing_us}, {"empty_us", costs.empty_us}};
  }
  if (session.peak_gb_per_s) record["memory_peak_gb_per_s"] = *session.peak_gb_per_s;
  return record;
}

/// Samples on the host say how long the CPU took and nothing else, so a few are enough.
SamplingRule rule_for(DeviceKind kind, bool quick, bool profiled) {
  if (kind == DeviceKind::host) {
    return {.relative_error = 0.005, .minimum = 3, .maximum = 3, .seconds = 0.05, .batch = 1};
  }
  if (profiled) return {.relative_error = 0.005, .minimum = 15, .maximum = 15, .seconds = 60, .batch = 5};
  if (quick) return {.relative_error = 0.0025, .minimum = 10, .maximum = 40, .seconds = 0.06, .batch = 5};
  return {};
}

}  // namespace normquant::bench
