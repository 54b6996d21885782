// The model of the problem space: one table an operation.
#pragma once

#include "validate/space/covering.hpp"

namespace normquant::validate::space {

/// Everything that problems of the operation can differ in but what belongs to single variants (classes.hpp).
Table table_of(Operation op);

/// Names of the tensors that lie in memory on their own, inputs first.
const std::vector<std::string>& tensors_of(Operation op);

/// Levels of where tensors lie: dense, padded, off by one; all alike, inputs or outputs alone, each tensor alone.
Factor placements(Operation op);

/// Levels of where a page that nobody may touch lies beside the tensors.
Factor guard_pages();

}  // namespace normquant::validate::space
