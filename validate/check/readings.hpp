// Other readings of the same tensors, for an output that is wrong as the question stands.
#pragma once

#include <string>
#include <vector>

#include "validate/check/check.hpp"

namespace normquant::check {

/// Options with which every given output would be right, and would not only seem so because nothing can be told then: other
/// rounding, norm, source of h, algorithm, usual eps, y or each step in 16 bits, what the layer multiplies. "--eps 1e-06". One
/// change, or two where no single one does (not of the layer). Usual mistakes are among them, in words: "ties away from zero".
/// Empty when there are none. The question is left as it was.
std::vector<std::string> other_readings(Given& given, const Walk& walk);

}  // namespace normquant::check
