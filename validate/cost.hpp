// What a run will take, before it starts: memory and time, roughly.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "validate/run.hpp"

namespace normquant::validate {

/// Estimates, right within a factor of two or three for large problems, which are the ones that matter.
struct Cost {
  double bytes = 0;    ///< of the CPU's memory
  double seconds = 0;  ///< of one core
};

/// Of one job alone: reference, tensors (on the host device) and their second copy; all variants that it names.
Cost cost_of(const Job& job);

/// Of all jobs by that many threads: as many of the largest at the same time.
Cost cost_of(const std::vector<Job>& jobs, int threads);

/// Bytes that this machine can still give to programs; 0 when it does not say.
double available_memory();

/// Why a run of that cost should not start here, with what to do; empty when it may.
std::string why_not_affordable(const Cost& cost, double available_bytes, double most_seconds);

}  // namespace normquant::validate
