#include "bench/stream_limit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <numeric>

namespace normquant::bench {

std::optional<SharedOut> shared_out(const std::vector<MovedMatrix>& matrices, std::string& why) {
  if (matrices.empty() || matrices.size() > SharedOut::most) {
    why = fmt::format("streams are of 1 to {} matrices, and the problem has {}", SharedOut::most, matrices.size());
    return std::nullopt;
  }
  const auto by_bytes = [](const MovedMatrix& a, const MovedMatrix& b) { return a.bytes < b.bytes; };
  const std::int64_t largest = std::max_element(matrices.begin(), matrices.end(), by_bytes)->bytes;
  SharedOut shared;
  shared.packets = largest / SharedOut::largest_packet;
  for (const MovedMatrix& matrix : matrices) {
    const std::int64_t times = matrix.bytes > 0 ? largest / matrix.bytes : 0;
    if (times * matrix.bytes != largest || times > SharedOut::largest_packet ||
        !std::has_single_bit(static_cast<std::uint64_t>(times))) {
      why = fmt::format("its matrices cannot be moved in step: one has {} bytes, another {}", largest, matrix.bytes);
      return std::nullopt;
    }
    shared.matrix[shared.count++] = {nullptr, static_cast<int>(SharedOut::largest_packet / times), matrix.written};
  }
  return shared;
}

StreamLimit::StreamLimit(Device& device, Timer& timer, std::unique_ptr<Mover> mover, std::size_t (*free_bytes)())
    : device_(device), timer_(timer), mover_(std::move(mover)), free_bytes_(free_bytes) {}

Status StreamLimit::time(std::vector<MovedMatrix> matrices, WayTime& fastest) {
  std::sort(matrices.begin(), matrices.end());  // their order does not matter
  if (const auto known = known_.find(matrices); known != known_.end()) {
    fastest = known->second;
    return {};
  }
  std::string why;
  const std::optional<SharedOut> shared = shared_out(matrices, why);
  if (!shared) return Status::unsupported(why);
  Ways ways;
  ways.count = mover_->ways();
  for (const MovedMatrix& matrix : matrices) {
    ways.buffer_bytes.push_back(matrix.bytes);
    ways.traffic += matrix.bytes;
  }
  ways.name = [this](int way) { return mover_->name(way); };
  ways.enqueue = [this, &shared](int way, const std::vector<char*>& buffers, Stream stream) {
    SharedOut placed = *shared;
    for (int i = 0; i < placed.count; ++i) {
      placed.matrix[i].data = reinterpret_cast<unsigned char*>(buffers[static_cast<std::size_t>(i)]);
    }
    return mover_->enqueue(way, placed, stream);
  };
  ways.fill = [this](void* memory, std::int64_t size, Stream stream) { return mover_->fill(memory, size, stream); };
  if (Status status = time_ways(ways, device_, timer_, free_bytes_(), fastest); !status.ok()) return status;
  known_.emplace(std::move(matrices), fastest);
  return {};
}

}  // namespace normquant::bench
