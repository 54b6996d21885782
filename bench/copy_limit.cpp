#include "bench/copy_limit.hpp"

#include <algorithm>
#include <bit>

#include "bench/rotation.hpp"

namespace normquant::bench {

std::int64_t rounded_traffic(std::int64_t bytes) {
  constexpr std::int64_t unit = 32;  // half of it is one 16-byte vector
  if (bytes <= unit) return unit;
  const auto highest = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(bytes)));
  const std::int64_t step = std::max(unit, highest >> 8);  // 9 significant bits: the highest and 8 more
  return (bytes + step / 2) / step * step;
}

CopyLimit::CopyLimit(Device& device, Timer& timer, std::unique_ptr<Copier> copier, std::size_t (*free_bytes)())
    : device_(device), timer_(timer), copier_(std::move(copier)), free_bytes_(free_bytes) {}

Status CopyLimit::copy_time(std::int64_t bytes, WayTime& fastest) {
  const std::int64_t traffic = rounded_traffic(bytes), half = traffic / 2;
  if (const auto known = known_.find(traffic); known != known_.end()) {
    fastest = known->second;
    return {};
  }
  Ways ways;
  ways.count = copier_->ways();
  ways.buffer_bytes = {half, half};
  ways.traffic = traffic;
  ways.name = [this](int way) { return copier_->name(way); };
  ways.enqueue = [this, half](int way, const std::vector<char*>& buffers, Stream stream) {
    return copier_->enqueue(way, buffers[1], buffers[0], half, stream);
  };
  ways.fill = [this](void* memory, std::int64_t size, Stream stream) { return copier_->fill(memory, size, stream); };
  if (Status status = time_ways(ways, device_, timer_, free_bytes_(), fastest); !status.ok()) return status;
  known_.emplace(traffic, fastest);
  return {};
}

Status CopyLimit::launch_floor(double& microseconds) {
  const Enqueue nothing = [this](int, Stream stream) { return copier_->enqueue_nothing(stream); };
  return median_time(nothing, most_slots, timer_, microseconds);
}

}  // namespace normquant::bench
