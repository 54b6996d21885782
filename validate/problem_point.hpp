// Where a problem, known only as text, lies among the cells of a tuned table.
#pragma once

#include "kernels/choice/point.hpp"
#include "validate/problem.hpp"

namespace normquant::tune {

/// The point of the arguments that the problem is launched with.
choice::Point point_of(const validate::Problem& problem);

}  // namespace normquant::tune
