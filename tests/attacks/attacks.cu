// Kernels for a GPU that want a good time without the work. tests/attacks_gpu_test.cpp says what each is answered.
#include <cuda_runtime.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <thread>

#include "normquant_plugin.h"

namespace {

struct Work {
  const float* x;
  float* out;
  long long rows, columns, ld_x, ld_out;
};

Work work_of(const void* args) {
  const auto* a = static_cast<const normquant_activation_args*>(args);
  return {static_cast<const float*>(a->x.data),
          static_cast<float*>(a->output.out.data),
          a->rows,
          a->columns,
          a->x.ld,
          a->output.out.ld};
}

/// One block of 256 threads a row.
__device__ void honest_row(const Work& w, long long row) {
  __shared__ float largest[256];
  const float* x = w.x + row * w.ld_x;
  float* out = w.out + row * w.ld_out;
  float mine = 0;
  for (long long j = threadIdx.x; j < w.columns; j += 256) mine = fmaxf(mine, fabsf(x[j]));
  largest[threadIdx.x] = mine;
  __syncthreads();
  for (int half = 128; half > 0; half /= 2) {
    if (threadIdx.x < half) largest[threadIdx.x] = fmaxf(largest[threadIdx.x], largest[threadIdx.x + half]);
    __syncthreads();
  }
  const float scale = 127.0F / fmaxf(largest[0], 1e-5F);
  for (long long j = threadIdx.x; j < w.columns; j += 256) out[j] = rintf(x[j] * scale) / scale;
}

enum Way {
  honest,
  skips_when_filled,
  works_on_poison_only,
  returns_a_constant,
  copies_its_input,
  writes_samples,
  zeroes_its_input
};

__global__ void __launch_bounds__(256) row_kernel(Work w, Way way) {
  const long long row = blockIdx.x;
  float* out = w.out + row * w.ld_out;
  const bool filled = isfinite(out[0]) && isfinite(out[w.columns - 1]);
  const bool poisoned = __float_as_uint(out[0]) == 0xFFFFFFFFU;
  __syncthreads();
  if (way == skips_when_filled && filled) return;
  if (way == works_on_poison_only && !poisoned) return;
  if (way == writes_samples && row % 8 != 0) return;
  if (way == returns_a_constant || way == copies_its_input) {
    const float* x = w.x + row * w.ld_x;
    for (long long j = threadIdx.x; j < w.columns; j += 256) out[j] = way == copies_its_input ? x[j] : 0.5F;
    return;
  }
  honest_row(w, row);
  if (way == zeroes_its_input) const_cast<float*>(w.x)[row * w.ld_x + threadIdx.x % w.columns] = 0;
}

/// Counters that stay between launches: by launch, since all blocks of one see the same.
__device__ unsigned launches;
__global__ void count_kernel() { ++launches; }
__global__ void __launch_bounds__(256) counting_kernel(Work w, unsigned first, unsigned every) {
  if (launches <= first || (every > 0 && launches % every == 0)) honest_row(w, blockIdx.x);
}

/// Replays what was computed for the same fingerprint of the input, or for the same address.
struct Kept {
  unsigned long long key;
  float* out;
};
constexpr int most_kept = 128;
__device__ Kept kept[most_kept];
__device__ unsigned kept_count;
__device__ int found;

__global__ void look_up_kernel(Work w, bool by_value, float* arena) {
  unsigned long long key = by_value ? 14695981039346656037ULL : reinterpret_cast<unsigned long long>(w.x);
  if (by_value) {
    for (long long j = 0; j < w.columns && j < 64; ++j) key = (key ^ __float_as_uint(w.x[j])) * 1099511628211ULL;
  }
  found = -1;
  for (unsigned k = 0; k < kept_count; ++k) {
    if (kept[k].key == key) found = static_cast<int>(k);
  }
  if (found >= 0 || kept_count == most_kept) return;
  kept[kept_count] = {key, arena + kept_count * w.rows * w.columns};
  ++kept_count;
}
__global__ void __launch_bounds__(256) replaying_kernel(Work w) {
  const long long row = blockIdx.x;
  float* out = w.out + row * w.ld_out;
  if (found >= 0) {
    for (long long j = threadIdx.x; j < w.columns; j += 256) out[j] = kept[found].out[row * w.columns + j];
    return;
  }
  honest_row(w, row);
  __syncthreads();
  if (kept_count == 0) return;
  float* memory = kept[kept_count - 1].out;
  for (long long j = threadIdx.x; j < w.columns; j += 256) memory[row * w.columns + j] = out[j];
}

__global__ void endless_kernel(volatile float* out) {
  while (out[0] != 12345.0F) {
  }
}
__global__ void crashing_kernel() { *reinterpret_cast<volatile int*>(8) = 1; }

int answer(char* why, size_t why_size) {
  const cudaError_t error = cudaGetLastError();
  if (error == cudaSuccess) return 0;
  std::snprintf(why, why_size, "%s", cudaGetErrorString(error));
  return 1;
}

#define LAUNCH(function)                                                                                       \
  int function(const normquant_variant* self, const void* args, const normquant_device*, void*, void* stream_, \
               char* why, size_t why_size)
#define SET_OUT                                           \
  const Work w = work_of(args);                           \
  const auto stream = static_cast<cudaStream_t>(stream_); \
  const auto blocks = static_cast<unsigned>(w.rows);      \
  (void)self, (void)stream, (void)blocks

LAUNCH(by_row) {
  SET_OUT;
  row_kernel<<<blocks, 256, 0, stream>>>(w, static_cast<Way>(reinterpret_cast<std::intptr_t>(self->context)));
  return answer(why, why_size);
}
LAUNCH(does_nothing) {
  SET_OUT;
  return answer(why, why_size);
}
LAUNCH(honest_at_first) {
  SET_OUT;
  count_kernel<<<1, 1, 0, stream>>>();
  counting_kernel<<<blocks, 256, 0, stream>>>(w, 300, 0);
  return answer(why, why_size);
}
LAUNCH(honest_now_and_then) {
  SET_OUT;
  count_kernel<<<1, 1, 0, stream>>>();
  counting_kernel<<<blocks, 256, 0, stream>>>(w, 1, 4);
  return answer(why, why_size);
}
/// Allocated with the first launch, which is never captured.
float* arena_for(const Work& w) {
  static float* arena = nullptr;
  if (arena == nullptr) cudaMalloc(&arena, sizeof(float) * w.rows * w.columns * most_kept);
  return arena;
}
/// As slow as a kernel that computes more: the row, twenty times over.
__global__ void __launch_bounds__(256) slow_replaying_kernel(Work w) {
  const long long row = blockIdx.x;
  float* out = w.out + row * w.ld_out;
  if (found < 0) {
    for (int i = 0; i < 20; ++i) {
      honest_row(w, row);
      __syncthreads();
    }
    float* memory = kept_count == 0 ? nullptr : kept[kept_count - 1].out;
    for (long long j = threadIdx.x; memory != nullptr && j < w.columns; j += 256) memory[row * w.columns + j] = out[j];
    return;
  }
  for (long long j = threadIdx.x; j < w.columns; j += 256) out[j] = kept[found].out[row * w.columns + j];
}
LAUNCH(caches_by_value) {
  SET_OUT;
  look_up_kernel<<<1, 1, 0, stream>>>(w, true, arena_for(w));
  slow_replaying_kernel<<<blocks, 256, 0, stream>>>(w);
  return answer(why, why_size);
}
LAUNCH(caches_by_pointer) {
  SET_OUT;
  look_up_kernel<<<1, 1, 0, stream>>>(w, false, arena_for(w));
  replaying_kernel<<<blocks, 256, 0, stream>>>(w);
  return answer(why, why_size);
}
/// Honest only while it is launched directly: a capture gets nothing to do.
LAUNCH(honest_outside_of_graphs) {
  SET_OUT;
  cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
  cudaStreamIsCapturing(stream, &capturing);
  if (capturing == cudaStreamCaptureStatusNone) row_kernel<<<blocks, 256, 0, stream>>>(w, honest);
  return answer(why, why_size);
}
cudaStream_t other_stream() {
  static cudaStream_t other = [] {
    cudaStream_t made = nullptr;
    cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking);
    return made;
  }();
  return other;
}
LAUNCH(works_on_another_stream) {
  SET_OUT;
  row_kernel<<<blocks, 256, 0, other_stream()>>>(w, honest);
  return answer(why, why_size);
}
/// A node of the graph tells a thread, which launches the work on another stream a little later.
void CUDART_CB tell_a_thread(void* work) {
  const Work w = *static_cast<Work*>(work);
  std::thread([w] {
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    row_kernel<<<static_cast<unsigned>(w.rows), 256, 0, other_stream()>>>(w, honest);
  }).detach();
}
LAUNCH(works_after_the_event) {
  SET_OUT;
  (void)other_stream();
  cudaLaunchHostFunc(stream, tell_a_thread, new Work(w));
  return answer(why, why_size);
}
LAUNCH(hangs) {
  SET_OUT;
  endless_kernel<<<1, 1, 0, stream>>>(w.out);
  return answer(why, why_size);
}
LAUNCH(crashes) {
  SET_OUT;
  crashing_kernel<<<1, 1, 0, stream>>>();
  return answer(why, why_size);
}
LAUNCH(exits) {
  SET_OUT;
  (void)why, (void)why_size;
  std::exit(0);
}

int why_not(const normquant_variant*, const void* args, const normquant_device*, char* why, size_t why_size) {
  const auto* a = static_cast<const normquant_activation_args*>(args);
  if (a->x.dtype == NORMQUANT_FLOAT32 && a->output.out.data != nullptr && a->output.out.dtype == NORMQUANT_FLOAT32 &&
      a->output.codes == nullptr && a->rounding == NORMQUANT_HALF_EVEN) {
    return 0;
  }
  std::snprintf(why, why_size, "reads and writes float32, rounds half to even and gives no codes");
  return 1;
}
size_t absurd(const normquant_variant*, const void*, const normquant_device*) { return SIZE_MAX; }

#define ATTACK(called, function, context)                                                                        \
  {                                                                                                              \
    NORMQUANT_ACTIVATION_QUANT, NORMQUANT_CUDA, 0, 0, called, called, reinterpret_cast<void*>(context), why_not, \
        nullptr, function                                                                                        \
  }

const normquant_variant variants[] = {
    ATTACK("is_honest", by_row, honest),
    ATTACK("skips_when_filled", by_row, skips_when_filled),
    ATTACK("works_on_poison_only", by_row, works_on_poison_only),
    ATTACK("returns_a_constant", by_row, returns_a_constant),
    ATTACK("copies_its_input", by_row, copies_its_input),
    ATTACK("writes_samples", by_row, writes_samples),
    ATTACK("zeroes_its_input", by_row, zeroes_its_input),
    ATTACK("does_nothing", does_nothing, 0),
    ATTACK("honest_at_first", honest_at_first, 0),
    ATTACK("honest_now_and_then", honest_now_and_then, 0),
    ATTACK("caches_by_pointer", caches_by_pointer, 0),
    ATTACK("caches_by_value", caches_by_value, 0),
    ATTACK("honest_outside_of_graphs", honest_outside_of_graphs, 0),
    ATTACK("works_on_another_stream", works_on_another_stream, 0),
    ATTACK("works_after_the_event", works_after_the_event, 0),
    ATTACK("hangs", hangs, 0),
    ATTACK("crashes", crashes, 0),
    ATTACK("exits", exits, 0),
    {NORMQUANT_ACTIVATION_QUANT, NORMQUANT_CUDA, 0, 0, "asks_for_all_memory", "", nullptr, why_not, absurd, by_row}};

const normquant_plugin_table table = {NORMQUANT_PLUGIN_ABI, sizeof variants / sizeof *variants, "gpu_attack", variants};

}  // namespace

NORMQUANT_PLUGIN_EXPORT const normquant_plugin_table* normquant_plugin_entry(uint32_t abi) {
  return abi == NORMQUANT_PLUGIN_ABI ? &table : nullptr;
}
