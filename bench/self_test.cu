// The GPU's part of the self-test: single loads timed by the clock of the multiprocessor, and work on another stream.
#include <cstdint>

#include "bench/cold_timer.hpp"
#include "bench/cuda_handles.hpp"
#include "bench/self_test.hpp"

namespace normquant::bench {
namespace {

constexpr int lines = 2048;
constexpr std::size_t distance = 4096;  ///< bytes from one line to the next

/// Each load's address depends on the load before (the memory holds zeros), so that no two overlap. __ldcg passes by
/// the L1.
__global__ void load_latencies(const unsigned* memory, unsigned* cycles) {
  __shared__ volatile unsigned arrived;
  unsigned offset = 0;
  for (int i = 0; i < lines; ++i) {
    const unsigned* const at = memory + i * (distance / sizeof(unsigned)) + offset;
    const long long start = clock64();
    offset = __ldcg(at);
    arrived = offset;  // the clock is read behind an instruction that needs the value: instructions issue in order
    const long long end = clock64();
    cycles[i] = static_cast<unsigned>(end - start);
  }
}

__global__ void read_all(const uint4* memory, std::size_t count, unsigned* sink) {
  unsigned seen = 0;
  for (std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count;
       i += std::size_t{gridDim.x} * blockDim.x) {
    const uint4 read = __ldcg(memory + i);
    seen |= read.x | read.y | read.z | read.w;
  }
  if (seen != 0) *sink = seen;
}

__global__ void spin_kernel(unsigned long long nanoseconds) {
  unsigned long long start = 0, now = 0;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(start));
  do {
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  } while (now - start < nanoseconds);
}

Status read_latencies(const unsigned* memory, unsigned* cycles, std::vector<double>& latencies) {
  load_latencies<<<1, 1>>>(memory, cycles);
  NORMQUANT_TRY(cudaGetLastError());
  std::vector<unsigned> measured(lines);
  NORMQUANT_TRY(cudaMemcpy(measured.data(), cycles, lines * sizeof(unsigned), cudaMemcpyDeviceToHost));
  latencies.assign(measured.begin(), measured.end());
  return {};
}

}  // namespace

Status measure_load_latencies(Device& device, LoadLatencies& latencies) {
  if (Status status = device.make_current(); !status.ok()) return status;
  std::string why;
  const std::unique_ptr<L2Flush> flush = open_l2_flush(device.info(), why);
  if (flush == nullptr) return Status::infrastructure("the memory that flushes the L2: " + why);
  const std::size_t rotation = 4 * device.info().l2_bytes;  // as rotation_slots asks for
  OwnedMemory memory, other, cycles;
  NORMQUANT_TRY(cudaMalloc(memory.put(), lines * distance));
  NORMQUANT_TRY(cudaMalloc(other.put(), rotation));
  NORMQUANT_TRY(cudaMalloc(cycles.put(), (lines + 1) * sizeof(unsigned)));
  NORMQUANT_TRY(cudaMemset(memory.get(), 0, lines * distance));
  NORMQUANT_TRY(cudaMemset(other.get(), 0, rotation));
  const auto* const probed = static_cast<const unsigned*>(memory.get());
  auto* const counts = static_cast<unsigned*>(cycles.get());
  // The first reading fills the L2 (and the pages' translations); the second is hot.
  if (Status status = read_latencies(probed, counts, latencies.hot); !status.ok()) return status;
  if (Status status = read_latencies(probed, counts, latencies.hot); !status.ok()) return status;
  if (Status status = flush->reset_persisting(); !status.ok()) return status;
  if (Status status = flush->enqueue(nullptr); !status.ok()) return status;
  if (Status status = read_latencies(probed, counts, latencies.flushed); !status.ok()) return status;
  read_all<<<1024, 256>>>(static_cast<const uint4*>(other.get()), rotation / sizeof(uint4), counts + lines);
  NORMQUANT_TRY(cudaGetLastError());
  return read_latencies(probed, counts, latencies.rotated);
}

Status prove_cold_timer(Device& device, TimerProof& proof) {
  std::string why;
  const std::unique_ptr<ColdTimer> timer = open_cold_timer(device, why);
  if (timer == nullptr) return Status::infrastructure(why);
  proof.costs = timer->costs();
  if (Status status = timer->hold_without_go(0.01, proof.hold_timed_out); !status.ok()) return status;
  OwnedStream hidden;
  NORMQUANT_TRY(cudaStreamCreateWithFlags(hidden.put(), cudaStreamNonBlocking));
  const Enqueue hide = [&hidden](int, Stream) {
    spin_kernel<<<1, 1, 0, hidden.get()>>>(3'000'000);
    return status_of(cudaGetLastError(), "spin_kernel");
  };
  if (Status status = timer->prepare(hide, {}); !status.ok()) return status;
  NORMQUANT_TRY(cudaDeviceSynchronize());
  std::vector<double> samples;
  const Status refused = timer->measure(5, samples);
  proof.hidden_work_found = !refused.ok();
  proof.hidden_work_sentence = refused.message;
  return {};
}

}  // namespace normquant::bench
