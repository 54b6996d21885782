// bit_linear_backward: inputs, truth, bounds and outputs of one problem.
#include <normquant/bit_linear.hpp>

#include "reference/norm_quant_backward.hpp"
#include "reference/norm_quant_forward.hpp"
#include "validate/inputs.hpp"
#include "validate/linear_weights.hpp"
#include "validate/operations/prepared_base.hpp"
#include "validate/product_bounds.hpp"

namespace normquant::validate {
namespace {

/// Everything that does not depend on the device: shared by copies of a problem.
struct BitLinearBackwardTruth {
  std::shared_ptr<const HostTensor> dout, h, weight, bias, dresidual, mean, rstd, quant_scale;
  LinearWeights weights;
  reference::NormQuantBackwardResult result;
  BackwardBounds bounds;
  ProductBounds dlinear_weight;  ///< [K_out, K_in]
  Vector dlinear_bias, dlinear_bias_bound;
};

/// dout * w_q, where the rows of w_q repeat: a product with the folded dout; its magnitudes bound it with all K_out terms.
ProductBounds dy_of(const Array& dout, const Array& w_q) {
  const Eigen::Index period = w_q.rows();
  ProductBounds dy;
  dy.value = (folded_columns(dout, period).matrix() * w_q.matrix()).array();
  dy.bound = gamma(2 * static_cast<double>(dout.cols()) + 1) *
                 (folded_columns(dout.abs(), period).matrix() * w_q.abs().matrix()).array() +
             0x1p-126;
  return dy;
}

/// dout^T * y_q over all rows: the distinct ones, each as often as it occurs.
ProductBounds dlinear_weight_of(const Array& dout, const Operand& y_q, const Vector& multiplicity, std::int64_t rows) {
  const auto product = [&](const Array& a, const Array& b) -> Array {
    return ((a.colwise() * multiplicity).matrix().transpose() * b.matrix()).array();
  };
  const double rounding = gamma(2 * static_cast<double>(rows) + 1);
  const Array largest = y_q.value.abs() + y_q.slack;
  return {product(dout, y_q.value), product(dout.abs(), y_q.slack + rounding * largest) + 0x1p-126};
}

std::shared_ptr<const BitLinearBackwardTruth> bit_linear_backward_truth(const Problem& p, std::int64_t distinct) {
  auto truth = std::make_shared<BitLinearBackwardTruth>();
  const auto tensor = [&](Tensor which, DType type, std::int64_t rows, std::int64_t columns) {
    return std::make_shared<const HostTensor>(input_tensor(p, which, type, rows, columns));
  };
  truth->h = tensor(Tensor::x, p.x, distinct, p.columns);
  truth->dout = tensor(Tensor::dy, p.operand_type(), distinct, p.outputs());
  if (p.dresidual) truth->dresidual = tensor(Tensor::dresidual, *p.dresidual, distinct, p.columns);
  if (p.weight) truth->weight = tensor(Tensor::weight, *p.weight, 1, p.columns);
  if (p.bias) truth->bias = tensor(Tensor::bias, *p.bias, 1, p.columns);
  truth->weights = linear_weights_of(p);

  // The forward's statistics, as it hands them over: rounded to float32. One that saves its scale took all of them from h before
  // it was stored, so that the saved scale is not the one that h itself would give.
  const Array h = truth->h->values(), dout = truth->dout->values();
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
  const auto recomputed = reference::recompute_output(h, mean, rstd, forward);
  Vector saved;
  if (p.save_quant_scale) {
    saved = rounded_to_float(statistics.quant_scale);
    truth->quant_scale = std::make_shared<const HostTensor>(repeated_row_values(saved, p.rows));
  }
  const Operand y_q = activation_operand(recompute_bounds(forward, recomputed, saved), forward.rounding,
                                         reference_storage(p.operand_type()));

  const ProductBounds dy = dy_of(dout, truth->weights.operand.value);
  const Array dresidual = truth->dresidual ? truth->dresidual->values() : Array{};
  const Array* given = truth->dresidual ? &dresidual : nullptr;
  const Vector multiplicity = multiplicity_of(p.rows, distinct);
  reference::NormQuantBackward backward{forward.norm, forward.weight};
  truth->result = reference::norm_quant_backward(dy.value, h, mean, rstd, given, backward, &multiplicity);
  const Array dy_error = dy.bound + rounding_error(dy.value, dy.bound, p.operand_type());
  const Array largest_dy = dy.value.abs() + dy_error;
  reference::NormQuantBackwardResult largest = truth->result;  // the norm's own bound, of the largest dy
  largest.wdy = largest_dy;
  if (backward.weight) largest.wdy.rowwise() *= backward.weight->abs().transpose();
  truth->bounds = backward_bounds(largest_dy, rstd, given, largest, multiplicity, p.rows);
  add_error_of_dy(truth->bounds, dy_error, truth->result.xhat, rstd, backward, multiplicity);

  truth->dlinear_weight = dlinear_weight_of(dout, y_q, multiplicity, p.rows);
  truth->dlinear_bias = (dout.colwise() * multiplicity).colwise().sum().transpose();
  truth->dlinear_bias_bound =
      gamma(column_sum_depth(p.rows)) * (dout.abs().colwise() * multiplicity).colwise().sum().transpose();
  return truth;
}

class PreparedBitLinearBackward final : public PreparedBase<BitLinearBackward> {
 public:
  PreparedBitLinearBackward(const Problem& p, Device& device, std::int64_t distinct,
                            std::shared_ptr<const BitLinearBackwardTruth> truth,
                            std::shared_ptr<MatrixProducts> products)
      : PreparedBase(p, device, distinct), truth_(std::move(truth)), products_(std::move(products)) {
    const BitLinearBackwardTruth& t = *truth_;
    const std::int64_t k_out = p.outputs(), ld = input_ld("weights.operand", p.columns);
    args_.rows = p.rows;
    args_.products = products_.get();
    BitLinearLayer& layer = args_.layer;
    layer.k_in = p.columns;
    layer.k_out = k_out;
    layer.norm = p.norm;
    layer.rounding = p.rounding;
    layer.eps = p.eps;
    layer.operand = p.operand_type();
    if (t.weight) layer.norm_weight = add_input_vector("weight", t.weight);
    if (t.bias) layer.norm_bias = add_input_vector("bias", t.bias);
    layer.weights.operand = {add_input("weights.operand", t.weights.w_q, k_out, ld), layer.operand, ld};
    args_.dout = add_input_matrix("dout", t.dout);
    args_.h = add_input_matrix("h", t.h);
    if (t.mean) args_.mean = static_cast<const float*>(add_input_vector("mean", t.mean).data);
    args_.rstd = static_cast<const float*>(add_input_vector("rstd", t.rstd).data);
    if (t.quant_scale) {
      args_.quant_scale = static_cast<const float*>(add_input_vector("quant_scale", t.quant_scale).data);
    }
    if (t.dresidual) args_.dresidual = add_input_matrix("dresidual", t.dresidual);

    args_.dx = add_gradient("dx", p.dx.value_or(p.x));
    if (p.dx_residual) args_.dx_residual = add_gradient("dx_residual", *p.dx_residual);
    if (p.weight && gives("dnorm_weight"))
      args_.dnorm_weight = add_sums("dnorm_weight", *p.weight, t.result.dweight, t.bounds.dweight);
    if (gives("dnorm_bias", p.bias.has_value()))
      args_.dnorm_bias = add_sums("dnorm_bias", p.bias.value_or(DType::float32), t.result.dbias, t.bounds.dbias);
    if (p.linear_bias) {
      args_.dlinear_bias = add_sums("dlinear_bias", *p.linear_bias, t.dlinear_bias, t.dlinear_bias_bound);
    }
    if (p.out) add_dlinear_weight(*p.out, output_ld("dlinear_weight", p.columns));
  }

  Status reserve(VariantHandle variant) override {
    if (Status status = PreparedBase::reserve(variant); !status.ok()) return status;
    if (!worth_tuning(problem_, device_) || !plugins::file_of(variant.name()).empty()) return {};
    return tune_products(variant.row<BitLinearBackward>(), args_, device_.info(), workspace(), nullptr);
  }

  std::unique_ptr<PreparedProblem> copy(std::string& why) const override {
    auto other = std::make_unique<PreparedBitLinearBackward>(problem_, device_, distinct_, truth_, products_);
    if (!other->complete(why)) return nullptr;
    return other;
  }

  using PreparedBase::complete;

 private:
  /// dx follows from a product, so equal rows may differ in their last bits.
  Matrix add_gradient(const std::string& name, DType type) {
    const std::int64_t columns = problem_.columns, ld = output_ld(name, columns), distinct = distinct_;
    auto compare = [t = truth_.get(), name, type, distinct](Comparison& comparison, std::int64_t i, std::int64_t j,
                                                            std::uint32_t bits) {
      comparison.value(name, i, j, type, bits, t->result.dx(i % distinct, j), t->bounds.dx(i % distinct, j));
    };
    auto* tensor = add_output(name, problem_.rows, columns, size_of(type), ld, DeviceTensor::float_poison,
                              rows_of(type, columns, compare), 0, true);
    return {tensor->data(), type, ld};
  }
  normquant::Vector add_sums(const std::string& name, DType type, const Vector& sums, const Vector& bounds) {
    return add_output_vector(
        name, type, sums.size(),
        [&sums, &bounds, name, type](Comparison& comparison, std::int64_t, std::int64_t j, std::uint32_t bits) {
          comparison.value(name, 0, j, type, bits, sums(j), bounds(j));
        });
  }
  void add_dlinear_weight(DType type, std::int64_t ld) {
    auto compare = [t = truth_.get(), type](Comparison& comparison, std::int64_t i, std::int64_t j,
                                            std::uint32_t bits) {
      comparison.value("dlinear_weight", i, j, type, bits, t->dlinear_weight.value(i, j),
                       t->dlinear_weight.bound(i, j));
    };
    auto* tensor = add_output("dlinear_weight", problem_.outputs(), problem_.columns, size_of(type), ld,
                              DeviceTensor::float_poison, rows_of(type, problem_.columns, compare), problem_.outputs());
    args_.dlinear_weight = {tensor->data(), type, ld};
  }

  std::shared_ptr<const BitLinearBackwardTruth> truth_;
  std::shared_ptr<MatrixProducts> products_;
};

}  // namespace

std::unique_ptr<PreparedProblem> prepare_bit_linear_backward(const Problem& problem, Device& device,
                                                             std::int64_t distinct, std::string& why) {
  auto products = open_matrix_products(device.info(), why);
  if (products == nullptr) return nullptr;
  auto prepared = std::make_unique<PreparedBitLinearBackward>(
      problem, device, distinct, bit_linear_backward_truth(problem, distinct), std::move(products));
  if (!prepared->complete(why)) return nullptr;
  return prepared;
}

}  // namespace normquant::validate
