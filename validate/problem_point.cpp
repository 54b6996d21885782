#include "validate/problem_point.hpp"

#include <optional>

namespace normquant::tune {
namespace {

/// Arguments that look like those of the problem: right in types, strides and alignment, and never read.
class Lookalike {
 public:
  explicit Lookalike(const validate::Problem& problem) : p_(problem) {}

  NormQuantForward forward() const {
    NormQuantForward a;
    a.rows = p_.rows, a.columns = p_.columns, a.norm = p_.norm;
    a.x = matrix<const void>(p_.x);
    a.residual = matrix<const void>(p_.residual);
    a.residual_out = matrix<void>(p_.residual_out);
    a.weight = vector<const void>(p_.weight);
    a.bias = vector<const void>(p_.bias);
    a.output = output();
    return a;
  }

  NormQuantBackward backward() const {
    NormQuantBackward a;
    a.rows = p_.rows, a.columns = p_.columns, a.norm = p_.norm;
    a.dy = matrix<const void>(p_.dy.value_or(p_.x));
    a.h = matrix<const void>(p_.x);
    a.weight = vector<const void>(p_.weight);
    a.bias = vector<const void>(p_.bias);
    a.dresidual = matrix<const void>(p_.dresidual);
    a.dx = matrix<void>(p_.dx.value_or(p_.x));
    a.dx_residual = matrix<void>(p_.dx_residual);
    a.dweight = vector<void>(p_.weight);
    a.dbias = vector<void>(p_.bias);
    a.recomputed = output();
    return a;
  }

  ActivationQuant activation() const {
    ActivationQuant a;
    a.rows = p_.rows, a.columns = p_.columns;
    a.x = matrix<const void>(p_.x);
    a.output = output();
    return a;
  }

  WeightQuant weight() const {
    WeightQuant a;
    a.rows = p_.rows, a.columns = p_.columns;
    a.w = matrix<const void>(p_.x);
    a.out = matrix<void>(p_.out);
    if (p_.codes) a.codes = static_cast<std::int8_t*>(address(1)), a.ld_codes = ld();
    if (p_.packed) a.packed = static_cast<std::uint8_t*>(address(1));
    return a;
  }

 private:
  std::int64_t ld() const { return p_.columns + p_.row_padding; }

  void* address(std::size_t element_bytes) const {
    constexpr std::size_t most_offset = 1024, widest_element = 4;
    alignas(256) static unsigned char memory[(most_offset + 1) * widest_element];
    return memory + static_cast<std::size_t>(p_.offset) * element_bytes;
  }
  template <class Void>
  BasicMatrix<Void> matrix(std::optional<DType> type) const {
    if (!type) return {};
    return {address(size_of(*type)), *type, ld()};
  }
  template <class Void>
  BasicVector<Void> vector(std::optional<DType> type) const {
    if (!type) return {};
    return {address(size_of(*type)), *type};
  }
  QuantOutput output() const {
    QuantOutput output;
    output.out = matrix<void>(p_.out);
    if (p_.codes) output.codes = static_cast<std::int8_t*>(address(1)), output.ld_codes = ld();
    return output;
  }

  const validate::Problem& p_;
};

}  // namespace

choice::Point point_of(const validate::Problem& problem) {
  const Lookalike lookalike(problem);
  switch (problem.op) {
    case validate::Operation::norm_quant_forward: return choice::point_of(lookalike.forward());
    case validate::Operation::norm_quant_backward: return choice::point_of(lookalike.backward());
    case validate::Operation::activation_quant: return choice::point_of(lookalike.activation());
    case validate::Operation::weight_quant: return choice::point_of(lookalike.weight());
    case validate::Operation::bit_linear_forward:
    case validate::Operation::bit_linear_backward: break;
  }
  return {};  // the layer has no table of its own
}

}  // namespace normquant::tune
