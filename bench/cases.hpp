// Cases: what is timed, by name. A case is an operation, a shape, a type and a form; a form is a choice of optional
// inputs and outputs that real layers use.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "validate/problem.hpp"

namespace normquant::bench {

/// The forms of an operation:
///   norm_quant_forward   rms, rms+residual (residual in, residual_out), layer (weight and bias), codes (rms, int8 out),
///                        rms+unaligned (rms, every tensor one element past a boundary of 256 bytes); codes+static (by a given
///                        scale), fp8 and fp8+static (fp8 e4m3 codes); codes+residual, fp8+residual, fp8+static+residual (and
///                        residual in, residual_out)
///   norm_quant_backward  rms, rms+dresidual, layer, rms+unaligned, all with the recomputed out; rms+no_out, without it: three
///                        matrices move in place of four
///   activation_quant     out, codes, codes+static, fp8, fp8+static
///   weight_quant         out, codes, packed
///   bit_linear_forward   rms (weights quantised in every call), rms+training (also as the operands that the
///                        backward reads), rms+cached (weights come quantised), rms+residual (training)
///   bit_linear_backward  rms, rms+dresidual; all gradients but of biases
/// Norms take a weight. Every tensor has the case's type; codes are a byte. x has the values `activations`, weights `normal`
/// (validate/problem.hpp). A form may name others behind it, as in `rms+zeros`: what a kernel takes of power depends on them.
std::span<const std::string_view> forms_of(Operation op);

/// Those that a sweep has where it names none: all but the formats and scales of docs/operations.md, section 8.
std::vector<std::string> usual_forms_of(Operation op);

struct Case {
  validate::Problem problem;
  std::string form;
  bool operator==(const Case&) const = default;
};

/// The case of the form of that name; nothing when the operation has no such form, or the shape has a K_out and the operation none.
std::optional<Case> make_case(Operation op, validate::Shape shape, DType dtype, std::string_view name);

/// `MxN`; the layer: `MxK_in`, or `MxK_inxK_out` where the two differ.
std::string shape_text(const validate::Problem& problem);

/// `norm_quant_forward/<variant>/<MxN>/<dtype>/<form>`.
std::string case_name(const Case& timed, std::string_view variant);

}  // namespace normquant::bench
