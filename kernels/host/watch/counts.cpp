#include "host/watch/counts.hpp"

#include <algorithm>
#include <vector>

namespace normquant::host_exec::watch {
namespace {

constexpr unsigned sector_bytes = 32, banks = 32, bank_bytes = 4, lanes_of_a_warp = 32;

/// Pieces of `piece` bytes that lanes [first, last) touch, each once.
std::vector<std::uint64_t> pieces(unsigned lanes, const std::array<std::uint64_t, 32>& address, unsigned bytes,
                                  unsigned piece, unsigned first, unsigned last) {
  std::vector<std::uint64_t> all;
  for (unsigned lane = first; lane < last; ++lane) {
    if ((lanes >> lane & 1U) == 0) continue;
    for (std::uint64_t p = address[lane] / piece; p <= (address[lane] + bytes - 1) / piece; ++p) all.push_back(p);
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

/// Passes that shared memory needs for one instruction beyond one for each group of lanes: a pass serves every bank once, and
/// accesses of 8 or 16 bytes go 16 or 8 lanes at a time.
std::uint64_t conflicts_of(unsigned lanes, const std::array<std::uint64_t, 32>& address, unsigned bytes) {
  const unsigned together = std::min(lanes_of_a_warp, banks * bank_bytes / std::max(bytes, bank_bytes));
  std::uint64_t conflicts = 0;
  for (unsigned first = 0; first < lanes_of_a_warp; first += together) {
    std::array<std::uint64_t, banks> words = {};
    for (std::uint64_t word : pieces(lanes, address, bytes, bank_bytes, first, first + together)) ++words[word % banks];
    const std::uint64_t passes = *std::max_element(words.begin(), words.end());
    if (passes > 1) conflicts += passes - 1;
  }
  return conflicts;
}

}  // namespace

void Counter::access(Traffic traffic, unsigned warp, unsigned lane, unsigned lanes, std::uint32_t place,
                     std::uint32_t meetings, std::uint64_t address, unsigned bytes) {
  std::deque<Warp>& open = open_[{place, meetings, warp, traffic}];
  auto mine = std::find_if(open.begin(), open.end(), [&](const Warp& w) { return (w.lanes >> lane & 1U) == 0; });
  if (mine == open.end()) mine = open.insert(open.end(), Warp{});
  mine->lanes |= 1U << lane;
  mine->bytes = std::max(mine->bytes, bytes);
  mine->address[lane] = address;
  if (mine->lanes != lanes) return;
  add(traffic, *mine);  // all lanes: it is the oldest of those that are open
  open.erase(mine);
}

void Counter::add(Traffic traffic, const Warp& warp) {
  const auto requests = [&](Requests& of, bool global) {
    ++of.warps;
    if (global) {
      of.sectors += pieces(warp.lanes, warp.address, warp.bytes, sector_bytes, 0, lanes_of_a_warp).size();
    } else {
      of.conflicts += conflicts_of(warp.lanes, warp.address, warp.bytes);
    }
  };
  switch (traffic) {
    case Traffic::global_load: return requests(counts_.global_loads, true);
    case Traffic::global_store: return requests(counts_.global_stores, true);
    case Traffic::copy: return requests(counts_.copies, true);
    case Traffic::shared_load: return requests(counts_.shared_loads, false);
    case Traffic::shared_store: return requests(counts_.shared_stores, false);
    case Traffic::remote_store: ++counts_.remote_stores; return;
    case Traffic::atomic: ++counts_.atomics; return;
  }
}

void Counter::meeting(std::string_view what, std::size_t threads) {
  const std::size_t warps = (threads + lanes_of_a_warp - 1) / lanes_of_a_warp;
  if (what == "__syncwarp") {
    ++counts_.warp_barriers;
  } else if (what == "__syncthreads" || what == "a group barrier") {
    counts_.barriers += warps;
  } else {
    ++counts_.shuffles;
  }
}

void Counter::blocks_end() {
  for (const auto& [key, open] : open_) {
    for (const Warp& warp : open) add(key.traffic, warp);
  }
  open_.clear();
}

}  // namespace normquant::host_exec::watch
