// Any text as a problem: refused with a sentence, or the same problem again from its own text; and every honest float32
// evaluation of a small one stays inside the bounds.
#include <cstdio>
#include <cstdlib>

#include "validate/oracle/tightness.hpp"
#include "validate/problem.hpp"

using namespace normquant::validate;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::string why;
  const auto problem = parse_problem(text, why);
  if (!problem) {
    if (why.empty()) std::abort();
    return 0;
  }
  const auto again = parse_problem(to_text(*problem), why);
  if (!again || *again != *problem) std::abort();
  if (problem->rows > 3 || problem->columns > 40) return 0;
  for (const auto& nearest : normquant::oracle::nearest_of(*problem)) {
    if (nearest.outside == 0) continue;
    std::fprintf(stderr, "%s of %s: %g of the bound, %s\n", nearest.tensor.c_str(), to_text(*problem).c_str(),
                 nearest.worst, nearest.worst_style.c_str());
    std::abort();
  }
  return 0;
}
