// Readings that only NVIDIA's management library has: driver, clocks, power limit. Loaded at run time; optional.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "bench/conditions.hpp"

namespace normquant::bench {

/// What NVML said; absent where it did not answer.
struct GpuReadings {
  std::string name;  ///< empty when unknown
  std::optional<unsigned> sm_clock_mhz, sm_clock_max_mhz, memory_clock_mhz, memory_clock_max_mhz;
  std::optional<unsigned> temperature_c;
  std::optional<double> power_limit_w;
  std::optional<bool> ecc;
  std::optional<unsigned long long> throttle_reasons;  ///< bits as in nvml.h, nvmlClocksThrottleReasons
};

class Nvml {
 public:
  /// Null, and `why` filled, when the library or the driver is absent.
  static std::unique_ptr<Nvml> open(std::string& why);
  ~Nvml();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  /// "580.159.04"; empty when unknown.
  std::string driver_version() const;
  /// Reads the GPU of that PCI address ("0000:1b:00.0"; empty: NVML's first GPU). Nothing when there is none.
  std::optional<GpuReadings> read(const std::string& pci_bus_id) const;
  /// Clock and throttle reasons of that GPU, in some microseconds.
  Conditions conditions(const std::string& pci_bus_id) const;
  /// What that GPU has drawn since its driver was loaded.
  std::optional<double> joules(const std::string& pci_bus_id) const;

 private:
  struct Functions;
  explicit Nvml(std::unique_ptr<Functions> functions);
  void* find(const std::string& pci_bus_id) const;
  std::unique_ptr<Functions> functions_;
  mutable void* found_ = nullptr;  ///< what find() found last, and for which address
  mutable std::string found_for_;
};

}  // namespace normquant::bench
