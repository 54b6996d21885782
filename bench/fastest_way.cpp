#include "bench/fastest_way.hpp"

#include <numeric>

#include "bench/rotation.hpp"
#include "bench/statistics.hpp"

namespace normquant::bench {
namespace {

/// Fewer samples than a case gets: the fastest of several ways is wanted, not each to half a percent.
constexpr SamplingRule way_rule{.relative_error = 0.005, .minimum = 10, .maximum = 60, .seconds = 0.1, .batch = 5};

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

/// The sets of buffers, one after another in the arena.
std::vector<std::vector<char*>> buffers_in(char* arena, const std::vector<std::int64_t>& buffer_bytes, int slots) {
  std::vector<std::vector<char*>> sets(static_cast<std::size_t>(slots));
  for (std::vector<char*>& set : sets) {
    for (const std::int64_t bytes : buffer_bytes) {
      set.push_back(arena);
      arena += aligned(bytes);
    }
  }
  return sets;
}

}  // namespace

Status median_time(const Enqueue& enqueue, int slots, Timer& timer, double& microseconds) {
  if (Status status = timer.prepare(enqueue, {slots, {}}); !status.ok()) return status;
  Sampling sampling;
  if (Status status = collect(timer, way_rule, 0, plain_surroundings(), sampling); !status.ok()) return status;
  microseconds = summarise(sampling.microseconds).median;
  return {};
}

Status time_ways(const Ways& ways, Device& device, Timer& timer, std::size_t free_bytes, WayTime& fastest) {
  const std::int64_t set_bytes =
      std::accumulate(ways.buffer_bytes.begin(), ways.buffer_bytes.end(), std::int64_t{0},
                      [](std::int64_t sum, std::int64_t bytes) { return sum + aligned(bytes); });
  // The first set needs memory, too: ask for slots in what is left after it.
  const auto set = static_cast<std::size_t>(set_bytes);
  const int slots =
      rotation_slots({ways.traffic, device.info().l2_bytes, set, free_bytes > set ? free_bytes - set : 0});
  std::string why;
  const Arena arena(device, set * static_cast<std::size_t>(slots), why);
  if (arena.data() == nullptr) return Status::infrastructure("no memory to measure the limit: " + why);
  if (Status status = ways.fill(arena.data(), set_bytes * slots, nullptr); !status.ok()) return status;
  if (Status status = device.synchronize(); !status.ok()) return status;
  const auto sets = buffers_in(arena.data(), ways.buffer_bytes, slots);
  fastest = {};
  for (int way = 0; way < ways.count; ++way) {
    const Enqueue enqueue = [&](int slot, Stream stream) {
      return ways.enqueue(way, sets[static_cast<std::size_t>(slot)], stream);
    };
    double microseconds = 0;
    if (Status status = median_time(enqueue, slots, timer, microseconds); !status.ok()) return status;
    if (way == 0 || microseconds < fastest.microseconds) fastest = {microseconds, ways.name(way)};
  }
  return {};
}

}  // namespace normquant::bench
