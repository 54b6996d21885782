// What a watcher found, as sentences.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "host/host_exec/cuda_on_host.hpp"
#include "host/watch/memory.hpp"
#include "host/watch/places.hpp"

namespace normquant::host_exec::watch {

enum class Mistake {
  race,        ///< two threads touch a byte, one of them writes, and nothing orders them
  unwritten,   ///< a read of what nothing wrote
  outside,     ///< beyond the ends of a piece of memory
  misaligned,  ///< an access of 2, 4, 8 or 16 bytes at an address that is no multiple of it
  copying,     ///< what an asynchronous copy still writes
  barriers     ///< threads of a block in one barrier at different places
};

/// One of two accesses: by which thread, from where.
struct Access {
  dim3 block, thread;
  std::uint32_t place = 0;
  bool writes = false, atomic = false;
  std::size_t bytes = 0;
};

struct Finding {
  Mistake mistake = Mistake::race;
  Access access;
  Access other;  ///< of a race: what came first
  Space space = Space::global;
  std::int64_t offset = 0;       ///< of the first byte that is concerned, in its piece of memory
  std::size_t memory_bytes = 0;  ///< of that piece
  bool ended = false;            ///< shared memory of a block that has ended
};

/// Keeps one finding of a kind for every pair of places, and the first few of all.
class Findings {
 public:
  void add(const Finding& finding);
  /// The sentences, and how many more there were; empty afterwards.
  std::vector<std::string> take(const Places& places);

 private:
  static constexpr std::size_t most = 12;
  std::set<std::tuple<Mistake, std::uint32_t, std::uint32_t>> known_;
  std::vector<Finding> findings_;
  std::size_t left_out_ = 0;
};

}  // namespace normquant::host_exec::watch
