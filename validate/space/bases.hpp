// Problems that stand for a form: the tensors that kernels know of when they are compiled, and some that they ask for.
#pragma once

#include <string>
#include <vector>

#include "validate/problem.hpp"

namespace normquant::validate::space {

struct Base {
  std::string form;
  std::vector<Problem> problems;  ///< in every type of x; `any` also with other tensors
};

std::vector<Base> bases_of(Operation op);

/// Problems in which one thing is other than a known form wants it: for all variants, of which some serve that form alone.
std::vector<Problem> near_misses(Operation op, std::uint64_t seed);

/// Layer norm without weight and bias, for which kernels have ones and zeros, in two types of x.
std::vector<Problem> without_vectors(Operation op);

/// All that a base has, dense, but for one matrix whose rows have gaps: half a packet of 16-bit elements, and whole packets.
std::vector<Problem> gaps_of_one(Operation op, std::uint64_t seed);

/// For kinds of values that live in the bias, and outputs in both forms: of RMS and layer norm, with a bias, in every type of x.
std::vector<Problem> both_outputs_with_bias(Operation op, const Quantisation& quantisation);

}  // namespace normquant::validate::space
