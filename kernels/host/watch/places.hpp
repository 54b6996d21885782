// Places in the code of kernels: an instruction, and the calls that led to it.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace normquant::host_exec::watch {

/// Numbers places as they come. Number 0 is no place.
class Places {
 public:
  /// The call from `from`, within the call `caller` (0: the outermost).
  std::uint32_t call(std::uint32_t caller, const void* from) { return number_of(caller, from); }
  /// The instruction before `after`, within that call.
  std::uint32_t instruction(std::uint32_t call, const void* after) { return number_of(call, after); }

  /// "norm_quant_forward_one_pass.cu:120", with ", in element.cuh:62" where the instruction is in what that line calls.
  /// Needs addr2line (binutils) and the kernels' line tables; says the address where there are none.
  std::string text(std::uint32_t place) const;

 private:
  struct Place {
    std::uint32_t caller = 0;
    const void* after = nullptr;
  };
  std::uint32_t number_of(std::uint32_t caller, const void* after) {
    // A kernel is at the same few hundred places all the time.
    const std::uint64_t key = reinterpret_cast<std::uintptr_t>(after) * 0x9E3779B97F4A7C15ULL ^ caller;
    Recent& recent = recent_[(key ^ key >> 32) % recent_.size()];
    if (recent.key != key) recent = {key, look_up(key, caller, after)};
    return recent.number;
  }
  std::uint32_t look_up(std::uint64_t key, std::uint32_t caller, const void* after);

  struct Recent {
    std::uint64_t key = 0;
    std::uint32_t number = 0;
  };
  std::vector<Recent> recent_ = std::vector<Recent>(8192);
  std::vector<Place> places_ = {Place{}};
  std::unordered_map<std::uint64_t, std::uint32_t> numbers_;
};

}  // namespace normquant::host_exec::watch
