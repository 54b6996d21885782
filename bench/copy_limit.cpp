#include "bench/copy_limit.hpp"

#include <algorithm>
#include <bit>

#include "bench/rotation.hpp"

namespace normquant::bench {
namespace {

/// Fewer samples than a case gets: the fastest of several ways is wanted, not each to half a percent.
constexpr SamplingRule copy_rule{.relative_error = 0.005, .minimum = 10, .maximum = 60, .seconds = 0.1, .batch = 5};

/// Device memory for as long as it lives.
class Arena {
 public:
  Arena(Device& device, std::size_t bytes, std::string& why) : device_(device), data_(device.allocate(bytes, why)) {}
  ~Arena() {
    if (data_ != nullptr) device_.release(data_);
  }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  char* data() const { return static_cast<char*>(data_); }

 private:
  Device& device_;
  void* data_;
};

constexpr std::int64_t alignment = 256;  // of every buffer in the arena
std::int64_t aligned(std::int64_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }

}  // namespace

std::int64_t rounded_traffic(std::int64_t bytes) {
  constexpr std::int64_t unit = 32;  // half of it is one 16-byte vector
  if (bytes <= unit) return unit;
  const auto highest = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(bytes)));
  const std::int64_t step = std::max(unit, highest >> 8);  // 9 significant bits: the highest and 8 more
  return (bytes + step / 2) / step * step;
}

CopyLimit::CopyLimit(Device& device, Timer& timer, std::unique_ptr<Copier> copier, std::size_t (*free_bytes)())
    : device_(device), timer_(timer), copier_(std::move(copier)), free_bytes_(free_bytes) {}

Status CopyLimit::copy_time(std::int64_t bytes, CopyTime& fastest) {
  const std::int64_t traffic = rounded_traffic(bytes);
  if (const auto known = known_.find(traffic); known != known_.end()) {
    fastest = known->second;
    return {};
  }
  if (Status status = measure(traffic, fastest); !status.ok()) return status;
  known_.emplace(traffic, fastest);
  return {};
}

// The arena holds `slots` pairs (from, to) one after another.
Status CopyLimit::measure(std::int64_t bytes, CopyTime& fastest) {
  const std::int64_t half = bytes / 2;
  const std::int64_t pair = 2 * aligned(half);
  const std::size_t free = free_bytes_();
  // The first pair needs memory, too: ask for slots in what is left after it.
  const std::size_t left = free > static_cast<std::size_t>(pair) ? free - static_cast<std::size_t>(pair) : 0;
  const int slots = rotation_slots({bytes, device_.info().l2_bytes, static_cast<std::size_t>(pair), left});
  std::string why;
  const Arena arena(device_, static_cast<std::size_t>(pair * slots), why);
  if (arena.data() == nullptr) return Status::infrastructure("no memory to measure the copy limit: " + why);
  if (Status status = copier_->fill(arena.data(), pair * slots, nullptr); !status.ok()) return status;
  if (Status status = device_.synchronize(); !status.ok()) return status;
  fastest = {};
  for (int way = 0; way < copier_->ways(); ++way) {
    double microseconds = 0;
    if (Status status = time_way(way, arena.data(), half, slots, microseconds); !status.ok()) return status;
    if (way == 0 || microseconds < fastest.microseconds) fastest = {microseconds, copier_->name(way)};
  }
  return {};
}

Status CopyLimit::time_way(int way, char* arena, std::int64_t half, int slots, double& microseconds) {
  const std::int64_t buffer = aligned(half);
  const Enqueue copy = [this, way, arena, half, buffer](int slot, Stream stream) {
    const char* from = arena + 2 * buffer * slot;
    return copier_->enqueue(way, arena + 2 * buffer * slot + buffer, from, half, stream);
  };
  if (Status status = timer_.prepare(copy, {slots, {}}); !status.ok()) return status;
  Sampling sampling;
  if (Status status = collect(timer_, copy_rule, 0, plain_surroundings(), sampling); !status.ok()) return status;
  microseconds = summarise(sampling.microseconds).median;
  return {};
}

Status CopyLimit::launch_floor(double& microseconds) {
  const Enqueue nothing = [this](int, Stream stream) { return copier_->enqueue_nothing(stream); };
  if (Status status = timer_.prepare(nothing, {most_slots, {}}); !status.ok()) return status;
  Sampling sampling;
  if (Status status = collect(timer_, copy_rule, 0, plain_surroundings(), sampling); !status.ok()) return status;
  microseconds = summarise(sampling.microseconds).median;
  return {};
}

}  // namespace normquant::bench
