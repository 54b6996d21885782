// What a check answers in words: `normquant check` prints it, and the Python package fails with it.
#pragma once

#include <string>
#include <vector>

#include "validate/check/check.hpp"

namespace normquant::check {

/// `op=norm_quant_forward shape=3x64 ...`; that of the norm alone is norm_quant_forward's without what it does not have.
std::string title_of(const Given& given);

/// A line for each checked tensor below a line of headings, and one for the outputs that were not given.
std::string tensor_table(const validate::Verdict& verdict, const Given& given);

/// `WRONG: ` and the first wrong elements.
std::string wrong_lines(const validate::Verdict& verdict);

/// `with --eps 1e-06 all of it would be right`, a line; empty without readings.
std::string readings_line(const std::vector<std::string>& readings);

/// How many elements were checked, and how many codes have two admissible values. A line.
std::string count_line(const validate::Verdict& verdict);

}  // namespace normquant::check
