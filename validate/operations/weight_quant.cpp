// weight_quant: inputs, truth, bounds and outputs of one problem.
#include <normquant/weight_quant.hpp>

#include "reference/weight_quant.hpp"
#include "validate/inputs.hpp"
#include "validate/operations/prepared_base.hpp"

namespace normquant::validate {
namespace {

constexpr reference::Rounding ternary_rounding = reference::Rounding::half_even;

struct WeightQuantTruth {
  std::shared_ptr<const HostTensor> w;
  reference::WeightQuantResult result;
  WeightBounds bounds;
};

std::shared_ptr<const WeightQuantTruth> weight_quant_truth(const Problem& p, std::int64_t distinct) {
  auto truth = std::make_shared<WeightQuantTruth>();
  truth->w = std::make_shared<const HostTensor>(input_tensor(p, Tensor::x, p.x, distinct, p.columns));
  const Array w = truth->w->values();
  truth->result = reference::weight_quant(w);
  truth->bounds = weight_bounds(w, truth->result, p.rows * p.columns);
  return truth;
}

class PreparedWeightQuant final : public PreparedBase<WeightQuant> {
 public:
  PreparedWeightQuant(const Problem& p, Device& device, std::int64_t distinct,
                      std::shared_ptr<const WeightQuantTruth> truth)
      : PreparedBase(p, device, distinct), truth_(std::move(truth)) {
    const WeightQuantTruth* t = truth_.get();
    args_.rows = p.rows;
    args_.columns = p.columns;
    args_.w = add_input_matrix("w", t->w);
    if (p.out) {
      args_.out = add_output_matrix(
          "out", *p.out,
          [t, type = *p.out](Comparison& comparison, std::int64_t i, std::int64_t j, std::uint32_t bits) {
            comparison.fake_quantised("out", i, j, type, bits, t->bounds.t(i, j), t->bounds.t_error(i, j),
                                      t->result.dequant_factor, t->bounds.scale_error, ternary_rounding, -1, 1);
          });
    }
    if (p.codes) {
      args_.ld_codes = output_ld("codes", p.columns);
      args_.codes =
          add_codes("codes", args_.ld_codes, [t](Comparison& comparison, std::int64_t i, std::int64_t j, int code) {
            comparison.code("codes", i, j, code, t->bounds.t(i, j), t->bounds.t_error(i, j), ternary_rounding, -1, 1);
          });
    }
    if (p.packed) add_packed();
    if (gives("dequant_factor", p.codes || p.packed)) {
      auto compare = [t](Comparison& comparison, std::int64_t, std::int64_t, std::uint32_t bits) {
        const double factor = t->result.dequant_factor;
        comparison.value("dequant_factor", 0, 0, DType::float32, bits, factor, factor * t->bounds.scale_error);
      };
      args_.dequant_factor = static_cast<float*>(add_output_vector("dequant_factor", DType::float32, 1, compare).data);
    }
  }

  std::unique_ptr<PreparedProblem> copy(std::string& why) const override {
    auto other = std::make_unique<PreparedWeightQuant>(problem_, device_, distinct_, truth_);
    if (!other->complete(why)) return nullptr;
    return other;
  }

  using PreparedBase::complete;

 private:
  /// Four codes a byte; bit pairs past the last column must hold code 0.
  void add_packed() {
    const WeightQuantTruth* t = truth_.get();
    const std::int64_t bytes = packed_row_bytes(problem_.columns), columns = problem_.columns;
    args_.ld_packed = output_ld("packed", bytes);
    auto compare = [t, bytes, columns](Comparison& comparison, std::int64_t i, const unsigned char* row) {
      for (std::int64_t j = 0; j < 4 * bytes; ++j) {
        const int code = static_cast<int>((row[j / 4] >> (2 * (j % 4))) & 3U) - 1;
        if (j >= columns) {
          if (code != 0) comparison.wrong("packed", i, j, "code 0 past the last column", std::to_string(code));
          continue;
        }
        comparison.code("packed", i, j, code, t->bounds.t(i, j), t->bounds.t_error(i, j), ternary_rounding, -1, 1);
      }
    };
    // All bits set is the bit pair 3 four times, which no code has.
    args_.packed = static_cast<std::uint8_t*>(
        add_output("packed", problem_.rows, bytes, 1, args_.ld_packed, DeviceTensor::float_poison, compare)->data());
  }

  std::shared_ptr<const WeightQuantTruth> truth_;
};

}  // namespace

std::unique_ptr<PreparedProblem> prepare_weight_quant(const Problem& problem, Device& device, std::int64_t distinct,
                                                      std::string& why) {
  // The scale is a mean over all rows, so every distinct row must occur equally often.
  while (problem.rows > 0 && problem.rows % distinct != 0) --distinct;
  auto prepared =
      std::make_unique<PreparedWeightQuant>(problem, device, distinct, weight_quant_truth(problem, distinct));
  if (!prepared->complete(why)) return nullptr;
  return prepared;
}

}  // namespace normquant::validate
