// The waveform data of Breiman, Friedman, Olshen and Stone, "Classification and Regression Trees" (1984), section 2.6.2:
// three classes by a known rule, 40 features, the last 19 of them noise. The best possible classifier errs in 14%.
#pragma once

#include <cstdint>
#include <vector>

#include "reference/types.hpp"

namespace normquant::example {

inline constexpr std::int64_t waveform_features = 40, waveform_classes = 3;

/// Samples and their classes, drawn from the seed alone.
struct Waveforms {
  reference::Array samples;  ///< [count, waveform_features], rounded to float32
  std::vector<int> classes;
};

Waveforms draw_waveforms(std::int64_t count, std::uint64_t seed);

}  // namespace normquant::example
