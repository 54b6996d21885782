// norm_quant_backward: inputs, truth, bounds and outputs of one problem.
#include <normquant/norm_quant_backward.hpp>

#include "reference/norm_quant_backward.hpp"
#include "reference/norm_quant_forward.hpp"
#include "validate/inputs.hpp"
#include "validate/operations/prepared_base.hpp"

namespace normquant::validate {
namespace {

/// Everything that does not depend on the device: shared by copies of a problem.
struct NormQuantBackwardTruth {
  std::shared_ptr<const HostTensor> dy, h, weight, bias, dresidual, mean, rstd, quant_scale;
  reference::NormQuantBackwardResult result;
  BackwardBounds bounds;
  reference::NormQuantForwardResult recomputed;
  QuantBounds recomputed_bounds;
};

std::shared_ptr<const NormQuantBackwardTruth> norm_quant_backward_truth(const Problem& p, std::int64_t distinct) {
  auto truth = std::make_shared<NormQuantBackwardTruth>();
  const auto tensor = [&](Tensor which, DType type, std::int64_t rows) {
    return std::make_shared<const HostTensor>(input_tensor(p, which, type, rows, p.columns));
  };
  truth->h = tensor(Tensor::x, p.x, distinct);
  truth->dy = tensor(Tensor::dy, p.dy.value_or(p.x), distinct);
  if (p.dresidual) truth->dresidual = tensor(Tensor::dresidual, *p.dresidual, distinct);
  if (p.weight) truth->weight = tensor(Tensor::weight, *p.weight, 1);
  if (p.bias) truth->bias = tensor(Tensor::bias, *p.bias, 1);

  // The forward's statistics, as it hands them over: rounded to float32. A forward that saves its scale took all of them
  // from h before it was stored (h_source unrounded), so that they belong to slightly other values: codes may meet the clamp.
  const Array h = truth->h->values(), dy = truth->dy->values();
  const Array forwards_h =
      p.save_quant_scale
          ? reference::round_to_storage(input_values(p, Tensor::x, distinct, p.columns), reference::Storage::float32)
          : h;
  reference::NormQuantForward forward{reference_norm(p.norm), reference_rounding(p.rounding), p.eps, {}, {}};
  if (truth->weight) forward.weight = vector_values(*truth->weight);
  if (truth->bias) forward.bias = vector_values(*truth->bias);
  const auto statistics = reference::norm_quant_forward(forwards_h, forward);
  const Vector mean = p.norm == NormKind::layer ? rounded_to_float(statistics.mean) : Vector{};
  const Vector rstd = rounded_to_float(statistics.rstd);
  if (p.norm == NormKind::layer) truth->mean = std::make_shared<const HostTensor>(repeated_row_values(mean, p.rows));
  truth->rstd = std::make_shared<const HostTensor>(repeated_row_values(rstd, p.rows));

  truth->recomputed = reference::recompute_output(h, mean, rstd, forward);
  Vector saved;
  if (p.save_quant_scale) {
    saved = rounded_to_float(statistics.quant_scale);
    truth->quant_scale = std::make_shared<const HostTensor>(repeated_row_values(saved, p.rows));
  }
  truth->recomputed_bounds = recompute_bounds(forward, truth->recomputed, saved);

  const Array dresidual = truth->dresidual ? truth->dresidual->values() : Array{};
  const Array* given = truth->dresidual ? &dresidual : nullptr;
  const Vector multiplicity = multiplicity_of(p.rows, distinct);
  reference::NormQuantBackward backward{reference_norm(p.norm), forward.weight};
  truth->result = reference::norm_quant_backward(dy, h, mean, rstd, given, backward, &multiplicity);
  truth->bounds = backward_bounds(dy, rstd, given, truth->result, multiplicity, p.rows);
  return truth;
}

class PreparedNormQuantBackward final : public PreparedBase<NormQuantBackward> {
 public:
  PreparedNormQuantBackward(const Problem& p, Device& device, std::int64_t distinct,
                            std::shared_ptr<const NormQuantBackwardTruth> truth)
      : PreparedBase(p, device, distinct), truth_(std::move(truth)) {
    const NormQuantBackwardTruth& t = *truth_;
    args_.rows = p.rows;
    args_.columns = p.columns;
    args_.norm = p.norm;
    args_.rounding = p.rounding;
    args_.dy = add_input_matrix("dy", t.dy);
    args_.h = add_input_matrix("h", t.h);
    if (t.weight) args_.weight = add_input_vector("weight", t.weight);
    if (t.bias) args_.bias = add_input_vector("bias", t.bias);
    if (t.mean) args_.mean = static_cast<const float*>(add_input_vector("mean", t.mean).data);
    args_.rstd = static_cast<const float*>(add_input_vector("rstd", t.rstd).data);
    if (t.quant_scale) {
      args_.quant_scale = static_cast<const float*>(add_input_vector("quant_scale", t.quant_scale).data);
    }
    if (t.dresidual) args_.dresidual = add_input_matrix("dresidual", t.dresidual);

    args_.dx = add_gradient("dx", p.dx.value_or(p.x));
    if (p.dx_residual) args_.dx_residual = add_gradient("dx_residual", *p.dx_residual);
    if (gives("dweight", p.weight.has_value()))
      args_.dweight = add_column_sums("dweight", p.weight.value_or(DType::float32), t.result.dweight, t.bounds.dweight);
    if (gives("dbias", p.bias.has_value()))
      args_.dbias = add_column_sums("dbias", p.bias.value_or(DType::float32), t.result.dbias, t.bounds.dbias);
    if (p.out || p.codes) args_.recomputed = add_quantised(&t.recomputed_bounds, p.out, p.codes);
  }

  std::unique_ptr<PreparedProblem> copy(std::string& why) const override {
    auto other = std::make_unique<PreparedNormQuantBackward>(problem_, device_, distinct_, truth_);
    if (!other->complete(why)) return nullptr;
    return other;
  }

  using PreparedBase::complete;

 private:
  Matrix add_gradient(const std::string& name, DType type) {
    return add_output_matrix(
        name, type,
        [t = truth_.get(), name, type](Comparison& comparison, std::int64_t i, std::int64_t j, std::uint32_t bits) {
          comparison.value(name, i, j, type, bits, t->result.dx(i, j), t->bounds.dx(i, j));
        });
  }
  normquant::Vector add_column_sums(const std::string& name, DType type, const Vector& sums, const Vector& bounds) {
    return add_output_vector(
        name, type, problem_.columns,
        [&sums, &bounds, name, type](Comparison& comparison, std::int64_t, std::int64_t j, std::uint32_t bits) {
          comparison.value(name, 0, j, type, bits, sums(j), bounds(j));
        });
  }

  std::shared_ptr<const NormQuantBackwardTruth> truth_;
};

}  // namespace

std::unique_ptr<PreparedProblem> prepare_norm_quant_backward(const Problem& problem, Device& device,
                                                             std::int64_t distinct, std::string& why) {
  auto prepared = std::make_unique<PreparedNormQuantBackward>(problem, device, distinct,
                                                              norm_quant_backward_truth(problem, distinct));
  if (!prepared->complete(why)) return nullptr;
  return prepared;
}

}  // namespace normquant::validate
