#include "examples/waveforms.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <random>

namespace normquant::example {
namespace {

/// Numbers whose sequence does not depend on the standard library: its distributions are free to differ.
class Numbers {
 public:
  explicit Numbers(std::uint64_t seed) : generator_(seed) {}
  double uniform() { return static_cast<double>(generator_() >> 11) * 0x1p-53; }
  double normal() {  // Box and Muller 1958
    const double u = 1 - uniform();
    return std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * uniform());
  }

 private:
  std::mt19937_64 generator_;
};

/// A triangle of height 6 and half width 6 around that place, 1 to 21.
double triangle(int place, int centre) { return std::max(6 - std::abs(place - centre), 0); }

}  // namespace

Waveforms draw_waveforms(std::int64_t count, std::uint64_t seed) {
  constexpr int shaped = 21;
  // Each class mixes two of the triangles around 7, 15 and 11.
  constexpr int first[] = {7, 7, 15}, second[] = {15, 11, 11};
  Numbers numbers(seed);
  Waveforms waveforms{reference::Array(count, waveform_features), {}};
  for (Eigen::Index i = 0; i < count; ++i) {
    const int which = std::min(static_cast<int>(numbers.uniform() * waveform_classes), 2);
    const double share = numbers.uniform();
    for (int j = 0; j < waveform_features; ++j) {
      const int place = j + 1;
      double value = numbers.normal();
      if (place <= shaped) {
        value += share * triangle(place, first[which]) + (1 - share) * triangle(place, second[which]);
      }
      waveforms.samples(i, j) = static_cast<float>(value);
    }
    waveforms.classes.push_back(which);
  }
  return waveforms;
}

}  // namespace normquant::example
