// The gate with processes on the GPU of this machine.
#pragma once

#include "bench/gate/ci_output.hpp"
#include "bench/gate/gate_options.hpp"
#include "bench/gate/qualification.hpp"

namespace normquant::gate {

struct AgainstResult {
  GateReport report;
  bool wrong = false;  ///< the program to judge gave wrong results
};

/// `--against`. Throws a bench::Refusal when a program cannot be built or run.
AgainstResult compare_programs(const GateOptions& options);

/// `--qualify`: prints what was found and stores it. Returns the exit status; throws a bench::Refusal.
int qualify_this_gpu(const GateOptions& options);

}  // namespace normquant::gate
