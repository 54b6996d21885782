// The switches of a check from their words, as the command line and the Python package say them.
#pragma once

#include <optional>
#include <string>

#include "validate/check/given.hpp"

namespace normquant::check {

/// Empty: not said.
struct SwitchWords {
  std::string op, norm, rounding, h_source = "unrounded", algorithm = "any", y_type, arithmetic, packing = "normquant";
  std::optional<double> eps;
  std::string format = "int8";
  std::optional<double> static_scale, floor;
  std::string product = "any";
};

/// Every switch, explicit where a wrong guess would call a right output wrong. Throws a Refusal whose sentence names the option
/// (`--eps`) that is missing, or has no meaning for the operation.
Switches switches_of(const SwitchWords& words);

/// The options of `normquant check` that say the same: `--op forward --norm rms --eps 1e-06`.
std::string options_of(const SwitchWords& words);

}  // namespace normquant::check
