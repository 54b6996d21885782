#include "host/watch/memory.hpp"

#include <algorithm>

#include "host/watch/events.hpp"

namespace normquant::host_exec::watch {

std::unique_ptr<Region::Page> Region::new_page(std::size_t number) const {
  auto page = std::make_unique<Page>();
  auto range = written_.upper_bound(number);
  if (range != written_.begin() && number < (--range)->second) {
    for (Cell& cell : *page) cell.state = ByteState::written;
  }
  return page;
}

void Region::find_page(std::size_t number) {
  auto& page = pages_[number];
  if (page == nullptr) page = new_page(number);
  last_number_ = number;
  last_page_ = page.get();
}

void Region::set(std::size_t offset, std::size_t count, ByteState state) {
  const std::size_t end = std::min(offset + count, bytes);
  const auto one_by_one = [&](std::size_t from, std::size_t to) {
    for (; from < to; ++from) {
      Cell& one = cell(from);
      forget_readers(one);
      one = Cell{};
      one.state = state;
    }
  };
  // Whole pages need no cells until a kernel touches them.
  const std::size_t first = (offset + page_bytes - 1) / page_bytes,
                    last = end == bytes ? (end + page_bytes - 1) / page_bytes : end / page_bytes;
  if (first >= last) return one_by_one(offset, end);
  one_by_one(offset, first * page_bytes);
  one_by_one(std::min(last * page_bytes, end), end);
  last_page_ = nullptr;
  for (auto page = pages_.begin(); page != pages_.end();) {
    if (page->first < first || page->first >= last) {
      ++page;
      continue;
    }
    for (Cell& one : *page->second) forget_readers(one);
    page = pages_.erase(page);
  }
  // Cut [first, last) out of the written ranges, then put it back where it is written.
  for (auto range = written_.begin(); range != written_.end();) {
    const auto [from, to] = *range;
    if (to <= first || from >= last) {
      ++range;
      continue;
    }
    range = written_.erase(range);
    if (from < first) written_[from] = first;
    if (to > last) range = written_.emplace(last, to).first;
  }
  if (state == ByteState::written) written_[first] = last;
}

std::vector<Readers>& Region::more_of(Cell& cell) {
  if (cell.more_readers == 0) {
    if (unused_more_.empty()) {
      more_.emplace_back();
      cell.more_readers = static_cast<std::uint32_t>(more_.size());
    } else {
      cell.more_readers = unused_more_.back();
      unused_more_.pop_back();
    }
  }
  return more_[cell.more_readers - 1];
}

void Region::forget_readers(Cell& cell) {
  cell.readers.lanes = 0;
  if (cell.more_readers == 0) return;
  more_[cell.more_readers - 1].clear();
  unused_more_.push_back(cell.more_readers);
  cell.more_readers = 0;
}

GlobalMemory& GlobalMemory::instance() {
  static GlobalMemory memory;
  return memory;
}

void GlobalMemory::add(std::uintptr_t begin, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  ++version_;
  regions_[begin] = std::make_unique<Region>(Space::global, begin, bytes);
}

void GlobalMemory::remove(std::uintptr_t begin) {
  const std::lock_guard lock(mutex_);
  ++version_;
  regions_.erase(begin);
}

Region* GlobalMemory::near(std::uintptr_t address) {
  const std::lock_guard lock(mutex_);
  auto after = regions_.upper_bound(address + zone_bytes);
  if (after == regions_.begin()) return nullptr;
  // The last region that begins at most zone_bytes behind the address; the one before it may hold the address.
  Region* found = nullptr;
  for (int looked_at = 0; looked_at < 2; ++looked_at) {
    Region& region = *(--after)->second;
    if (region.holds(address)) return &region;
    if (found == nullptr && address + zone_bytes >= region.begin &&
        address < region.begin + region.bytes + zone_bytes) {
      found = &region;
    }
    if (after == regions_.begin()) break;
  }
  return found;
}

}  // namespace normquant::host_exec::watch
