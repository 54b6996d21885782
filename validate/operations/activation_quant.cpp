// activation_quant: inputs, truth, bounds and outputs of one problem.
#include <normquant/activation_quant.hpp>

#include "reference/activation_quant.hpp"
#include "validate/inputs.hpp"
#include "validate/operations/prepared_base.hpp"

namespace normquant::validate {
namespace {

struct ActivationQuantTruth {
  std::shared_ptr<const HostTensor> x;
  QuantBounds bounds;
};

std::shared_ptr<const ActivationQuantTruth> activation_quant_truth(const Problem& p, std::int64_t distinct) {
  auto truth = std::make_shared<ActivationQuantTruth>();
  truth->x = std::make_shared<const HostTensor>(input_tensor(p, Tensor::x, p.x, distinct, p.columns));
  const Array x = truth->x->values();
  const reference::Quantisation q = reference_quantisation(p.quantisation);
  truth->bounds = activation_bounds(x, reference::activation_quant(x, reference_rounding(p.rounding), q), q);
  return truth;
}

class PreparedActivationQuant final : public PreparedBase<ActivationQuant> {
 public:
  PreparedActivationQuant(const Problem& p, Device& device, std::int64_t distinct,
                          std::shared_ptr<const ActivationQuantTruth> truth)
      : PreparedBase(p, device, distinct), truth_(std::move(truth)) {
    args_.rows = p.rows;
    args_.columns = p.columns;
    args_.rounding = p.rounding;
    args_.quantisation = p.quantisation;
    args_.x = add_input_matrix("x", truth_->x);
    args_.output = add_quantised(&truth_->bounds, p.out, p.codes);
  }

  std::unique_ptr<PreparedProblem> copy(std::string& why) const override {
    auto other = std::make_unique<PreparedActivationQuant>(problem_, device_, distinct_, truth_);
    if (!other->complete(why)) return nullptr;
    return other;
  }

  using PreparedBase::complete;

 private:
  std::shared_ptr<const ActivationQuantTruth> truth_;
};

}  // namespace

std::unique_ptr<PreparedProblem> prepare_activation_quant(const Problem& problem, Device& device, std::int64_t distinct,
                                                          std::string& why) {
  auto prepared =
      std::make_unique<PreparedActivationQuant>(problem, device, distinct, activation_quant_truth(problem, distinct));
  if (!prepared->complete(why)) return nullptr;
  return prepared;
}

}  // namespace normquant::validate
