#include "validate/space/bases.hpp"

#include <functional>
#include <optional>

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

/// Codes alone, of that format and scale.
Change with_codes(const Quantisation& quantisation) {
  return [quantisation](Problem& p) { p.quantisation = quantisation, p.codes = true, p.out.reset(); };
}

std::vector<Base> forward_bases() {
  constexpr auto op = Operation::norm_quant_forward;
  return {
      base(op, "rms", {plain}),
      base(op, "rms_codes", {[](Problem& p) { p.codes = true, p.out.reset(); }}),
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
            [](Problem& p) { p.residual_out = other_than(p.x), p.without = {"rstd"}; }}),
      base(op, "rms_other_codes",
           {with_codes(fp8), with_codes(static_fp8), with_codes(static_int8), with_codes({.floor = 0.5F})}),
      base(op, "any_other",
           {[](Problem& p) { p.residual = p.residual_out = p.x, p.quantisation = fp8, p.codes = true, p.out.reset(); },
            [](Problem& p) { layer(p), p.quantisation = static_fp8, p.codes = true; },
            [](Problem& p) { p.weight.reset(), p.quantisation = static_int8; },
            [](Problem& p) {
              p.weight = p.bias = other_than(p.x), p.quantisation = fp8, p.out = other_than(p.x);
              p.save_quant_scale = true;
            }})};
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
                [](Problem& p) { p.codes = true, p.out = other_than(p.x); }}),
          base(Operation::activation_quant, "any_other",
               {with_codes(fp8), with_codes(static_fp8), with_codes(static_int8),
                [](Problem& p) { p.quantisation = fp8, p.codes = true, p.out = other_than(p.x); },
                [](Problem& p) { p.quantisation = {.floor = 0.5F}; }})};
}
std::vector<Base> no_bases() { return {}; }

}  // namespace

std::vector<Base> bases_of(Operation op) {
  static constexpr PerOperation<std::vector<Base> (*)()> bases = {forward_bases, backward_bases, activation_bases,
                                                                  no_bases,      no_bases,       no_bases};
  return bases[op]();
}

std::vector<Problem> near_misses(Operation op, std::uint64_t seed) {
  const Change changes[] = {
      [](Problem& p) { p.dy = other_than(p.x); },
      [](Problem& p) { p.dx = other_than(p.x); },
      [](Problem& p) { p.weight = other_than(p.x); },
      [](Problem& p) { p.weight.reset(); },
      [](Problem& p) { p.bias = p.bias ? std::nullopt : std::optional(p.x); },
      [](Problem& p) { p.bias = other_than(p.x); },
      [](Problem& p) { p.out = other_than(p.x); },
      [](Problem& p) { p.out.reset(), p.codes = p.op == Operation::norm_quant_forward; },
      [](Problem& p) { p.codes = true; },
      [](Problem& p) { p.norm = NormKind::layer, p.without = {"dbias"}; },
      [](Problem& p) { p.norm = NormKind::rms; },
      [](Problem& p) { p.with = {"dbias"}; },
      [](Problem& p) { p.dresidual = p.dresidual ? other_than(p.x) : p.x; },
      [](Problem& p) { p.dx_residual = p.x; },
      [](Problem& p) { p.residual = p.residual ? other_than(p.x) : p.x; },
      [](Problem& p) { p.residual_out = p.residual_out ? other_than(p.x) : p.x; },
      [](Problem& p) { p.residual.reset(); },
      [](Problem& p) { p.residual_out.reset(); },
  };
  std::vector<Problem> all;
  for (const Base& base : bases_of(op)) {
    if (base.form.starts_with("any")) continue;
    for (const Change& change : changes) {
      Problem p = base.problems.front();
      p.rows = 2, p.columns = 72, p.seed = seed;
      change(p);
      if (op == Operation::norm_quant_forward) p.dy.reset(), p.dx.reset(), p.dresidual.reset(), p.dx_residual.reset();
      if (op == Operation::norm_quant_forward) p.with.clear(), p.without.clear();
      if (op == Operation::norm_quant_backward) p.residual.reset(), p.residual_out.reset();
      if (!p.bias) p.without.erase("dbias");
      if (p.bias) p.with.erase("dbias");
      all.push_back(p);
    }
  }
  return all;
}

std::vector<Problem> without_vectors(Operation op) {
  std::vector<Problem> problems;
  if (op != Operation::norm_quant_forward && op != Operation::norm_quant_backward) return problems;
  for (const Base& one : bases_of(op)) {
    if (one.form != "rms") continue;
    for (Problem p : one.problems) {
      if (p.x == f16) continue;
      p.norm = NormKind::layer, p.weight.reset();
      problems.push_back(p);
    }
  }
  return problems;
}

std::vector<Problem> gaps_of_one(Operation op, std::uint64_t seed) {
  std::vector<Problem> problems;
  for (const Base& base : bases_of(op)) {
    Problem p = base.problems.front();
    p.rows = 3, p.columns = 72, p.seed = seed;
    std::vector<std::string> matrices = {op == Operation::norm_quant_backward ? "h" : "x"};
    const auto add = [&](const char* name, bool given) {
      if (given) matrices.emplace_back(name);
    };
    const bool backward = op == Operation::norm_quant_backward;
    add("dy", backward), add("dx", backward), add("out", p.out.has_value()), add("codes", p.codes);
    add("residual", p.residual.has_value()), add("residual_out", p.residual_out.has_value());
    add("dresidual", p.dresidual.has_value()), add("dx_residual", p.dx_residual.has_value());
    for (const std::string& matrix : matrices) {
      for (std::int64_t gap : {4, 16}) {
        p.paddings = {{matrix, gap}};
        problems.push_back(p);
      }
    }
  }
  return problems;
}

std::vector<Problem> both_outputs_with_bias(Operation op, const Quantisation& quantisation) {
  std::vector<Problem> problems;
  for (const Base& one : bases_of(op)) {
    for (Problem p : one.problems) {
      if (one.form != "rms" && one.form != "layer") continue;
      p.bias = p.x;
      p.codes = true;
      p.quantisation = quantisation;
      problems.push_back(p);
    }
  }
  return problems;
}

}  // namespace normquant::validate::space
