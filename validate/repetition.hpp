// How many different rows a problem with many rows has.
#pragma once

#include <cstdint>

#include "validate/problem.hpp"

namespace normquant::validate {

/// The period with which the rows of a large problem repeat, to hand to prepare(). The reference
/// computes that many rows, and every later row must equal its first occurrence bit for bit.
///
/// The period is an odd prime times the period of the rows' alignment.
/// - The prime is 61 where that is not too costly. No tile or block size divides it, so a kernel
///   that takes one row for another is found out. Long rows get a smaller one, so that the
///   reference stays within some millions of elements.
/// - The alignment counts because a kernel may cut a row into packets where memory is aligned.
///   Equal rows that start differently against a multiple of 16 bytes are then summed in another
///   order, and their last bits may differ and still be right. Rows one period apart start alike in
///   every matrix of the problem.
std::int64_t distinct_rows(const Problem& problem);

}  // namespace normquant::validate
