// Stands in for the .cu files of this folder in a build without CUDA.
#ifndef NORMQUANT_WITH_CUDA

#include "bench/cold_timer.hpp"
#include "bench/copy_limit.hpp"
#include "bench/gpu_facts.hpp"
#include "bench/profiler_range.hpp"
#include "bench/self_test.hpp"
#include "bench/stream_limit.hpp"
#include "bench/timer.hpp"

namespace normquant::bench {

std::unique_ptr<Timer> open_cuda_timer(Device&, std::string& why) {
  why = "this build has no CUDA";
  return nullptr;
}

std::unique_ptr<ColdTimer> open_cold_timer(Device&, std::string& why) {
  why = "this build has no CUDA";
  return nullptr;
}

std::unique_ptr<L2Flush> open_l2_flush(const DeviceInfo&, std::string& why) {
  why = "this build has no CUDA";
  return nullptr;
}

Status measure_load_latencies(Device&, LoadLatencies&) { return Status::infrastructure("this build has no CUDA"); }
Status prove_cold_timer(Device&, TimerProof&) { return Status::infrastructure("this build has no CUDA"); }

std::unique_ptr<Copier> open_cuda_copier(const DeviceInfo&) { return nullptr; }
std::unique_ptr<Mover> open_cuda_mover(const DeviceInfo&) { return nullptr; }

std::optional<GpuFacts> gpu_facts(int, std::string& why) {
  why = "this build has no CUDA";
  return std::nullopt;
}
std::string cuda_runtime_version() { return {}; }
std::string cuda_driver_version() { return {}; }
std::size_t gpu_free_bytes() { return 0; }

ProfilerRange::ProfilerRange(const std::string&) {}
ProfilerRange::~ProfilerRange() = default;

}  // namespace normquant::bench

#endif
