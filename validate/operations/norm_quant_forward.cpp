// norm_quant_forward: inputs, truth, bounds and outputs of one problem.
#include <normquant/norm_quant_forward.hpp>

#include "validate/operations/norm_quant_forward_truth.hpp"
#include "validate/operations/prepared_base.hpp"

namespace normquant::validate {
namespace {

class PreparedNormQuantForward final : public PreparedBase<NormQuantForward> {
 public:
  PreparedNormQuantForward(const Problem& p, Device& device, std::int64_t distinct,
                           std::shared_ptr<const NormQuantForwardTruth> truth)
      : PreparedBase(p, device, distinct), truth_(std::move(truth)) {
    const NormQuantForwardTruth& t = *truth_;
    args_.rows = p.rows;
    args_.columns = p.columns;
    args_.norm = p.norm;
    args_.rounding = p.rounding;
    args_.h_source = p.h_source;
    args_.eps = p.eps;
    args_.quantisation = p.quantisation;
    args_.x = add_input_matrix("x", t.x);
    if (t.residual) args_.residual = add_input_matrix("residual", t.residual);
    if (t.weight) args_.weight = add_input_vector("weight", t.weight);
    if (t.bias) args_.bias = add_input_vector("bias", t.bias);

    args_.output = add_quantised(&t.bounds.quant, p.out, p.codes);
    if (p.residual_out) {
      args_.residual_out = add_output_matrix(
          "residual_out", *p.residual_out,
          [&t, type = *p.residual_out](Comparison& comparison, std::int64_t i, std::int64_t j, std::uint32_t bits) {
            comparison.exact("residual_out", i, j, type, bits, (*t.stored)(i, j));
          });
    }
    if (gives("rstd")) {
      args_.rstd = add_row_values(
          "rstd", [&t](std::int64_t i) { return t.result.rstd(i); },
          [&t](std::int64_t i) { return t.result.rstd(i) * t.bounds.rstd_error(i); });
    }
    if (p.norm == NormKind::layer && gives("mean")) {
      args_.mean = add_row_values(
          "mean", [&t](std::int64_t i) { return t.result.mean(i); },
          [&t](std::int64_t i) { return t.bounds.mean_error(i); });
    }
    if (p.save_quant_scale) {
      args_.quant_scale = add_row_values(
          "quant_scale", [&t](std::int64_t i) { return t.result.quant_scale(i); },
          [&t](std::int64_t i) { return t.result.quant_scale(i) * t.bounds.quant.scale_error(i); });
    }
  }

  std::unique_ptr<PreparedProblem> copy(std::string& why) const override {
    auto other = std::make_unique<PreparedNormQuantForward>(problem_, device_, distinct_, truth_);
    if (!other->complete(why)) return nullptr;
    return other;
  }

  using PreparedBase::complete;

 private:
  std::shared_ptr<const NormQuantForwardTruth> truth_;
};

}  // namespace

std::unique_ptr<PreparedProblem> prepare_norm_quant_forward(const Problem& problem, Device& device,
                                                            std::int64_t distinct, std::string& why) {
  auto prepared = std::make_unique<PreparedNormQuantForward>(
      problem, device, distinct,
      std::make_shared<const NormQuantForwardTruth>(norm_quant_forward_truth(problem, distinct)));
  if (!prepared->complete(why)) return nullptr;
  return prepared;
}

}  // namespace normquant::validate
