#include "bench/nvml.hpp"

#include <dlfcn.h>

#include <array>

namespace normquant::bench {
namespace {

// From NVML's documented, stable interface; nvml.h is not part of every toolkit.
using NvmlReturn = int;  // 0 is success
using Gpu = void*;
constexpr int clock_sm = 1, clock_memory = 2;
constexpr int sensor_gpu = 0;

}  // namespace

struct Nvml::Functions {
  void* library = nullptr;
  NvmlReturn (*init)() = nullptr;
  NvmlReturn (*shutdown)() = nullptr;
  NvmlReturn (*driver_version)(char*, unsigned) = nullptr;
  NvmlReturn (*gpu_by_index)(unsigned, Gpu*) = nullptr;
  NvmlReturn (*gpu_by_pci)(const char*, Gpu*) = nullptr;
  NvmlReturn (*name)(Gpu, char*, unsigned) = nullptr;
  NvmlReturn (*clock)(Gpu, int, unsigned*) = nullptr;
  NvmlReturn (*max_clock)(Gpu, int, unsigned*) = nullptr;
  NvmlReturn (*temperature)(Gpu, int, unsigned*) = nullptr;
  NvmlReturn (*power_limit)(Gpu, unsigned*) = nullptr;  // milliwatts
  NvmlReturn (*ecc_mode)(Gpu, unsigned*, unsigned*) = nullptr;
  NvmlReturn (*throttle_reasons)(Gpu, unsigned long long*) = nullptr;
  NvmlReturn (*energy)(Gpu, unsigned long long*) = nullptr;  // millijoules

  template <class Function>
  void load(Function*& function, const char* symbol) {
    function = reinterpret_cast<Function*>(dlsym(library, symbol));
  }

  void load_all() {
    load(init, "nvmlInit_v2");
    load(shutdown, "nvmlShutdown");
    load(driver_version, "nvmlSystemGetDriverVersion");
    load(gpu_by_index, "nvmlDeviceGetHandleByIndex_v2");
    load(gpu_by_pci, "nvmlDeviceGetHandleByPciBusId_v2");
    load(name, "nvmlDeviceGetName");
    load(clock, "nvmlDeviceGetClockInfo");
    load(max_clock, "nvmlDeviceGetMaxClockInfo");
    load(temperature, "nvmlDeviceGetTemperature");
    load(power_limit, "nvmlDeviceGetEnforcedPowerLimit");
    load(ecc_mode, "nvmlDeviceGetEccMode");
    load(throttle_reasons, "nvmlDeviceGetCurrentClocksThrottleReasons");
    load(energy, "nvmlDeviceGetTotalEnergyConsumption");
  }
};

namespace {

/// The number that `function(gpu, ..., &number)` writes.
template <class Number, class Function, class... Arguments>
std::optional<Number> ask(Function* function, Gpu gpu, Arguments... arguments) {
  Number number{};
  if (function == nullptr || function(gpu, arguments..., &number) != 0) return std::nullopt;
  return number;
}

}  // namespace

Nvml::Nvml(std::unique_ptr<Functions> functions) : functions_(std::move(functions)) {}

Nvml::~Nvml() {
  if (functions_->shutdown != nullptr) functions_->shutdown();
  dlclose(functions_->library);
}

std::unique_ptr<Nvml> Nvml::open(std::string& why) {
  auto functions = std::make_unique<Functions>();
  functions->library = dlopen("libnvidia-ml.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (functions->library == nullptr) {
    why = "NVML (libnvidia-ml.so.1) is not installed";
    return nullptr;
  }
  functions->load_all();
  if (functions->init == nullptr || functions->init() != 0) {
    why = "NVML could not reach the driver";
    dlclose(functions->library);
    return nullptr;
  }
  return std::unique_ptr<Nvml>(new Nvml(std::move(functions)));
}

std::string Nvml::driver_version() const {
  std::array<char, 96> text{};
  if (functions_->driver_version == nullptr) return {};
  return functions_->driver_version(text.data(), text.size()) == 0 ? text.data() : "";
}

void* Nvml::find(const std::string& pci_bus_id) const {
  if (found_ != nullptr && found_for_ == pci_bus_id) return found_;
  Gpu gpu = nullptr;
  const auto& f = *functions_;
  const bool found = pci_bus_id.empty() ? f.gpu_by_index != nullptr && f.gpu_by_index(0, &gpu) == 0
                                        : f.gpu_by_pci != nullptr && f.gpu_by_pci(pci_bus_id.c_str(), &gpu) == 0;
  if (!found) return nullptr;
  found_ = gpu;
  found_for_ = pci_bus_id;
  return gpu;
}

Conditions Nvml::conditions(const std::string& pci_bus_id) const {
  const Gpu gpu = find(pci_bus_id);
  if (gpu == nullptr) return {};
  return {ask<unsigned>(functions_->clock, gpu, clock_sm), ask<unsigned long long>(functions_->throttle_reasons, gpu)};
}

std::optional<double> Nvml::joules(const std::string& pci_bus_id) const {
  const Gpu gpu = find(pci_bus_id);
  const auto millijoules = gpu == nullptr ? std::nullopt : ask<unsigned long long>(functions_->energy, gpu);
  if (!millijoules) return std::nullopt;
  return static_cast<double>(*millijoules) / 1000;
}

std::optional<GpuReadings> Nvml::read(const std::string& pci_bus_id) const {
  const Gpu gpu = find(pci_bus_id);
  if (gpu == nullptr) return std::nullopt;
  const auto& f = *functions_;
  GpuReadings readings;
  std::array<char, 128> name{};
  if (f.name != nullptr && f.name(gpu, name.data(), name.size()) == 0) readings.name = name.data();
  readings.sm_clock_mhz = ask<unsigned>(f.clock, gpu, clock_sm);
  readings.sm_clock_max_mhz = ask<unsigned>(f.max_clock, gpu, clock_sm);
  readings.memory_clock_mhz = ask<unsigned>(f.clock, gpu, clock_memory);
  readings.memory_clock_max_mhz = ask<unsigned>(f.max_clock, gpu, clock_memory);
  readings.temperature_c = ask<unsigned>(f.temperature, gpu, sensor_gpu);
  if (const auto milliwatts = ask<unsigned>(f.power_limit, gpu)) readings.power_limit_w = *milliwatts / 1000.0;
  unsigned current = 0, pending = 0;
  if (f.ecc_mode != nullptr && f.ecc_mode(gpu, &current, &pending) == 0) readings.ecc = current != 0;
  readings.throttle_reasons = ask<unsigned long long>(f.throttle_reasons, gpu);
  return readings;
}

}  // namespace normquant::bench
