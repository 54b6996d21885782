// Whether the conversion to fp8 e4m3 is right, for every float32 or, by --every N, for every N-th.
//
//   software     device/e4m3.cuh as the host device runs it, against the definition: the number with the least distance, of two
//                that with an even code, 448 beyond it, 0x7F for NaN
//   GPU          the instruction for pairs against the software; skipped, and said so, without a GPU
//
// Ends with 0 when all codes agree, 1 when some do not, 2 when it was called wrongly.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "device/e4m3.cuh"
#include "reference/types.hpp"
#if defined(NORMQUANT_WITH_CUDA)
#include "e4m3_on_gpu.hpp"
#endif

namespace normquant::e4m3_test {
namespace {

constexpr std::uint32_t infinity = 0x7f800000U, sign = 0x80000000U;

/// The codes of magnitudes in ascending order: which of the 127 numbers is the nearest.
class Ascending {
 public:
  std::uint8_t code(std::uint32_t magnitude) {
    if (magnitude > infinity) return 0x7F;
    const double value = std::bit_cast<float>(magnitude);
    while (below_ < 126 && (value > midpoint() || (value == midpoint() && below_ % 2 == 1))) ++below_;
    return static_cast<std::uint8_t>(below_);
  }

 private:
  double midpoint() const { return (reference::e4m3::of_bits(below_) + reference::e4m3::of_bits(below_ + 1)) / 2; }
  unsigned below_ = 0;
};

struct Count {
  std::uint64_t checked = 0, wrong = 0;
  std::uint32_t first_wrong = 0;
  void add(std::uint32_t bits, bool right) {
    ++checked;
    if (right) return;
    if (wrong++ == 0) first_wrong = bits;
  }
};

/// Magnitudes first, first + step, ... below `end`, and their negatives. The kernels' reading of codes is compared too.
Count check_software(std::uint64_t first, std::uint64_t end, std::uint64_t step) {
  Count count;
  Ascending definition;
  for (std::uint64_t i = first; i < end; i += step) {
    const auto magnitude = static_cast<std::uint32_t>(i);
    const std::uint8_t code = definition.code(magnitude);
    const std::uint8_t negative = code == 0x7F ? code : static_cast<std::uint8_t>(code | 0x80U);
    count.add(magnitude, host::e4m3_in_software(std::bit_cast<float>(magnitude)) == code);
    count.add(magnitude | sign, host::e4m3_in_software(std::bit_cast<float>(magnitude | sign)) == negative);
    for (const std::uint32_t bits : {magnitude, magnitude | sign}) {
      const float value = std::bit_cast<float>(bits);
      const float of_code = host::e4m3_value(host::e4m3_in_software(value));
      count.add(bits, std::bit_cast<std::uint32_t>(host::e4m3_rounded(value)) == std::bit_cast<std::uint32_t>(of_code));
    }
  }
  return count;
}

bool report(std::string_view what, const Count& count) {
  fmt::print("{}: {} floats, {} wrong\n", what, count.checked, count.wrong);
  if (count.wrong > 0) fmt::print("  the first: bits {:#010x}\n", count.first_wrong);
  return count.wrong == 0;
}

bool software_is_right(std::uint32_t every) {
  const unsigned threads = std::max(1U, std::thread::hardware_concurrency());
  std::vector<Count> counts(threads);
  std::vector<std::thread> running;
  for (unsigned t = 0; t < threads; ++t) {
    running.emplace_back([&, t] {
      const std::uint64_t share = (std::uint64_t{sign} / threads + every) / every * every;
      counts[t] = check_software(t * share, std::min<std::uint64_t>(sign, (t + 1) * share), every);
    });
  }
  Count all;
  for (unsigned t = 0; t < threads; ++t) {
    running[t].join();
    if (all.wrong == 0) all.first_wrong = counts[t].first_wrong;
    all.checked += counts[t].checked;
    all.wrong += counts[t].wrong;
  }
  Count values;
  for (unsigned code = 0; code < 256; ++code) {
    const double value = host::e4m3_value(static_cast<std::uint8_t>(code)), truth = reference::e4m3::of_bits(code);
    values.add(code,
               std::isnan(truth) ? std::isnan(value) : value == truth && std::signbit(value) == std::signbit(truth));
  }
  const bool codes_are_right = report("software, against the definition", all);
  return report("values of the 256 codes", values) && codes_are_right;
}

#if defined(NORMQUANT_WITH_CUDA)
bool gpu_is_right(std::uint32_t every) {
  Count count;
  constexpr std::uint64_t most = std::uint64_t{1} << 28, all = std::uint64_t{1} << 32;
  for (std::uint64_t first = 0; first < all; first += most * every) {
    const std::uint64_t left = (all - first + every - 1) / every;
    std::vector<std::uint8_t> codes(std::min(most, left));
    std::string why;
    if (!codes_on_gpu(static_cast<std::uint32_t>(first), every, codes, why)) {
      fmt::print("GPU: {}: {}\n", first == 0 ? "SKIPPED" : "failed", why);
      return first == 0 && why.find("differ") == std::string::npos;
    }
    for (std::uint64_t i = 0; i < codes.size(); ++i) {
      const auto bits = static_cast<std::uint32_t>(first + i * every);
      count.add(bits, host::e4m3_in_software(std::bit_cast<float>(bits)) == codes[i]);
    }
  }
  return report("GPU, against the software", count);
}
#else
bool gpu_is_right(std::uint32_t) {
  fmt::print("GPU: SKIPPED: this build has no CUDA\n");
  return true;
}
#endif

}  // namespace
}  // namespace normquant::e4m3_test

int main(int count, char** words) {
  std::uint32_t every = 1;
  if (count == 3 && std::string_view(words[1]) == "--every") {
    const std::string_view number(words[2]);
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), every);
    if (error != std::errc{} || end != number.data() + number.size()) every = 0;
  }
  if (every == 0 || (count != 1 && count != 3)) {
    fmt::print(stderr, "usage: e4m3_exhaustive [--every N]\n");
    return 2;
  }
  const bool software = normquant::e4m3_test::software_is_right(every);
  return normquant::e4m3_test::gpu_is_right(every) && software ? 0 : 1;
}
