// The verdict on given outputs.
#pragma once

#include "validate/check/given.hpp"
#include "validate/verdict.hpp"

namespace normquant::check {

/// Compares every given output with the reference of the given inputs, some rows at a time.
validate::Verdict check(const Given& given);

}  // namespace normquant::check
