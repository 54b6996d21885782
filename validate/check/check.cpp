#include "validate/check/check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "validate/check/blocks.hpp"
#include "validate/summary.hpp"

namespace normquant::check {

validate::Verdict check(const Given& given, const Walk& walk) {
  Comparison comparison;
  switch (given.switches.op) {
    case Op::forward:
    case Op::norm: check_forward(given, walk, comparison); break;
    case Op::backward: check_backward(given, walk, comparison); break;
    case Op::activation_quant: check_activation(given, walk, comparison); break;
    case Op::weight_quant: check_weight(given, walk, comparison); break;
    case Op::layer_forward: check_layer_forward(given, walk, comparison); break;
    case Op::layer_backward: check_layer_backward(given, walk, comparison); break;
  }
  return comparison.verdict();
}

std::string undecided(const validate::Verdict& v) {
  const auto codes = static_cast<double>(v.codes_checked);
  const auto share = [&](double part) { return 100 * part / codes; };
  if (static_cast<double>(v.codes_open) > validate::most_ambiguous * codes) {
    return fmt::format(
        "the bounds do not decide {} of {} codes ({:.3g}%) even to within one: rows without variance, or so far "
        "from zero that float32 has no digits left for them",
        v.codes_open, v.codes_checked, share(static_cast<double>(v.codes_open)));
  }
  // Of random values that many lie next to a tie, give or take; more where the values of a 16-bit type recur: of weights near to
  // half their mean magnitude one number alone is 0.1%. Exact ties are apart, for no bound decides them.
  const auto loose = static_cast<double>(v.codes_ambiguous - v.codes_on_ties);
  const double most = v.ambiguous_expected + std::max(5 * std::sqrt(v.ambiguous_expected) + 3, 0.01 * codes);
  if (loose <= most) return {};
  return fmt::format(
      "{} of {} codes have two admissible values ({:.3g}%); of random values within these bounds {:.3g} would have",
      loose, v.codes_checked, share(loose), v.ambiguous_expected);
}

}  // namespace normquant::check
