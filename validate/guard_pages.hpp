// Memory of the host between pages that nobody may touch: whoever reads or writes beside it is noticed and goes on.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

namespace normquant::validate {

/// Owns the memory. An access to a page before or behind it is kept as a finding; the page is opened then, so that the program
/// goes on and what it computes can be compared as usual. The pages hold zeros.
class GuardedMemory {
 public:
  /// A megabyte on each side is closed; what lies farther is not watched.
  static constexpr std::size_t closed_bytes = std::size_t{1} << 20;

  /// At least `bytes` in whole pages; null with a sentence in `why` (it starts with "out of memory") when there are none.
  static std::unique_ptr<GuardedMemory> allocate(std::size_t bytes, std::string& why);
  ~GuardedMemory();
  GuardedMemory(const GuardedMemory&) = delete;
  GuardedMemory& operator=(const GuardedMemory&) = delete;

  unsigned char* begin() const { return begin_; }
  unsigned char* end() const { return end_; }

  struct Touch {
    const unsigned char* address;
    bool written;  ///< else it was only read
  };
  /// The first access to a closed page since the last call, which closes the pages again.
  std::optional<Touch> take_touch();

 private:
  GuardedMemory(unsigned char* mapped, std::size_t bytes);
  bool close_pages() const;

  unsigned char *begin_, *end_;
  std::size_t slot_;  ///< of the table that the signal's handler reads
};

}  // namespace normquant::validate
