#include "host/watch/clock.hpp"

#include <algorithm>

namespace normquant::host_exec::watch {
namespace {

std::shared_ptr<const Segment> joined(const std::shared_ptr<const Segment>& a,
                                      const std::shared_ptr<const Segment>& b) {
  if (a == b) return a;
  auto both = std::make_shared<Segment>(*a);
  for (std::size_t i = 0; i < both->size(); ++i) (*both)[i] = std::max((*both)[i], (*b)[i]);
  return both;
}

auto place_of(Clock& clock, std::uint32_t block) {
  return std::find_if(clock.blocks.begin(), clock.blocks.end(),
                      [&](const auto& entry) { return entry.first == block; });
}

}  // namespace

SharedClock joined(const SharedClock& a, const SharedClock& b) {
  if (a == b || b == nullptr) return a;
  if (a == nullptr) return b;
  auto both = std::make_shared<Clock>(*a);
  for (const auto& [block, segment] : b->blocks) {
    if (const auto mine = place_of(*both, block); mine != both->blocks.end()) {
      mine->second = joined(mine->second, segment);
    } else {
      both->blocks.emplace_back(block, segment);
    }
  }
  return both;
}

void Meeting::add(const Moment& moment, std::size_t threads, const SharedClock& seen) {
  moments_.push_back({moment, threads});
  // Neighbours mostly share theirs, so that looking at the last few finds it.
  const auto recent = seen_.size() < 4 ? seen_.begin() : seen_.end() - 4;
  if (seen != nullptr && std::find(recent, seen_.end(), seen) == seen_.end()) seen_.push_back(seen);
}

SharedClock Meeting::conclude() {
  std::sort(seen_.begin(), seen_.end());
  seen_.erase(std::unique(seen_.begin(), seen_.end()), seen_.end());
  SharedClock before;
  for (const SharedClock& one : seen_) before = joined(before, one);
  auto after = before == nullptr ? std::make_shared<Clock>() : std::make_shared<Clock>(*before);
  std::vector<std::pair<std::uint32_t, std::shared_ptr<Segment>>> changed;
  for (const Arrival& arrival : moments_) {
    const std::uint32_t block = arrival.moment.block;
    if (changed.empty() || changed.back().first != block) {
      const auto known = std::find_if(changed.begin(), changed.end(), [&](const auto& c) { return c.first == block; });
      if (known != changed.end()) {
        std::iter_swap(known, changed.end() - 1);
      } else {
        const auto old = place_of(*after, block);
        changed.emplace_back(block, old == after->blocks.end() ? std::make_shared<Segment>(arrival.threads, 0)
                                                               : std::make_shared<Segment>(*old->second));
      }
    }
    std::uint32_t& epoch = (*changed.back().second)[arrival.moment.thread];
    epoch = std::max(epoch, arrival.moment.epoch);
  }
  for (const auto& [block, segment] : changed) {
    if (const auto old = place_of(*after, block); old != after->blocks.end()) {
      old->second = segment;
    } else {
      after->blocks.emplace_back(block, segment);
    }
  }
  moments_.clear();
  seen_.clear();
  return after;
}

}  // namespace normquant::host_exec::watch
