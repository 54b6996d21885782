#include "validate/space/bases.hpp"

#include <functional>

#include "validate/space/classes.hpp"
#include "validate/space/common_factors.hpp"

namespace normquant::validate::space {
namespace {

using Change = std::function<void(Problem&)>;

Base base(Operation op, std::string form, const std::vector<Change>& changes) {
  Base made{std::move(form), {}};
  for (const Change& change : changes) {
    for (DType x : {bf16, f32, f16}) {
      Problem p;
      p.op = op;
      p.x = x;
      p.out = x;
      if (op == Operation::activation_quant) p.rounding = Rounding::half_even;
      if (op == Operation::norm_quant_forward || op == Operation::norm_quant_backward) p.weight = x;
      if (op == Operation::norm_quant_backward) p.dy = x;
      change(p);
      made.problems.push_back(p);
    }
  }
  return made;
}

void plain(Problem&) {}
void layer(Problem& p) { p.norm = NormKind::layer, p.bias = p.x; }

std::vector<Base> forward_bases() {
  constexpr auto op = Operation::norm_quant_forward;
  return {base(op, "rms", {plain}), base(op, "rms_codes", {[](Problem& p) { p.codes = true, p.out.reset(); }}),
          base(op, "rms_residual", {[](Problem& p) { p.residual = p.x, p.residual_out = p.x; }}),
          base(op, "layer", {layer}),
          base(op, "any",
               {[](Problem& p) { p.norm = NormKind::layer, p.weight.reset(), p.out = other_than(p.x), p.codes = true; },
                [](Problem& p) {
                  p.weight = other_than(p.x), p.bias = other_than(p.x), p.residual = other_than(p.x);
                  p.residual_out = p.x == f32 ? bf16 : p.x, p.h_source = HSource::stored;
                },
                [](Problem& p) {
                  layer(p), p.residual = p.x, p.residual_out = p.x, p.codes = true, p.out.reset();
                  p.save_quant_scale = true;
                },
                [](Problem& p) { p.residual = p.x, p.codes = true; },
                [](Problem& p) { p.residual_out = other_than(p.x), p.without = {"rstd"}; }})};
}

std::vector<Base> backward_bases() {
  constexpr auto op = Operation::norm_quant_backward;
  return {base(op, "rms", {plain}), base(op, "rms_residual", {[](Problem& p) { p.dresidual = p.x; }}),
          base(op, "layer", {layer}), base(op, "rms_gradient", {[](Problem& p) { p.out.reset(); }}),
          base(op, "any",
               {[](Problem& p) { p.codes = true, p.dx_residual = p.x; },
                [](Problem& p) { p.norm = NormKind::layer, p.dresidual = p.x, p.save_quant_scale = true; },
                [](Problem& p) { p.weight.reset(), p.out.reset(); },
                [](Problem& p) { layer(p), p.dresidual = p.x, p.without = {"dweight"}; },
                [](Problem& p) {
                  p.dy = other_than(p.x), p.dresidual = other_than(p.x), p.weight = other_than(p.x);
                  p.dx_residual = other_than(p.x), p.with = {"dbias"};
                }})};
}

std::vector<Base> activation_bases() {
  return {base(Operation::activation_quant, "any",
               {plain, [](Problem& p) { p.codes = true, p.out.reset(); },
                [](Problem& p) { p.codes = true, p.out = other_than(p.x); }})};
}
std::vector<Base> no_bases() { return {}; }

}  // namespace

std::vector<Base> bases_of(Operation op) {
  static constexpr PerOperation<std::vector<Base> (*)()> bases = {forward_bases, backward_bases, activation_bases,
                                                                  no_bases,      no_bases,       no_bases};
  return bases[op]();
}

}  // namespace normquant::validate::space
