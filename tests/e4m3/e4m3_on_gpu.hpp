// The codes that the first GPU's conversion gives.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace normquant::e4m3_test {

/// The codes of the floats whose bits are first, first + step, ...: one for each element of `codes`. Floats are converted in pairs,
/// each once as the first of a pair and once as the second; `codes` are those of the first. False, and why in a sentence,
/// where there is no GPU, something failed, or the places of a pair differ.
bool codes_on_gpu(std::uint32_t first, std::uint32_t step, std::vector<std::uint8_t>& codes, std::string& why);

}  // namespace normquant::e4m3_test
