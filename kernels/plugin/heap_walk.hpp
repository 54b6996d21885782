// Is the allocator's memory whole? What a plugin writes past its own blocks would else show during a later case, or never.
#pragma once

#include <cstddef>

namespace normquant::plugins {

/// Goes along the blocks of the C library's main heap by their sizes. glibc on 64-bit machines, where the heap is one piece; else,
/// and under a sanitizer, which looks for itself, it never finds anything.
class HeapWalk {
 public:
  /// Call before a plugin is loaded.
  HeapWalk();
  bool whole() const;

 private:
  const unsigned char* start_ = nullptr;  ///< of the first block; null: cannot be told
};

}  // namespace normquant::plugins
