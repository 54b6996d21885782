// Points: where a problem lies among the cells of a tuned table (docs/choice.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <normquant/activation_quant.hpp>
#include <normquant/norm_quant_backward.hpp>
#include <normquant/norm_quant_forward.hpp>
#include <normquant/operations.hpp>
#include <normquant/types.hpp>
#include <normquant/weight_quant.hpp>

namespace normquant::choice {

/// What a problem reads and writes beside x, as far as it decides bytes and work: a set of words.
enum FormWord : unsigned {
  form_rms = 1U << 0,
  form_layer = 1U << 1,
  form_residual = 1U << 2,   ///< the forward's residual or residual_out
  form_dresidual = 1U << 3,  ///< the backward's dresidual or dx_residual
  form_out = 1U << 4,        ///< fake-quantised output; the backward: recomputed
  form_codes = 1U << 5,
  form_packed = 1U << 6,
  form_sums = 1U << 7  ///< the backward's dweight or dbias
};
using Form = unsigned;

/// `rms+residual+out`: the words in the order above.
std::string form_text(Form form);
/// The inverse; nothing when a word is unknown, comes twice or is none of the operation's, or the norm is missing.
std::optional<Form> parse_form(Operation op, std::string_view text);

/// What decides the choice of a variant. `aligned`: rows of every tensor can be moved in accesses of 16 bytes of x.
struct Point {
  Operation op = Operation::norm_quant_forward;
  DType type = DType::bfloat16;  ///< of x; the backward's h; weight_quant's w
  Form form = 0;
  bool aligned = true;
  std::int64_t rows = 1, columns = 1;
  bool operator==(const Point&) const = default;
};

Point point_of(const NormQuantForward& a);
Point point_of(const NormQuantBackward& a);
Point point_of(const ActivationQuant& a);
Point point_of(const WeightQuant& a);

/// `norm_quant_forward bfloat16 rms+out aligned 16 4096`: the head of a table's line.
std::string to_text(const Point& point);

}  // namespace normquant::choice
