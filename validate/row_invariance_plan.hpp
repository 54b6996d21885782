// Which cases of a run also compare their rows with those of other problems.
#pragma once

#include <cstdint>
#include <vector>

#include <normquant/device.hpp>

#include "validate/run.hpp"

namespace normquant::validate {

/// Rows of about so many columns show most for their time: several warps, several packets a thread.
inline constexpr std::int64_t telling_columns = 1024;

/// How often a variant that promises to keep rows' bits is asked for it.
enum class Proofs {
  once_a_norm,          ///< of each norm, at one type, float32 where that is served: smoke, and --shape
  once_a_form_and_type  ///< of each form that kernels are compiled for, and each type of x
};

/// Fills Job::compare_rows: of the cases that a variant serves the one whose rows come nearest to telling_columns. `device` is what
/// all jobs run on.
void ask_for_row_invariance(std::vector<Job>& jobs, const DeviceInfo& device, Proofs proofs);

/// The same for every case and variant: of problems that were named one by one.
void ask_for_row_invariance_everywhere(std::vector<Job>& jobs);

}  // namespace normquant::validate
