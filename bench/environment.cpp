#include "bench/environment.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <string_view>
#include <thread>
#include <nlohmann/json.hpp>

#include "bench/gpu_facts.hpp"
#include "bench/nvml.hpp"
#include "build_facts.hpp"
#include "commit.hpp"
#include "output/escape.hpp"

namespace normquant::bench {
namespace {

using Json = nlohmann::ordered_json;

/// Null for what is unknown.
template <class Value>
Json known(const std::optional<Value>& value) {
  return value ? Json(*value) : Json(nullptr);
}
Json known(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

/// The text behind the first line of `path` that starts with `key` and `separator`, without quotes.
std::string value_in(const char* path, std::string_view key, char separator) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const std::size_t at = line.find(separator);
    if (!line.starts_with(key) || at == std::string::npos) continue;
    const std::size_t first = line.find_first_not_of(" \t\"", at + 1);
    const std::size_t last = line.find_last_not_of(" \t\"");
    return first == std::string::npos ? std::string() : line.substr(first, last - first + 1);
  }
  return {};
}

Json describe_build() {
  return {{"compiler", known(std::string(build::compiler))},
          {"type", known(std::string(build::type))},
          {"flags", known(std::string(build::flags))},
          {"cuda_compiler", known(std::string(build::cuda_compiler))},
          {"cuda_flags", known(std::string(build::cuda_flags))},
          {"cuda_architectures", known(std::string(build::cuda_architectures))}};
}

Json describe_cpu() {
  const std::string model = value_in("/proc/cpuinfo", "model name", ':');
  return {{"model", known(model)}, {"logical_cores", std::thread::hardware_concurrency()}};
}

/// Kernel name and machine of uname; never its node name, which is the host's.
Json describe_os() {
  utsname names{};
  std::string system;
  if (uname(&names) == 0) system = fmt::format("{} {}", names.sysname, names.machine);
  return {{"system", known(system)}, {"distribution", known(value_in("/etc/os-release", "PRETTY_NAME", '='))}};
}

void add_readings(Json& gpu, const Nvml& nvml, const std::string& pci_bus_id) {
  gpu["driver"] = known(nvml.driver_version());
  const GpuReadings readings = nvml.read(pci_bus_id).value_or(GpuReadings{});
  gpu["sm_clock_mhz"] = known(readings.sm_clock_mhz);
  gpu["sm_clock_max_mhz"] = known(readings.sm_clock_max_mhz);
  gpu["memory_clock_mhz"] = known(readings.memory_clock_mhz);
  gpu["memory_clock_max_mhz"] = known(readings.memory_clock_max_mhz);
  gpu["temperature_c"] = known(readings.temperature_c);
  gpu["power_limit_w"] = known(readings.power_limit_w);
  gpu["throttle_reasons"] = known(readings.throttle_reasons);
  if (readings.ecc) gpu["ecc"] = *readings.ecc;
}

Json describe_gpu(const GpuFacts& facts) {
  Json gpu = {
      {"name", facts.name},
      {"compute_capability", fmt::format("{}.{}", facts.compute_capability / 10, facts.compute_capability % 10)},
      {"sm_count", facts.sm_count},
      {"l2_bytes", facts.l2_bytes},
      {"memory_bytes", facts.memory_bytes},
      {"memory_bus_bits", facts.memory_bus_bits},
      {"ecc", facts.ecc},
      {"driver", nullptr},
      {"cuda_driver", known(cuda_driver_version())},
      {"cuda_runtime", known(cuda_runtime_version())},
      {"sm_clock_mhz", nullptr},
      {"sm_clock_max_mhz", nullptr},
      {"memory_clock_mhz", nullptr},
      {"memory_clock_max_mhz", nullptr},
      {"temperature_c", nullptr},
      {"power_limit_w", nullptr},
      {"throttle_reasons", nullptr}};
  std::string why;
  if (const auto nvml = Nvml::open(why)) add_readings(gpu, *nvml, facts.pci_bus_id);
  return gpu;
}

/// One row of the table for every value, nested ones by their dotted name.
void add_rows(const Json& object, const std::string& prefix, std::vector<std::pair<std::string, std::string>>& rows) {
  for (const auto& [key, value] : object.items()) {
    if (value.is_object()) {
      add_rows(value, prefix + key + ".", rows);
    } else {
      const std::string text = value.is_string() ? value.get<std::string>()
                               : value.is_null() ? "unknown"
                                                 : value.dump();
      rows.emplace_back(prefix + key, text);
    }
  }
}

}  // namespace

Json describe_environment(std::optional<int> gpu_index) {
  Json environment = {{"kind", "environment"},
                      {"suite", "normquant"},
                      {"schema", record_schema},
                      {"version", build::version},
                      {"time", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)))},
                      {"commit", build::commit},
                      {"build", describe_build()},
                      {"cpu", describe_cpu()},
                      {"os", describe_os()},
                      {"gpu", nullptr}};
  std::string why = "the host device runs the kernels";
  if (gpu_index) {
    if (const std::optional<GpuFacts> facts = gpu_facts(*gpu_index, why)) {
      environment["gpu"] = describe_gpu(*facts);
      environment["card"] = facts->uuid;
      return environment;
    }
  }
  environment["gpu_absent"] = why;
  return environment;
}

std::string version_line() {
  const std::string cuda = build::cuda_compiler;
  return fmt::format("normquant {} (commit {}; {}; {})", build::version, build::commit, build::compiler,
                     cuda.empty() ? "without CUDA" : cuda);
}

std::string cuda_architectures() {
  std::string list = build::cuda_architectures;
  std::replace(list.begin(), list.end(), ',', ';');
  return list;
}

std::string environment_table(const Json& environment) {
  std::vector<std::pair<std::string, std::string>> rows;
  add_rows(environment, "", rows);
  std::string table;
  for (const auto& [name, value] : rows) {
    if (name == "kind" || name == "suite" || name == "schema") continue;  // for programs
    if (name == "gpu") {
      table += fmt::format("{:<26}none\n", name);
    } else {
      table += fmt::format("{:<26}{}\n", name, output::printable(value));
    }
  }
  return table;
}

}  // namespace normquant::bench
