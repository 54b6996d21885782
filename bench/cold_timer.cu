// Cold GPU time: one launch at a time, its buffers not in the L2, timed by CUDA events.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

#include "bench/clock_check.hpp"
#include "bench/cold_timer.hpp"
#include "bench/cuda_handles.hpp"
#include "bench/statistics.hpp"

namespace normquant::bench {
namespace {

/// Words that host and GPU share: `go` is set by the host, `timed_out` by the GPU.
struct Gate {
  volatile unsigned go;
  volatile unsigned timed_out;
};

/// Holds the stream until the host says go, so that everything behind it is enqueued before the first event; gives up
/// after `timeout_ns`, so that a host that died cannot leave the GPU spinning.
__global__ void hold_kernel(Gate* gate, unsigned long long timeout_ns) {
  unsigned long long start = 0, now = 0;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(start));
  while (gate->go == 0) {
    __nanosleep(200);
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    if (now - start > timeout_ns) {
      gate->timed_out = 1;
      return;
    }
  }
}

__global__ void empty_kernel() {}

double microseconds_now() {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class CudaColdTimer final : public ColdTimer {
 public:
  explicit CudaColdTimer(Device& device) : device_(device) {}

  Status open() {
    if (Status status = device_.make_current(); !status.ok()) return status;
    std::string why;
    flush_ = open_l2_flush(device_.info(), why);
    if (flush_ == nullptr) return Status::infrastructure("the memory that flushes the L2: " + why);
    NORMQUANT_TRY(cudaStreamCreateWithFlags(stream_.put(), cudaStreamNonBlocking));
    NORMQUANT_TRY(cudaHostAlloc(shared_.put(), sizeof(Gate), cudaHostAllocMapped));
    // Every kernel once, before one of them holds the stream: a kernel's first launch loads its module, which may wait.
    static_cast<Gate*>(shared_.get())->go = 1;
    if (Status status = enqueue_hold(longest_hold_s); !status.ok()) return status;
    if (Status status = flush_->enqueue(stream_.get()); !status.ok()) return status;
    empty_kernel<<<1, 32, 0, stream_.get()>>>();
    NORMQUANT_TRY(cudaStreamSynchronize(stream_.get()));
    const Enqueue nothing = [](int, Stream) { return Status{}; };
    const Enqueue empty = [](int, Stream stream) {
      empty_kernel<<<1, 32, 0, static_cast<cudaStream_t>(stream)>>>();
      return status_of(cudaGetLastError(), "empty kernel");
    };
    EventCosts costs;  // while they are taken, nothing is taken off
    if (Status status = median_of(nothing, costs.nothing_us); !status.ok()) return status;
    if (Status status = median_of(empty, costs.empty_us); !status.ok()) return status;
    costs_ = costs;
    return {};
  }

  std::string_view time_kind() const override { return "cold"; }
  int launches_per_sample() const override { return 1; }
  const EventCosts& costs() const override { return costs_; }

  Status prepare(const Enqueue& enqueue, const LaunchPlan& plan) override {
    enqueue_ = enqueue;
    slots_ = plan.slots;
    next_ = 0;
    if (Status status = device_.synchronize(); !status.ok()) return status;  // buffers are filled on another stream
    if (Status status = flush_->reset_persisting(); !status.ok()) return status;
    return run_once();  // a kernel's first launch loads its module
  }

  // A batch is repeated when the clocks disagree: a host thread that was put aside looks like work on another stream.
  Status measure(int count, std::vector<double>& microseconds) override {
    std::string disagreement;
    for (int attempt = 0; attempt < 3; ++attempt) {
      std::vector<double> batch;
      BatchClocks clocks;
      if (Status status = measure_batch(count, batch, clocks); !status.ok()) return status;
      disagreement = clocks_disagree(clocks);
      if (!disagreement.empty()) continue;
      for (double sample : batch) microseconds.push_back(std::max(sample - costs_.nothing_us, 1e-3));
      return {};
    }
    return Status::infrastructure(disagreement);
  }

  Status run_once() override {
    for (int slot = 0; slot < slots_; ++slot) {
      if (Status status = enqueue_(slot, stream_.get()); !status.ok()) return status;
    }
    NORMQUANT_TRY(cudaStreamSynchronize(stream_.get()));
    return {};
  }

  Status hold_without_go(double seconds, bool& timed_out) override {
    Gate& gate = *static_cast<Gate*>(shared_.get());
    gate.go = 0;
    gate.timed_out = 0;
    if (Status status = enqueue_hold(seconds); !status.ok()) return status;
    NORMQUANT_TRY(cudaStreamSynchronize(stream_.get()));
    timed_out = gate.timed_out != 0;
    return {};
  }

 private:
  /// The first samples of a process, in which clocks rise, do not count.
  Status median_of(const Enqueue& enqueue, double& microseconds) {
    std::vector<double> samples;
    if (Status status = prepare(enqueue, {}); !status.ok()) return status;
    if (Status status = measure(20, samples); !status.ok()) return status;
    samples.clear();
    for (int batch = 0; batch < 5; ++batch) {
      if (Status status = measure(20, samples); !status.ok()) return status;
    }
    microseconds = summarise(samples).median;
    return {};
  }

  Status enqueue_hold(double seconds) {
    void* on_device = nullptr;
    NORMQUANT_TRY(cudaHostGetDevicePointer(&on_device, shared_.get(), 0));
    hold_kernel<<<1, 1, 0, stream_.get()>>>(static_cast<Gate*>(on_device),
                                            static_cast<unsigned long long>(seconds * 1e9));
    NORMQUANT_TRY(cudaGetLastError());
    return {};
  }

  // hold | flush empty event launch event | flush empty event launch event ... | go
  Status measure_batch(int count, std::vector<double>& microseconds, BatchClocks& clocks) {
    while (static_cast<int>(events_.size()) < 2 * count) {
      OwnedEvent event;
      NORMQUANT_TRY(cudaEventCreate(event.put()));
      events_.push_back(std::move(event));
    }
    Gate& gate = *static_cast<Gate*>(shared_.get());
    gate.go = 0;
    gate.timed_out = 0;
    if (Status status = enqueue_hold(longest_hold_s); !status.ok()) return status;
    const Status enqueued = enqueue_samples(count);
    const double start = microseconds_now();
    gate.go = 1;  // also after a failure, or the stream would hold until its timeout
    if (!enqueued.ok()) {
      (void)cudaStreamSynchronize(stream_.get());
      return enqueued;
    }
    NORMQUANT_TRY(cudaStreamSynchronize(stream_.get()));
    const double done = microseconds_now();
    NORMQUANT_TRY(cudaDeviceSynchronize());
    clocks.wall_us = done - start;
    clocks.tail_us = microseconds_now() - done;
    if (gate.timed_out != 0) return Status::infrastructure("the launches of a batch could not be enqueued within 2 s");
    float milliseconds = 0;
    NORMQUANT_TRY(cudaEventElapsedTime(&milliseconds, events_[0].get(), events_[2 * count - 1].get()));
    clocks.event_us = static_cast<double>(milliseconds) * 1e3;
    for (int i = 0; i < count; ++i) {
      NORMQUANT_TRY(cudaEventElapsedTime(&milliseconds, events_[2 * i].get(), events_[2 * i + 1].get()));
      microseconds.push_back(static_cast<double>(milliseconds) * 1e3);
    }
    return {};
  }

  Status enqueue_samples(int count) {
    for (int i = 0; i < count; ++i, next_ = (next_ + 1) % slots_) {
      if (Status status = flush_->enqueue(stream_.get()); !status.ok()) return status;
      // Behind a long kernel the GPU has read the launch already when the event comes: the sample is 0.3 us shorter then.
      empty_kernel<<<1, 32, 0, stream_.get()>>>();
      NORMQUANT_TRY(cudaEventRecord(events_[2 * i].get(), stream_.get()));
      if (Status status = enqueue_(next_, stream_.get()); !status.ok()) return status;
      NORMQUANT_TRY(cudaEventRecord(events_[2 * i + 1].get(), stream_.get()));
    }
    return {};
  }

  static constexpr double longest_hold_s = 2;

  Device& device_;
  std::unique_ptr<L2Flush> flush_;
  OwnedStream stream_;
  OwnedPinned shared_;
  std::vector<OwnedEvent> events_;
  Enqueue enqueue_;
  int slots_ = 1;
  int next_ = 0;
  EventCosts costs_;
};

}  // namespace

std::unique_ptr<ColdTimer> open_cold_timer(Device& device, std::string& why) {
  auto timer = std::make_unique<CudaColdTimer>(device);
  if (Status status = timer->open(); !status.ok()) {
    why = status.message;
    return nullptr;
  }
  return timer;
}

}  // namespace normquant::bench
