#include "plugin/heap_walk.hpp"

#include <malloc.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#if defined(__GLIBC__) && (defined(__x86_64__) || defined(__aarch64__)) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define NORMQUANT_WALKS_THE_HEAP
#endif

namespace normquant::plugins {
namespace {

#ifdef NORMQUANT_WALKS_THE_HEAP
constexpr std::size_t flags = 7, alignment = 16, smallest = 32;

const unsigned char* end_of_heap() { return static_cast<const unsigned char*>(sbrk(0)); }

/// Whether the blocks from `start` on lead to the end, as their sizes say. A block is its size, after 8 bytes that belong to the
/// one before; the last one is what is free.
bool leads_to_the_end(const unsigned char* start) {
  const unsigned char* const end = end_of_heap();
  for (const unsigned char* block = start; block < end && block + smallest <= end;) {
    std::size_t size = 0;
    std::memcpy(&size, block + sizeof size, sizeof size);
    size &= ~flags;
    if (size < smallest || size % alignment != 0 || size > static_cast<std::size_t>(end - block)) return false;
    block += size;
    if (block == end) return true;
  }
  return false;
}

/// Where the heap begins, as the system has it.
const unsigned char* start_of_heap() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("[heap]") == std::string::npos) continue;
    const auto address = static_cast<std::uintptr_t>(std::strtoull(line.c_str(), nullptr, 16));
    return reinterpret_cast<const unsigned char*>(address);
  }
  return nullptr;
}

/// A block that is given out now: what lies behind it can be looked at, where the beginning is not known.
const unsigned char* block_of_now() {
  constexpr std::size_t header = 16;
  static void* const block = std::malloc(1000);
  return static_cast<const unsigned char*>(block) - header;
}
#endif

}  // namespace

HeapWalk::HeapWalk() {
#ifdef NORMQUANT_WALKS_THE_HEAP
  const unsigned char* start = start_of_heap();
  if (start == nullptr || !leads_to_the_end(start)) start = block_of_now();
  if (leads_to_the_end(start)) start_ = start;
#endif
}

bool HeapWalk::whole() const {
#ifdef NORMQUANT_WALKS_THE_HEAP
  return start_ == nullptr || leads_to_the_end(start_);
#else
  return true;
#endif
}

}  // namespace normquant::plugins
