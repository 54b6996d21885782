// How much work the memory system of a GPU would have with what a launch does.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <string_view>
#include <unordered_map>

namespace normquant::host_exec::watch {

/// Accesses of whole warps to one kind of memory.
struct Requests {
  std::uint64_t warps = 0;      ///< instructions that a warp executes
  std::uint64_t sectors = 0;    ///< global memory: pieces of 32 bytes, each once an instruction
  std::uint64_t conflicts = 0;  ///< shared memory: passes beyond those that 32 banks of 4 bytes need anyway
};

/// Of one launch, or of several.
struct Counts {
  std::uint64_t launches = 0;
  Requests global_loads, global_stores, copies;  ///< copies: asynchronous ones, their global side
  Requests shared_loads, shared_stores;
  std::uint64_t remote_stores = 0;  ///< to another block's shared memory, warps
  std::uint64_t atomics = 0;        ///< warps
  std::uint64_t barriers = 0;       ///< of a block or a group of its warps, each counted for every warp
  std::uint64_t shuffles = 0;       ///< shuffles and reductions of warps
  std::uint64_t warp_barriers = 0;  ///< __syncwarp()
};

enum class Traffic { global_load, global_store, copy, shared_load, shared_store, remote_store, atomic };

/// Puts the accesses of single threads together to those of warps. A warp's lanes run one after the other here; the k-th time
/// that each comes to an instruction since the warp last met counts as one access of all of them, as hardware executes a warp
/// whose lanes have come together again.
class Counter {
 public:
  /// `lanes`: bits of the lanes that the warp has.
  void access(Traffic traffic, unsigned warp, unsigned lane, unsigned lanes, std::uint32_t place,
              std::uint32_t meetings, std::uint64_t address, unsigned bytes);
  void meeting(std::string_view what, std::size_t threads);
  void launch() { ++counts_.launches; }
  /// No access of the blocks that ran is missing any more.
  void blocks_end();

  const Counts& counts() const { return counts_; }

 private:
  struct Key {
    std::uint32_t place, meetings;
    unsigned warp;
    Traffic traffic;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& key) const {
      return (std::uint64_t{key.place} << 32 | key.meetings) * 0x9E3779B97F4A7C15ULL ^
             (std::uint64_t{key.warp} << 3 | static_cast<unsigned>(key.traffic)) * 0xBF58476D1CE4E5B9ULL;
    }
  };
  /// One instruction of a warp, whose lanes come one by one.
  struct Warp {
    unsigned lanes = 0;
    unsigned bytes = 0;
    std::array<std::uint64_t, 32> address = {};
  };
  void add(Traffic traffic, const Warp& warp);

  std::unordered_map<Key, std::deque<Warp>, KeyHash> open_;
  Counts counts_;
};

/// The launches of this OS thread are counted from now on, until counting_ends(), which says what they did.
void counting_begins();
Counts counting_ends();

}  // namespace normquant::host_exec::watch
