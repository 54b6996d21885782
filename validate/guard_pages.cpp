#include "validate/guard_pages.hpp"

#include <signal.h>  // NOLINT(modernize-deprecated-headers): sigaction is POSIX's
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <mutex>

namespace normquant::validate {
namespace {

/// What the handler knows of a piece of memory. It must not wait for anyone, so everything is atomic.
struct Slot {
  std::atomic<std::uintptr_t> begin = 0, end = 0;  ///< 0: the slot is free
  std::atomic<std::uintptr_t> touched = 0;         ///< the first address; 0: none
  std::atomic<std::uintptr_t> opened = 0;          ///< the last page that was opened for reading
  std::atomic<bool> written = false;
};
constexpr std::size_t most_pieces = 4096;
std::array<Slot, most_pieces> slots;
std::atomic<std::size_t> slots_used = 0;  ///< no later one was ever used
std::mutex taking_slots;

struct sigaction before_ours {};

std::size_t page_bytes() {
  static const auto bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}

/// The piece that a closed page belongs to; null: to none.
Slot* slot_beside(std::uintptr_t address) {
  for (std::size_t i = 0; i < slots_used; ++i) {
    Slot& slot = slots[i];
    const std::uintptr_t begin = slot.begin, end = slot.end;
    if (begin == 0 || address + GuardedMemory::closed_bytes < begin || address >= end + GuardedMemory::closed_bytes) {
      continue;
    }
    if (address < begin || address >= end) return &slot;
  }
  return nullptr;
}

/// Opens the page and lets the access happen again: for reading at first, so that a write comes here once more.
bool go_on(std::uintptr_t address) {
  Slot* const slot = slot_beside(address);
  if (slot == nullptr) return false;
  const std::uintptr_t page = address - address % page_bytes();
  const bool writes = slot->opened.exchange(page) == page;
  std::uintptr_t none = 0;
  slot->touched.compare_exchange_strong(none, address);
  if (writes && slot->touched == address) slot->written = true;
  return ::mprotect(reinterpret_cast<void*>(page), page_bytes(), writes ? PROT_READ | PROT_WRITE : PROT_READ) == 0;
}

/// Of SIGSEGV. What is not ours goes to whoever had the signal before.
void handle(int signal, siginfo_t* info, void*) {
  const int error = errno;
  const bool of_an_access = info->si_code > 0;
  if (!of_an_access || !go_on(reinterpret_cast<std::uintptr_t>(info->si_addr))) {
    (void)::sigaction(signal, &before_ours, nullptr);
    if (!of_an_access) (void)::raise(signal);
  }
  errno = error;
}

void install_once() {
  static std::once_flag once;
  std::call_once(once, [] {
    (void)page_bytes();
    struct sigaction ours {};
    ours.sa_sigaction = handle;
    ours.sa_flags = SA_SIGINFO;
    ::sigemptyset(&ours.sa_mask);
    (void)::sigaction(SIGSEGV, &ours, &before_ours);
  });
}

/// A free slot, which is `begin` to `end` from now on; most_pieces: there is none.
std::size_t take_slot(std::uintptr_t begin, std::uintptr_t end) {
  const std::lock_guard lock(taking_slots);
  std::size_t i = 0;
  while (i < slots_used && slots[i].begin != 0) ++i;
  if (i == most_pieces) return i;
  slots[i].touched = slots[i].opened = 0;
  slots[i].written = false;
  slots[i].end = end;
  slots[i].begin = begin;
  if (i == slots_used) slots_used = i + 1;
  return i;
}

}  // namespace

std::unique_ptr<GuardedMemory> GuardedMemory::allocate(std::size_t bytes, std::string& why) {
  install_once();
  const std::size_t whole = (bytes + page_bytes() - 1) / page_bytes() * page_bytes();
  void* const mapped = ::mmap(nullptr, whole + 2 * closed_bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped != MAP_FAILED) {
    std::unique_ptr<GuardedMemory> memory(new GuardedMemory(static_cast<unsigned char*>(mapped), whole));
    if (memory->slot_ < most_pieces && memory->close_pages()) return memory;
  }
  why = "out of memory: " + std::to_string(bytes) + " bytes between guard pages asked of the host";
  return nullptr;
}

GuardedMemory::GuardedMemory(unsigned char* mapped, std::size_t bytes)
    : begin_(mapped + closed_bytes),
      end_(begin_ + bytes),
      slot_(take_slot(reinterpret_cast<std::uintptr_t>(begin_), reinterpret_cast<std::uintptr_t>(end_))) {}

GuardedMemory::~GuardedMemory() {
  if (slot_ < most_pieces) slots[slot_].begin = 0;
  (void)::munmap(begin_ - closed_bytes, static_cast<std::size_t>(end_ - begin_) + 2 * closed_bytes);
}

bool GuardedMemory::close_pages() const {
  return ::mprotect(begin_ - closed_bytes, closed_bytes, PROT_NONE) == 0 &&
         ::mprotect(end_, closed_bytes, PROT_NONE) == 0;
}

std::optional<GuardedMemory::Touch> GuardedMemory::take_touch() {
  Slot& slot = slots[slot_];
  const std::uintptr_t address = slot.touched;
  if (address == 0) return {};
  const Touch touch{reinterpret_cast<const unsigned char*>(address), slot.written};
  (void)close_pages();
  slot.touched = slot.opened = 0;
  slot.written = false;
  return touch;
}

}  // namespace normquant::validate
