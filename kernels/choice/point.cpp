#include "choice/point.hpp"

#include <array>
#include <utility>

#include "device/support.hpp"

namespace normquant::choice {
namespace {

constexpr std::array<std::pair<FormWord, std::string_view>, 8> words = {{{form_rms, "rms"},
                                                                         {form_layer, "layer"},
                                                                         {form_residual, "residual"},
                                                                         {form_dresidual, "dresidual"},
                                                                         {form_out, "out"},
                                                                         {form_codes, "codes"},
                                                                         {form_packed, "packed"},
                                                                         {form_sums, "sums"}}};

constexpr Form form_norm = form_rms | form_layer;

/// The words that a form of the operation may have; the layer has no cells in tables.
constexpr PerOperation<Form> words_of = {form_norm | form_residual | form_out | form_codes,
                                         form_norm | form_dresidual | form_out | form_codes | form_sums,
                                         form_out | form_codes,
                                         form_out | form_codes | form_packed,
                                         0,
                                         0};

constexpr Form when(bool holds, Form word) { return holds ? word : 0; }
constexpr Form norm_form(NormKind norm) { return norm == NormKind::layer ? form_layer : form_rms; }
constexpr Form output_form(const QuantOutput& output) {
  return when(output.out.given(), form_out) | when(output.codes != nullptr, form_codes);
}

/// Whether rows of `columns` elements can be cut into packets of 16 bytes of x in every tensor.
template <class... Tensors>
bool rows_aligned(DType type, std::int64_t columns, const Tensors&... tensors) {
  const int elements = elements_per_access(16, type);
  return columns % elements == 0 && (packets_aligned(tensors, elements) && ...);
}

}  // namespace

std::string form_text(Form form) {
  std::string text;
  for (const auto& [word, name] : words) {
    if ((form & word) == 0) continue;
    if (!text.empty()) text += '+';
    text += name;
  }
  return text;
}

std::optional<Form> parse_form(Operation op, std::string_view text) {
  Form form = 0;
  for (bool more = true; more;) {
    const std::size_t plus = text.find('+');
    const std::string_view name = text.substr(0, plus);
    more = plus != std::string_view::npos;
    if (more) text.remove_prefix(plus + 1);
    Form found = 0;
    for (const auto& [word, word_name] : words) {
      if (word_name == name) found = word;
    }
    if (found == 0 || (form & found) != 0 || (words_of[op] & found) == 0) return std::nullopt;
    form |= found;
  }
  const bool has_norm = (words_of[op] & form_norm) != 0;
  const Form norm = form & form_norm;
  if (has_norm && norm != form_rms && norm != form_layer) return std::nullopt;
  return form;
}

Point point_of(const NormQuantForward& a) {
  const Form form =
      norm_form(a.norm) | when(a.residual.given() || a.residual_out.given(), form_residual) | output_form(a.output);
  const bool aligned = rows_aligned(a.x.type, a.columns, a.x, a.residual, a.weight, a.bias, a.output, a.residual_out);
  return {Operation::norm_quant_forward, a.x.type, form, aligned, a.rows, a.columns};
}

Point point_of(const NormQuantBackward& a) {
  const Form form = norm_form(a.norm) | when(a.dresidual.given() || a.dx_residual.given(), form_dresidual) |
                    output_form(a.recomputed) | when(a.dweight.given() || a.dbias.given(), form_sums);
  const bool aligned =
      rows_aligned(a.h.type, a.columns, a.dy, a.h, a.weight, a.bias, a.dresidual, a.dx, a.dx_residual, a.recomputed);
  return {Operation::norm_quant_backward, a.h.type, form, aligned, a.rows, a.columns};
}

Point point_of(const ActivationQuant& a) {
  const bool aligned = rows_aligned(a.x.type, a.columns, a.x, a.output);
  return {Operation::activation_quant, a.x.type, output_form(a.output), aligned, a.rows, a.columns};
}

/// The rows of packed codes start anywhere: all variants store them byte by byte or do not care.
Point point_of(const WeightQuant& a) {
  const Form form =
      when(a.out.given(), form_out) | when(a.codes != nullptr, form_codes) | when(a.packed != nullptr, form_packed);
  const int elements = elements_per_access(16, a.w.type);
  const bool codes_aligned = a.codes == nullptr || packets_aligned(a.codes, a.ld_codes, 1, elements);
  const bool aligned = codes_aligned && rows_aligned(a.w.type, a.columns, a.w, a.out);
  return {Operation::weight_quant, a.w.type, form, aligned, a.rows, a.columns};
}

std::string to_text(const Point& point) {
  std::string text(name_of(point.op));
  text += ' ';
  text += normquant::name_of(point.type);
  text += ' ';
  text += form_text(point.form);
  text += point.aligned ? " aligned " : " unaligned ";
  return text + std::to_string(point.rows) + ' ' + std::to_string(point.columns);
}

}  // namespace normquant::choice
