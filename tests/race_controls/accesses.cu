// Single accesses: what nothing wrote, beyond the end, misaligned, while an asynchronous copy is under way.
#include "controls.hpp"
#include "device/async_copy.cuh"
#include "device/platform.cuh"

namespace normquant::NORMQUANT_BACKEND {
namespace {

constexpr unsigned threads = 64;

__global__ void shared_unwritten(ControlMemory m) {
  float* slots = shared_memory<float>();
  if (threadIdx.x < 32) slots[threadIdx.x] = m.in[threadIdx.x];
  __syncthreads();
  m.out[threadIdx.x] = slots[threadIdx.x];
}

/// A word of which a part was written is read whole, and the rest is not used: what packets at a row's end are made of.
__global__ void shared_written_in_part(ControlMemory m) {
  float* slots = shared_memory<float>() + 4 * threadIdx.x;
  slots[0] = m.in[threadIdx.x];
  const uint4 word = *reinterpret_cast<const uint4*>(slots);
  m.out[threadIdx.x] = __uint_as_float(word.x);
}

/// One element too far.
__global__ void shared_past_the_end(ControlMemory m) {
  float* slots = shared_memory<float>();
  slots[threadIdx.x + (threadIdx.x == threads - 1 ? 1024 - threads + 1 : 0)] = m.in[threadIdx.x];
}
__global__ void global_past_the_end(ControlMemory m) {
  m.out[threadIdx.x] = m.in[ControlMemory::count - threads + 1 + threadIdx.x];
}
__global__ void global_before_the_begin(ControlMemory m) {
  m.out[static_cast<int>(threadIdx.x) - 1] = m.in[threadIdx.x];
}

/// Aligned to an element, not to the 16 bytes that are read.
__global__ void misaligned(ControlMemory m) {
  const uint4 word = reinterpret_cast<const uint4*>(m.in + 1)[threadIdx.x];
  m.out[threadIdx.x] = static_cast<float>(word.x ^ word.y ^ word.z ^ word.w);
}

enum class Reads { at_once, after_too_few, after_the_wait, by_another, by_another_after_a_barrier };

/// Two groups of one copy each; the first one's bytes are read.
template <Reads reads>
__global__ void copies(ControlMemory m) {
  float* slots = shared_memory<float>();
  AsyncCopies under_way;
  under_way.start(slots + 4 * threadIdx.x, m.in + 4 * threadIdx.x);
  under_way.end_group();
  under_way.start(slots + 4 * (threads + threadIdx.x), m.in + 4 * (threads + threadIdx.x));
  under_way.end_group();
  if (reads == Reads::after_too_few) under_way.wait<2>();
  if (reads != Reads::at_once && reads != Reads::after_too_few) under_way.wait<1>();
  if (reads == Reads::by_another_after_a_barrier) __syncthreads();
  const bool another = reads == Reads::by_another || reads == Reads::by_another_after_a_barrier;
  m.out[threadIdx.x] = slots[4 * (another ? (threadIdx.x + 32) % threads : threadIdx.x)];
  under_way.wait<0>();
}

template <void (*kernel)(ControlMemory)>
Status run(const ControlMemory& memory, Stream stream) {
  return launch_kernel(kernel, dim3{1, 1, 1}, dim3{threads, 1, 1}, std::size_t{4096}, stream, memory);
}

}  // namespace

std::vector<Control> controls_of_accesses() {
  return {
      {"shared_unwritten", "unwritten", run<shared_unwritten>},
      {"shared_written_in_part", "", run<shared_written_in_part>},
      {"shared_past_the_end", "out of bounds", run<shared_past_the_end>},
      {"global_past_the_end", "out of bounds", run<global_past_the_end>},
      {"global_before_the_begin", "out of bounds", run<global_before_the_begin>},
      {"misaligned", "misaligned", run<misaligned>},
      {"copy_read_at_once", "copy under way", run<copies<Reads::at_once>>},
      {"copy_waited_for_too_few", "copy under way", run<copies<Reads::after_too_few>>},
      {"copy_waited_for", "", run<copies<Reads::after_the_wait>>},
      {"copy_of_another_no_barrier", "race", run<copies<Reads::by_another>>},
      {"copy_of_another_barrier", "", run<copies<Reads::by_another_after_a_barrier>>},
  };
}

}  // namespace normquant::NORMQUANT_BACKEND
