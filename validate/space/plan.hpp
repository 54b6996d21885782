// The suites, drawn from the model.
#pragma once

#include "validate/space/cells.hpp"
#include "validate/suite.hpp"

namespace normquant::validate::space {

/// The cases of a suite on a device. A smaller suite's are a larger one's too, problem by problem and variant by variant.
std::vector<Case> cases_of(Operation op, SuiteSize size, std::uint64_t seed, const DeviceInfo& device);

}  // namespace normquant::validate::space
