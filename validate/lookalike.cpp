#include "validate/lookalike.hpp"

#include "validate/placement.hpp"

namespace normquant::validate {
namespace {

/// Tensors of a problem at addresses with the alignment that real ones have.
class Layout {
 public:
  explicit Layout(const Problem& problem) : p_(problem) {}

  template <class M>
  M matrix(std::string_view name, DType type, bool input) const {
    M matrix;
    matrix.type = type;
    matrix.ld = ld(name, p_.columns, input);
    matrix.data = at(name, body_bytes(p_.rows, p_.columns, matrix.ld, size_of(type)), size_of(type));
    return matrix;
  }
  template <class V>
  V vector(std::string_view name, DType type) const {
    V vector;
    vector.data = at(name, body_bytes(1, p_.columns, p_.columns, size_of(type)), size_of(type));
    vector.type = type;
    return vector;
  }
  template <class T>
  T* values(std::string_view name) const {
    return static_cast<T*>(at(name, body_bytes(1, p_.rows, p_.rows, sizeof(T)), sizeof(T)));
  }
  /// Bytes in rows of `ld`.
  template <class T>
  T* rows_of(std::string_view name, std::int64_t columns, std::int64_t ld) const {
    return static_cast<T*>(at(name, body_bytes(p_.rows, columns, ld, sizeof(T)), sizeof(T)));
  }
  std::int64_t ld(std::string_view name, std::int64_t columns, bool input) const {
    const auto own = p_.paddings.find(name);
    if (own != p_.paddings.end()) return columns + own->second;
    return columns + ((input ? p_.dense_inputs : p_.dense_outputs) ? 0 : p_.row_padding);
  }
  bool gives(std::string_view name, bool usually) const {
    return p_.with.contains(name) || (usually && !p_.without.contains(name));
  }
  QuantOutput quantised() const {
    QuantOutput output;
    if (p_.out) output.out = matrix<Matrix>("out", *p_.out, false);
    if (gives("dequant_scale", p_.codes && !p_.quantisation.has_static_scale()))
      output.dequant_scale = values<float>("dequant_scale");
    if (!p_.codes) return output;
    output.ld_codes = ld("codes", p_.columns, false);
    output.codes = rows_of<std::int8_t>("codes", p_.columns, output.ld_codes);
    return output;
  }

 private:
  void* at(std::string_view name, std::size_t bytes, std::size_t element_bytes) const {
    return reinterpret_cast<void*>(std::uintptr_t{1 << 20} + placement_of(p_, name, bytes, element_bytes).past);
  }
  const Problem& p_;
};

}  // namespace

template <>
NormQuantForward lookalike(const Problem& p) {
  NormQuantForward a;
  const Layout at(p);
  a.rows = p.rows, a.columns = p.columns;
  a.norm = p.norm, a.rounding = p.rounding, a.h_source = p.h_source, a.eps = p.eps;
  a.quantisation = p.quantisation;
  a.x = at.matrix<ConstMatrix>("x", p.x, true);
  if (p.residual) a.residual = at.matrix<ConstMatrix>("residual", *p.residual, true);
  if (p.weight) a.weight = at.vector<ConstVector>("weight", *p.weight);
  if (p.bias) a.bias = at.vector<ConstVector>("bias", *p.bias);
  a.output = at.quantised();
  if (p.residual_out) a.residual_out = at.matrix<Matrix>("residual_out", *p.residual_out, false);
  if (at.gives("rstd", true)) a.rstd = at.values<float>("rstd");
  if (at.gives("mean", p.norm == NormKind::layer)) a.mean = at.values<float>("mean");
  if (p.save_quant_scale) a.quant_scale = at.values<float>("quant_scale");
  return a;
}

template <>
NormQuantBackward lookalike(const Problem& p) {
  NormQuantBackward a;
  const Layout at(p);
  a.rows = p.rows, a.columns = p.columns;
  a.norm = p.norm, a.rounding = p.rounding;
  a.dy = at.matrix<ConstMatrix>("dy", p.dy.value_or(p.x), true);
  a.h = at.matrix<ConstMatrix>("h", p.x, true);
  if (p.weight) a.weight = at.vector<ConstVector>("weight", *p.weight);
  if (p.bias) a.bias = at.vector<ConstVector>("bias", *p.bias);
  if (p.norm == NormKind::layer) a.mean = at.values<const float>("mean");
  a.rstd = at.values<const float>("rstd");
  if (p.save_quant_scale) a.quant_scale = at.values<const float>("quant_scale");
  if (p.dresidual) a.dresidual = at.matrix<ConstMatrix>("dresidual", *p.dresidual, true);
  a.dx = at.matrix<Matrix>("dx", p.dx.value_or(p.x), false);
  if (p.dx_residual) a.dx_residual = at.matrix<Matrix>("dx_residual", *p.dx_residual, false);
  if (at.gives("dweight", p.weight.has_value())) {
    a.dweight = at.vector<normquant::Vector>("dweight", p.weight.value_or(DType::float32));
  }
  if (at.gives("dbias", p.bias.has_value()))
    a.dbias = at.vector<normquant::Vector>("dbias", p.bias.value_or(DType::float32));
  if (p.out || p.codes) a.recomputed = at.quantised();
  return a;
}

template <>
ActivationQuant lookalike(const Problem& p) {
  ActivationQuant a;
  const Layout at(p);
  a.rows = p.rows, a.columns = p.columns, a.rounding = p.rounding, a.quantisation = p.quantisation;
  a.x = at.matrix<ConstMatrix>("x", p.x, true);
  a.output = at.quantised();
  return a;
}

template <>
WeightQuant lookalike(const Problem& p) {
  WeightQuant a;
  const Layout at(p);
  a.rows = p.rows, a.columns = p.columns;
  a.w = at.matrix<ConstMatrix>("w", p.x, true);
  if (p.out) a.out = at.matrix<Matrix>("out", *p.out, false);
  if (p.codes) {
    a.ld_codes = at.ld("codes", p.columns, false);
    a.codes = at.rows_of<std::int8_t>("codes", p.columns, a.ld_codes);
  }
  if (p.packed) {
    a.ld_packed = at.ld("packed", packed_row_bytes(p.columns), false);
    a.packed = at.rows_of<std::uint8_t>("packed", packed_row_bytes(p.columns), a.ld_packed);
  }
  if (at.gives("dequant_factor", p.codes || p.packed)) a.dequant_factor = at.rows_of<float>("dequant_factor", 1, 0);
  return a;
}

}  // namespace normquant::validate
