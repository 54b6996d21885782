// The environment record: everything a reader needs to trust a number, and nothing that tells whose machine it was (no
// host names, user names or paths).
#pragma once

#include <optional>
#include <string>
#include <nlohmann/json_fwd.hpp>

namespace normquant::bench {

/// The first line of every record file and the output of `normquant env`:
///   kind "environment", suite "normquant", schema, version, time (UTC), commit (with "+dirty"),
///   build {compiler, type, flags, cuda_compiler, cuda_flags, cuda_architectures},
///   cpu {model, logical_cores}, os {system, distribution},
///   gpu {name, compute_capability, sm_count, l2_bytes, memory_bytes, memory_bus_bits, ecc, driver, cuda_driver,
///        cuda_runtime, sm_clock_mhz, sm_clock_max_mhz, memory_clock_mhz, memory_clock_max_mhz, temperature_c,
///        power_limit_w, throttle_reasons}, or null and then gpu_absent says why;
///   card: the GPU's UUID, absent without a GPU.
/// `gpu_index` is the CUDA device; nothing when the host device runs the case.
/// What is unknown is null. Never fails.
nlohmann::ordered_json describe_environment(std::optional<int> gpu_index);

/// The same as an aligned table of two columns.
std::string environment_table(const nlohmann::ordered_json& environment);

/// `normquant 0.1.0 (commit ...; GNU 12.2.0; NVIDIA 12.4.131)`.
std::string version_line();

/// GPU architectures that this build has kernels for, as CMake writes them ("90", "80;90"); empty without CUDA.
std::string cuda_architectures();

/// Version of the record format.
inline constexpr int record_schema = 1;

}  // namespace normquant::bench
