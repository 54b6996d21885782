// A name that nothing is called by is mostly a slip of the finger.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace normquant::output {

/// The name that `word` was most likely meant to be: the nearest by insertions, deletions, changes and swaps of neighbours, at
/// most one for every three characters. Empty when none is near.
std::string closest(std::string_view word, const std::vector<std::string>& names);

/// `; did you mean 'forward'?`, to be put behind a sentence; empty when nothing is near.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& names);

}  // namespace normquant::output
