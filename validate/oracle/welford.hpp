// Mean and variance of a row in float32 by Welford's updates, as frameworks' layer norms compute them.
#pragma once

#include "validate/oracle/evaluation.hpp"

namespace normquant::oracle {

struct MeanAndVariance {
  float mean = 0, var = 0;
};

/// The moments of h [N], in the order that style.moments says; it is not Moments::two_pass.
MeanAndVariance welford_moments(const FloatVector& h, const Style& style);

}  // namespace normquant::oracle
