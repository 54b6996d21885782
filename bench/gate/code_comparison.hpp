// The first step of `--against`: what needs no timing is set aside.
#pragma once

#include <string>
#include <vector>

#include "bench/gate/processes.hpp"
#include "reports/comparison.hpp"

namespace normquant::gate {

struct SetAside {
  std::vector<reports::Comparison> unchanged;  ///< cases taken out of the settings: SAME, without a time
  std::string note;                            ///< what was compared, or why it could not be; a sentence
};

/// Compares the code of both programs of the settings, and takes the cases that did not change out of them. With a reason why not, all
/// cases stay. `device` is one GPU.
SetAside set_unchanged_aside(ProcessSettings& settings, const std::string& device);

}  // namespace normquant::gate
