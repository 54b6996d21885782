// What ends a command early: thrown where a wish cannot be met, printed at the top of the program and nowhere else.
#pragma once

#include <string>

namespace normquant {

struct Refusal {
  int status;            ///< of exit_status.hpp; never exit_pass
  std::string sentence;  ///< what was wrong, and what to do
};

}  // namespace normquant
