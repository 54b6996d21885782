// Each access, byte by byte, against what was done there before.
#include <algorithm>

#include "host/watch/events.hpp"
#include "host/watch/watcher.hpp"

namespace normquant::host_exec::watch {
namespace {

/// Readers of a byte that are remembered beside the first. Shared memory is small, and all are; global memory is read by whole
/// grids, of which a few stand for all.
constexpr std::size_t most_readers(Space space) { return space == Space::shared ? 4096 : 3; }

dim3 index_of(std::uint32_t number, const dim3& extent) {
  return {number % extent.x, number / extent.x % extent.y, number / (extent.x * extent.y)};
}

}  // namespace

Access Watcher::other_access(std::uint32_t block, unsigned thread, std::uint32_t place) const {
  Access access;
  access.block = index_of(block - first_block_, shape_.grid);
  access.thread = index_of(thread, shape_.block);
  access.place = place;
  return access;
}

Finding Watcher::finding_at(const Region& region, std::int64_t offset, std::size_t bytes, Kind kind,
                            std::uint32_t place) {
  Finding finding;
  finding.access = other_access(state().block, current_->number, place);
  finding.access.writes = kind != Kind::read;
  finding.access.atomic = kind == Kind::atomic;
  finding.access.bytes = bytes;
  finding.space = region.space;
  finding.offset = offset;
  finding.memory_bytes = region.bytes;
  finding.ended = region.ended;
  return finding;
}

bool Watcher::is_past(const Moment& moment) {
  if (moment.block - first_block_ >= blocks_) return true;  // of an earlier launch, or nobody
  const ThreadState& me = state();
  if (moment.block == me.block && moment.thread == current_->number) return true;
  return me.seen != nullptr && me.seen->has_seen(moment);
}

bool Watcher::are_past(const Readers& readers, unsigned& one_that_is_not) {
  for (unsigned lanes = readers.lanes; lanes != 0; lanes &= lanes - 1) {
    const unsigned thread = readers.warp * warp_size + static_cast<unsigned>(__builtin_ctz(lanes));
    if (is_past({readers.block, thread, readers.epoch})) continue;
    one_that_is_not = thread;
    return false;
  }
  return true;
}

Region* Watcher::region_near(std::uintptr_t address) {
  const auto is_near = [&](const Region& region) {
    return address + zone_bytes >= region.begin && address < region.begin + region.bytes + zone_bytes;
  };
  if (current_->block->rank < shared_.size() && is_near(shared_[current_->block->rank])) {
    return &shared_[current_->block->rank];
  }
  GlobalMemory& global = GlobalMemory::instance();
  if (last_version_ != global.version()) {
    last_version_ = global.version();
    last_global_.fill(nullptr);
    elsewhere_.fill(0);
  }
  const std::uintptr_t line = address / 64;
  if (elsewhere_[line % elsewhere_.size()] == line) return nullptr;
  for (Region* region : last_global_) {
    if (region != nullptr && region->holds(address)) return region;
  }
  for (Region& region : shared_) {
    if (is_near(region)) return &region;
  }
  Region* const region = global.near(address);
  if (region != nullptr) {
    last_global_[next_global_++ % last_global_.size()] = region;
  } else if (global.near(address / 64 * 64) == nullptr && global.near(address / 64 * 64 + 63) == nullptr) {
    elsewhere_[line % elsewhere_.size()] = line;
  }
  return region;
}

void Watcher::access(std::uintptr_t address, std::size_t bytes, Kind kind, bool must_be_aligned, const void* from) {
  Region* const region = region_near(address);
  if (region == nullptr) return;
  const std::uint32_t place = place_of(from);
  const auto offset = static_cast<std::int64_t>(address - region->begin);
  const auto found = [&](Mistake mistake) {
    Finding finding = finding_at(*region, offset, bytes, kind, place);
    finding.mistake = mistake;
    findings_.add(finding);
  };
  if (region->ended || !region->holds(address) || !region->holds(address + bytes - 1)) return found(Mistake::outside);
  if (must_be_aligned && address % bytes != 0) {
    found(Mistake::misaligned);
    // The processor would stop the program there.
    if (bytes == 16) stop_this_thread("a misaligned access of 16 bytes");
  }
  if (counter_ != nullptr && !counted_already_) {
    const bool remote = region->space == Space::shared && region->block != state().block;
    const bool global = region->space == Space::global;
    count(kind == Kind::atomic ? Traffic::atomic
          : kind == Kind::read ? (global ? Traffic::global_load : Traffic::shared_load)
          : remote             ? Traffic::remote_store
                               : (global ? Traffic::global_store : Traffic::shared_store),
          address, bytes, place);
  }
  if (kind == Kind::atomic) release_and_acquire(*region, static_cast<std::size_t>(offset));
  touch(*region, static_cast<std::size_t>(offset), bytes, kind, place);
}

/// Blocks of a cluster run side by side: their warps are numbered one after the other.
void Watcher::count(Traffic traffic, std::uintptr_t address, std::size_t bytes, std::uint32_t place) {
  const auto threads = static_cast<unsigned>(current_->block->threads.size());
  const unsigned warps = (threads + warp_size - 1) / warp_size, warp = current_->number / warp_size;
  const unsigned left = threads - warp * warp_size;
  const unsigned lanes = left >= warp_size ? ~0U : (1U << left) - 1;
  counter_->access(traffic, current_->block->rank * warps + warp, current_->number % warp_size, lanes, place,
                   state().meetings, address, static_cast<unsigned>(bytes));
}

bool Watcher::check_write_before(const Cell& cell, Kind kind, Finding& finding) {
  if (kind == Kind::atomic && cell.atomic) return true;
  if (is_past({cell.block, cell.thread, cell.epoch})) return true;
  finding.mistake = Mistake::race;
  finding.other = other_access(cell.block, cell.thread, cell.place);
  finding.other.writes = true;
  finding.other.atomic = cell.atomic;
  return false;
}

/// Reads before a write; atomic operations before a plain read. Atomic operations are among the readers, so that all of them
/// are remembered and not the last alone.
bool Watcher::check_readers(Region& region, Cell& cell, Kind kind, Finding& finding) {
  const auto check = [&](const Readers& readers) {
    if (kind == Kind::atomic && readers.atomic) return true;
    if (kind == Kind::read && !readers.atomic) return true;
    unsigned thread = 0;
    if (are_past(readers, thread)) return true;
    finding.mistake = Mistake::race;
    finding.other = other_access(readers.block, thread, readers.place);
    finding.other.atomic = readers.atomic;
    return false;
  };
  if (cell.readers.lanes == 0) return true;
  if (!check(cell.readers)) return false;
  if (cell.more_readers == 0) return true;
  const std::vector<Readers>& more = region.more_of(cell);
  return std::all_of(more.begin(), more.end(), check);
}

void Watcher::add_reader(Region& region, Cell& cell, bool atomic, std::uint32_t place) {
  const ThreadState& me = state();
  const auto warp = static_cast<std::uint16_t>(current_->number / warp_size);
  const unsigned lane = 1U << current_->number % warp_size;
  const auto is_mine = [&](const Readers& r) {
    return r.block == me.block && r.warp == warp && r.epoch == me.epoch && r.place == place && r.atomic == atomic;
  };
  const Readers mine = {me.block, me.epoch, lane, place, warp, atomic};
  if (cell.readers.lanes != 0 && is_mine(cell.readers)) {
    cell.readers.lanes |= lane;
    return;
  }
  // Those whom this one has overtaken need no memory: whoever comes after this one comes after them.
  unsigned thread = 0;
  if (cell.readers.lanes == 0 || (cell.readers.atomic == atomic && are_past(cell.readers, thread))) {
    cell.readers = mine;
    return;
  }
  std::vector<Readers>& more = region.more_of(cell);
  for (Readers& one : more) {
    if (is_mine(one)) {
      one.lanes |= lane;
      return;
    }
    if (one.atomic == atomic && are_past(one, thread)) {
      one = mine;
      return;
    }
  }
  if (more.size() < most_readers(region.space)) {
    more.push_back(mine);
  } else {
    more[++replaced_ % more.size()] = mine;
  }
}

void Watcher::touch(Region& region, std::size_t offset, std::size_t bytes, Kind kind, std::uint32_t place) {
  // A packet at a row's end is read whole, and what is not the row's is not used: it is no mistake that nothing wrote that.
  bool unwritten = kind != Kind::write;
  for (std::size_t at = offset; unwritten && at < offset + bytes; ++at) {
    unwritten = region.cell(at).state == ByteState::unwritten;
  }
  bool found = false;  // one finding an access is enough
  for (std::size_t at = offset; at < offset + bytes; ++at) {
    Cell& cell = region.cell(at);
    if (!found) {
      Finding finding = {};
      if (cell.state == ByteState::copying) {
        found = true;
        finding.mistake = Mistake::copying;
        finding.other = other_access(cell.block, cell.thread, cell.place);
      } else if (unwritten) {
        found = true;
        finding.mistake = Mistake::unwritten;
      } else {
        found = !check_write_before(cell, kind, finding) || !check_readers(region, cell, kind, finding);
      }
      if (found) {
        const Finding here = finding_at(region, static_cast<std::int64_t>(at), bytes, kind, place);
        finding.access = here.access;
        finding.space = here.space;
        finding.offset = here.offset;
        finding.memory_bytes = here.memory_bytes;
        finding.ended = here.ended;
        findings_.add(finding);
      }
    }
    if (kind == Kind::read) {
      add_reader(region, cell, false, place);
      continue;
    }
    if (kind == Kind::write) region.forget_readers(cell);
    if (kind == Kind::atomic) add_reader(region, cell, true, place);
    cell.block = state().block;
    cell.thread = static_cast<std::uint16_t>(current_->number);
    cell.epoch = state().epoch;
    cell.place = place;
    cell.state = ByteState::written;
    cell.atomic = kind == Kind::atomic;
  }
}

void Watcher::stores_for_block(std::uintptr_t address, std::size_t bytes, const void* from) {
  if (counter_ != nullptr) count(Traffic::remote_store, address, bytes, place_of(from));
  counted_already_ = true;
  access(address, bytes, Kind::write, true, from);
  counted_already_ = false;
}

void Watcher::copy_begins(std::uintptr_t to, std::uintptr_t from_global, const void* from) {
  if (counter_ != nullptr) count(Traffic::copy, from_global, 16, place_of(from));
  counted_already_ = true;
  access(from_global, 16, Kind::read, true, from);
  access(to, 16, Kind::write, true, from);
  counted_already_ = false;
  Region* const region = region_near(to);
  if (region == nullptr || !region->holds(to) || !region->holds(to + 15)) return;
  for (std::size_t i = 0; i < 16; ++i) region->cell(to - region->begin + i).state = ByteState::copying;
}

void Watcher::copy_ends(std::uintptr_t to) {
  Region* const region = region_near(to);
  if (region == nullptr || !region->holds(to) || !region->holds(to + 15)) return;
  for (std::size_t i = 0; i < 16; ++i) {
    Cell& cell = region->cell(to - region->begin + i);
    cell.state = ByteState::written;
    cell.epoch = state().epoch;  // it is this thread's write, done now
    cell.block = state().block;
    cell.thread = static_cast<std::uint16_t>(current_->number);
  }
}

void memory_is_allocated(const void* begin, std::size_t bytes) {
  GlobalMemory::instance().add(reinterpret_cast<std::uintptr_t>(begin), bytes);
}
void memory_is_released(const void* begin) { GlobalMemory::instance().remove(reinterpret_cast<std::uintptr_t>(begin)); }
namespace {
void set(const void* begin, std::size_t bytes, ByteState state) {
  const auto address = reinterpret_cast<std::uintptr_t>(begin);
  Region* const region = GlobalMemory::instance().near(address);
  if (region != nullptr && region->holds(address)) region->set(address - region->begin, bytes, state);
}
}  // namespace
void is_written(const void* begin, std::size_t bytes) { set(begin, bytes, ByteState::written); }
void is_lost(const void* begin, std::size_t bytes) { set(begin, bytes, ByteState::unwritten); }

}  // namespace normquant::host_exec::watch
