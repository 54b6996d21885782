// Memory that kernels share, and for each of its bytes who touched it last.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "host/watch/clock.hpp"

namespace normquant::host_exec::watch {

/// Threads of one warp that read a byte in one epoch from one place, and have not been overtaken by a later write.
struct Readers {
  std::uint32_t block = 0, epoch = 0, lanes = 0;  ///< lanes: a bit each
  std::uint32_t place = 0;
  std::uint16_t warp = 0;
  bool atomic = false;
};

enum class ByteState : std::uint8_t {
  unwritten,
  written,
  copying  ///< an asynchronous copy to it is under way
};

/// A byte: its last write, and the reads since.
struct Cell {
  std::uint32_t block = 0, epoch = 0, place = 0;  ///< of the write; place 0: not by a kernel
  std::uint16_t thread = 0;
  ByteState state = ByteState::unwritten;
  bool atomic = false;             ///< the write was
  Readers readers;                 ///< the first; lanes 0: none
  std::uint32_t more_readers = 0;  ///< 1 + index of the others in the region; 0: none
};

enum class Space { shared, global };

/// A piece of memory with zones of zone_bytes on both sides, which belong to nobody.
class Region {
 public:
  Region(Space where, std::uintptr_t first, std::size_t size) : space(where), begin(first), bytes(size) {}

  const Space space;
  const std::uintptr_t begin;
  const std::size_t bytes;
  std::uint32_t block = 0;  ///< shared memory: whose
  bool ended = false;       ///< and that block has ended
  /// What was fenced before atomic operations at an offset, in the launch that began with block `released_in`.
  std::unordered_map<std::size_t, SharedClock> released;
  std::uint32_t released_in = 0;
  /// Where asynchronous copies of 16 bytes under way were begun, by offset.
  std::unordered_map<std::size_t, std::uint32_t> copies;

  bool holds(std::uintptr_t address) const { return address - begin < bytes; }
  Cell& cell(std::size_t offset) {
    if (offset / page_bytes != last_number_ || last_page_ == nullptr) find_page(offset / page_bytes);
    return (*last_page_)[offset % page_bytes];
  }
  /// The bytes become as they are after a write by nobody, or as good as never written.
  void set(std::size_t offset, std::size_t count, ByteState state);

  /// The readers of a cell beyond the first.
  std::vector<Readers>& more_of(Cell& cell);
  void forget_readers(Cell& cell);

 private:
  static constexpr std::size_t page_bytes = 1024;
  using Page = std::array<Cell, page_bytes>;
  std::unique_ptr<Page> new_page(std::size_t number) const;
  void find_page(std::size_t number);

  std::size_t last_number_ = 0;  ///< of the page that cell() answered from last
  Page* last_page_ = nullptr;
  std::unordered_map<std::size_t, std::unique_ptr<Page>> pages_;
  std::map<std::size_t, std::size_t>
      written_;  ///< page ranges [first, last) that are written where there is no page yet
  std::vector<std::vector<Readers>> more_;
  std::vector<std::uint32_t> unused_more_;
};

/// The global memory of all host devices of the process.
class GlobalMemory {
 public:
  static GlobalMemory& instance();
  void add(std::uintptr_t begin, std::size_t bytes);
  void remove(std::uintptr_t begin);
  /// The region around the address or near it, zones included; null where there is none.
  Region* near(std::uintptr_t address);
  /// Changes whenever a region comes or goes.
  std::uint64_t version() const { return version_.load(std::memory_order_acquire); }

 private:
  std::atomic<std::uint64_t> version_ = 0;
  std::mutex mutex_;
  std::map<std::uintptr_t, std::unique_ptr<Region>> regions_;
};

}  // namespace normquant::host_exec::watch
