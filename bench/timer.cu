// Steady GPU time: launches back to back in a CUDA graph over rotated buffers, timed by CUDA events.
#include <algorithm>
#include <utility>

#include "bench/clock_check.hpp"
#include "bench/cuda_handles.hpp"
#include "bench/rotation.hpp"
#include "bench/timer.hpp"

namespace normquant::bench {
namespace {

constexpr double warm_up_us = 10'000;  // of replays before the first sample: clocks rise, lazy loading ends

class CudaTimer final : public Timer {
 public:
  explicit CudaTimer(Device& device) : device_(device) {}

  Status open() {
    if (Status status = device_.make_current(); !status.ok()) return status;
    NORMQUANT_TRY(cudaStreamCreateWithFlags(stream_.put(), cudaStreamNonBlocking));
    return {};
  }

  std::string_view time_kind() const override { return "steady"; }
  int launches_per_sample() const override { return launches_; }

  Status prepare(const Enqueue& enqueue, const LaunchPlan& plan) override {
    const int slots = plan.slots;
    extra_work_ = plan.extra_work.value_or(0);
    suspicious_ = plan.suspicious;
    replay_ = OwnedReplay();
    if (Status status = device_.synchronize(); !status.ok()) return status;  // buffers are filled on another stream
    // Directly once: a kernel's first launch loads its module, which a capture must not.
    if (Status status = enqueue(0, stream_.get()); !status.ok()) return status;
    NORMQUANT_TRY(cudaStreamSynchronize(stream_.get()));
    if (Status status = capture(enqueue, slots, std::max(1, plan.rounds)); !status.ok()) return status;
    if (plan.rounds > 0) return warm_up();
    double round_us = 0;
    if (Status status = time_replays(2, round_us); !status.ok()) return status;
    int rounds = rounds_per_replay(round_us, slots);
    if (plan.extra_work) rounds = std::max(rounds, (200 + slots - 1) / slots);
    if (suspicious_) rounds += rounds % 2;
    if (rounds > 1) {
      if (Status status = capture(enqueue, slots, rounds); !status.ok()) return status;
    }
    return warm_up();
  }

  // A suspicious batch is repeated when the clocks disagree: a host thread that was put aside looks like work elsewhere.
  Status measure(int count, std::vector<double>& microseconds) override {
    std::string disagreement;
    for (int attempt = 0; attempt < 3; ++attempt) {
      std::vector<double> batch;
      BatchClocks clocks;
      if (Status status = measure_batch(count, batch, clocks); !status.ok()) return status;
      disagreement = suspicious_ ? clocks_disagree(clocks) : std::string();
      if (!disagreement.empty()) continue;
      microseconds.insert(microseconds.end(), batch.begin(), batch.end());
      return {};
    }
    return Status::infrastructure(disagreement);
  }

  Status measure_once(double& microseconds) override {
    if (Status status = make_events(2); !status.ok()) return status;
    NORMQUANT_TRY(cudaEventRecord(events_[0].get(), stream_.get()));
    NORMQUANT_TRY(cudaGraphLaunch(replay_.get(), stream_.get()));
    NORMQUANT_TRY(cudaEventRecord(events_[1].get(), stream_.get()));
    NORMQUANT_TRY(cudaStreamSynchronize(stream_.get()));
    float milliseconds = 0;
    NORMQUANT_TRY(cudaEventElapsedTime(&milliseconds, events_[0].get(), events_[1].get()));
    microseconds = static_cast<double>(milliseconds) * 1e3 / launches_;
    return {};
  }

  Status run_for(double seconds, const std::function<void()>& meanwhile, double& microseconds) override {
    double replay_us = 0;
    if (Status status = time_replays(2, replay_us); !status.ok()) return status;
    const int replays = std::clamp(static_cast<int>(seconds * 1e6 / std::max(replay_us, 1.0)), 1, 100'000);
    const double start = seconds_now();
    for (int i = 0; i < replays; ++i) NORMQUANT_TRY(cudaGraphLaunch(replay_.get(), stream_.get()));
    meanwhile();
    NORMQUANT_TRY(cudaStreamSynchronize(stream_.get()));
    microseconds = (seconds_now() - start) * 1e6 / replays / launches_;
    return {};
  }

  Status run_once() override {
    if (Status status = device_.synchronize(); !status.ok()) return status;
    NORMQUANT_TRY(cudaGraphLaunch(replay_.get(), stream_.get()));
    NORMQUANT_TRY(cudaStreamSynchronize(stream_.get()));
    return {};
  }

 private:
  // replay | event replay event replay event ...: each replay is enqueued while an earlier one still runs, so that the
  // time between two events holds GPU work only.
  Status measure_batch(int count, std::vector<double>& microseconds, BatchClocks& clocks) {
    if (Status status = make_events(count + 1); !status.ok()) return status;
    const double start = seconds_now();
    NORMQUANT_TRY(cudaGraphLaunch(replay_.get(), stream_.get()));
    NORMQUANT_TRY(cudaEventRecord(events_[0].get(), stream_.get()));
    for (int i = 1; i <= count; ++i) {
      NORMQUANT_TRY(cudaGraphLaunch(replay_.get(), stream_.get()));
      NORMQUANT_TRY(cudaEventRecord(events_[i].get(), stream_.get()));
    }
    NORMQUANT_TRY(cudaStreamSynchronize(stream_.get()));
    if (suspicious_) {
      const double done = seconds_now();
      NORMQUANT_TRY(cudaDeviceSynchronize());
      clocks.wall_us = (done - start) * 1e6;
      clocks.tail_us = (seconds_now() - done) * 1e6;
    }
    float milliseconds = 0;
    for (int i = 1; i <= count; ++i) {
      NORMQUANT_TRY(cudaEventElapsedTime(&milliseconds, events_[i - 1].get(), events_[i].get()));
      microseconds.push_back(static_cast<double>(milliseconds) * 1e3 / launches_);
    }
    NORMQUANT_TRY(cudaEventElapsedTime(&milliseconds, events_[0].get(), events_[count].get()));
    clocks.event_us = static_cast<double>(milliseconds) * 1e3;
    return {};
  }

  /// Captures `rounds` rounds over all slots into replay_.
  Status capture(const Enqueue& enqueue, int slots, int rounds) {
    OwnedGraph graph;
    NORMQUANT_TRY(cudaStreamBeginCapture(stream_.get(), cudaStreamCaptureModeThreadLocal));
    const Status launched = enqueue_rounds(enqueue, slots, rounds);
    const cudaError_t ended = cudaStreamEndCapture(stream_.get(), graph.put());  // also after a failed launch
    if (!launched.ok()) return launched;
    if (Status status = status_of(ended, "cudaStreamEndCapture"); !status.ok()) return status;
    OwnedReplay replay;
    NORMQUANT_TRY(cudaGraphInstantiateWithFlags(replay.put(), graph.get(), 0));
    NORMQUANT_TRY(cudaGraphUpload(replay.get(), stream_.get()));
    replay_ = std::move(replay);
    launches_ = rounds * slots;
    return {};
  }

  Status enqueue_rounds(const Enqueue& enqueue, int slots, int rounds) {
    for (int i = 0; i < rounds * slots; ++i) {
      if (Status status = enqueue(i % slots, stream_.get()); !status.ok()) return status;
      if (extra_launches(i + 1, extra_work_) == extra_launches(i, extra_work_)) continue;
      if (Status status = enqueue((i + slots / 2) % slots, stream_.get()); !status.ok()) return status;
    }
    return {};
  }

  /// Microseconds of one replay, the shortest of `count`.
  Status time_replays(int count, double& microseconds) {
    std::vector<double> samples;
    if (Status status = measure(count, samples); !status.ok()) return status;
    microseconds = *std::min_element(samples.begin(), samples.end()) * launches_;
    return {};
  }

  Status warm_up() {
    for (double spent = 0; spent < warm_up_us;) {
      double replay_us = 0;
      if (Status status = time_replays(2, replay_us); !status.ok()) return status;
      spent += 3 * std::max(replay_us, shortest_replay_us / 10);
    }
    return {};
  }

  Status make_events(int count) {
    while (static_cast<int>(events_.size()) < count) {
      OwnedEvent event;
      NORMQUANT_TRY(cudaEventCreate(event.put()));
      events_.push_back(std::move(event));
    }
    return {};
  }

  Device& device_;
  OwnedStream stream_;
  OwnedReplay replay_;
  std::vector<OwnedEvent> events_;
  int launches_ = 1;
  double extra_work_ = 0;
  bool suspicious_ = false;
};

}  // namespace

std::unique_ptr<Timer> open_cuda_timer(Device& device, std::string& why) {
  auto timer = std::make_unique<CudaTimer>(device);
  if (Status status = timer->open(); !status.ok()) {
    why = status.message;
    return nullptr;
  }
  return timer;
}

}  // namespace normquant::bench
