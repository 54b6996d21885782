// bit_linear_forward: inputs, truth, bounds and outputs of one problem.
#include <normquant/bit_linear.hpp>

#include "validate/linear_weights.hpp"
#include "validate/operations/bit_linear_truth.hpp"
#include "validate/operations/prepared_base.hpp"

namespace normquant::validate {
namespace {

class PreparedBitLinearForward final : public PreparedBase<BitLinearForward> {
 public:
  PreparedBitLinearForward(const Problem& p, Device& device, std::int64_t distinct,
                           std::shared_ptr<const BitLinearForwardTruth> truth, std::shared_ptr<MatrixProducts> products)
      : PreparedBase(p, device, distinct), truth_(std::move(truth)), products_(std::move(products)) {
    const BitLinearForwardTruth& t = *truth_;
    args_.rows = p.rows;
    args_.products = products_.get();
    BitLinearLayer& layer = args_.layer;
    layer.k_in = p.columns;
    layer.k_out = p.outputs();
    layer.norm = p.norm;
    layer.rounding = p.rounding;
    layer.h_source = p.h_source;
    layer.eps = p.eps;
    layer.operand = p.operand_type();
    layer.reproduce_dropped_bias = p.dropped_bias;
    args_.x = add_input_matrix("x", t.x);
    if (t.residual) args_.residual = add_input_matrix("residual", t.residual);
    if (t.weight) layer.norm_weight = add_input_vector("weight", t.weight);
    if (t.bias) layer.norm_bias = add_input_vector("bias", t.bias);
    if (t.linear_bias) {
      layer.linear_bias = {add_input("linear_bias", t.linear_bias, layer.k_out, 1), t.linear_bias->type};
    }
    p.cached ? add_cached_weights() : add_weights();
    forms_ = layer.weights;
    add_norm_outputs();
    add_out();
  }

  Status reserve(VariantHandle variant) override {
    take_on(variant);
    if (Status status = PreparedBase::reserve(variant); !status.ok()) return status;
    if (!worth_tuning(problem_, device_) || is_of_a_plugin(variant.name())) return {};
    return tune_products(variant.row<BitLinearForward>(), args_, device_.info(), workspace(), nullptr);
  }
  Status launch(VariantHandle variant, Stream stream) override {
    take_on(variant);
    return PreparedBase::launch(variant, stream);
  }
  Verdict check() override {
    exact_.reset();
    if (problem_.codes && multiplies_codes() && problem_.rows > 0) {
      const bool adds_bias = args_.layer.adds_bias();
      const Vector bias = adds_bias ? Vector(truth_->linear_bias->values().col(0)) : Vector{};
      if (Status status = device_.synchronize(); status.ok()) {
        exact_ = std::make_unique<ExactOut>(args_, device_, std::min(distinct_, problem_.rows),
                                            distinct_features(problem_), bias);
      }
    }
    if (exact_ != nullptr && !exact_->status().ok()) {
      Comparison comparison;
      comparison.failed(exact_->status());
      return comparison.verdict();
    }
    return PreparedBase::check();
  }

  Status take_values(const PreparedProblem& other) override {
    if (Status status = PreparedBase::take_values(other); !status.ok()) return status;
    if (bytes_.empty()) return {};
    const LinearWeights& w = static_cast<const PreparedBitLinearForward&>(other).truth_->weights;
    if (Status status = bytes_[0]->upload(w.codes, rows_of_bytes(w.codes, problem_.columns)); !status.ok())
      return status;
    return bytes_[1]->upload(w.packed, rows_of_bytes(w.packed, packed_row_bytes(problem_.columns)));
  }

  std::vector<std::string> take_findings() override {
    std::vector<std::string> findings = PreparedBase::take_findings();
    for (std::size_t i = 0; i < bytes_.size(); ++i) {
      take_touch(i == 0 ? "weights.codes" : "weights.packed", *bytes_[i], findings);
    }
    return findings;
  }
  void ask_for_row_invariance(bool wanted) override { args_.layer.row_invariant = wanted; }

  std::unique_ptr<PreparedProblem> copy(std::string& why) const override {
    auto other = std::make_unique<PreparedBitLinearForward>(problem_, device_, distinct_, truth_, products_);
    if (!other->complete(why)) return nullptr;
    return other;
  }

  using PreparedBase::complete;

 private:
  static bool is_of_a_plugin(std::string_view name) { return !plugins::file_of(name).empty(); }
  static std::int64_t rows_of_bytes(const std::vector<unsigned char>& rows, std::int64_t columns) {
    return static_cast<std::int64_t>(rows.size()) / columns;
  }
  bool multiplies_codes() const {
    return is_of_a_plugin(launched_) ? plugins::multiplies_codes(launched_) : launched_ != "fake_quantised";
  }
  /// From now on args_ and the comparisons are the variant's.
  void take_on(VariantHandle variant) {
    if (launched_ == variant.name()) return;
    launched_ = variant.name();
    args_ = arguments_for(variant);
  }

  /// A variant is given the form of the weights that it reads, for training also the operands that the backward reads, and
  /// writes no others; when codes are to be checked, all.
  BitLinearForward arguments_for(VariantHandle variant) const override {
    BitLinearForward a = args_;
    a.layer.weights = forms_;
    if (!variant) return a;
    const std::string_view name = variant.name();
    const bool plugin = is_of_a_plugin(name), codes = plugin && plugins::multiplies_codes(name);
    if (problem_.codes || (plugin && problem_.cached)) return a;  // a plugin reads what it likes
    if (name != "fake_quantised" && !problem_.training && (!plugin || codes)) a.layer.weights.operand = {};
    if (name != "integer" && name != "integer_fused" && !codes) a.layer.weights.codes = nullptr;
    if (name != "packed") a.layer.weights.packed = nullptr;
    return a;
  }

  void add_cached_weights() {
    const LinearWeights& w = truth_->weights;
    BitLinearWeights& weights = args_.layer.weights;
    const std::int64_t k_out = args_.layer.k_out, ld = input_ld("weights.operand", problem_.columns);
    weights.operand = {add_input("weights.operand", w.w_q, k_out, ld), w.w_q->type, ld};
    weights.ld_codes = input_ld("weights.codes", problem_.columns);
    weights.codes = static_cast<std::int8_t*>(add_bytes("weights.codes", w.codes, problem_.columns, weights.ld_codes));
    weights.ld_packed = input_ld("weights.packed", packed_row_bytes(problem_.columns));
    weights.packed = static_cast<std::uint8_t*>(
        add_bytes("weights.packed", w.packed, packed_row_bytes(problem_.columns), weights.ld_packed));
    weights.dequant_factor = static_cast<float*>(add_input("weights.dequant_factor", w.dequant_factor, 1, 1));
  }
  void* add_bytes(std::string_view name, const std::vector<unsigned char>& rows, std::int64_t columns,
                  std::int64_t ld) {
    auto tensor = make_tensor(name, args_.layer.k_out, columns, 1, ld, DeviceTensor::float_poison);
    note(*tensor);
    if (tensor->why_not().empty()) note(tensor->upload(rows, rows_of_bytes(rows, columns)));
    bytes_.push_back(std::move(tensor));
    return bytes_.back()->data();
  }

  /// Weights that the layer quantises itself: each form is an output.
  void add_weights() {
    const LinearWeights* w = &truth_->weights;
    BitLinearWeights& weights = args_.layer.weights;
    const std::int64_t k_out = args_.layer.k_out, k_in = problem_.columns, distinct = distinct_features(problem_);
    const std::int64_t ld_weight = input_ld("linear_weight", k_in), ld_operand = output_ld("weights.operand", k_in);
    args_.linear_weight = {add_input("linear_weight", w->linear_weight, k_out, ld_weight), w->linear_weight->type,
                           ld_weight};
    constexpr auto rounding = reference::Rounding::half_even;

    const DType type = args_.layer.operand;
    auto operand = [=, this](Comparison& comparison, std::int64_t i, std::int64_t j, std::uint32_t bits) {
      if (!args_.layer.weights.operand.given()) return;  // not asked for
      comparison.fake_quantised("weights.operand", i, j, type, bits, w->bounds.t(i % distinct, j),
                                w->bounds.t_error(i % distinct, j), w->result.dequant_factor, w->bounds.scale_error,
                                rounding, -1, 1);
    };
    weights.operand = {add_output("weights.operand", k_out, k_in, size_of(type), ld_operand, DeviceTensor::float_poison,
                                  rows_of(type, k_in, operand), distinct)
                           ->data(),
                       type, ld_operand};
    const auto code = [w, distinct](Comparison& comparison, const char* name, std::int64_t i, std::int64_t j,
                                    int value) {
      comparison.code(name, i, j, value, w->bounds.t(i % distinct, j), w->bounds.t_error(i % distinct, j), rounding, -1,
                      1);
    };
    auto codes = [this, code, k_in](Comparison& comparison, std::int64_t i, const unsigned char* row) {
      if (args_.layer.weights.codes == nullptr) return;  // not asked for
      for (std::int64_t j = 0; j < k_in; ++j) {
        code(comparison, "weights.codes", i, j, static_cast<std::int8_t>(row[j]));
      }
    };
    weights.ld_codes = output_ld("weights.codes", k_in);
    weights.codes = static_cast<std::int8_t*>(
        add_output("weights.codes", k_out, k_in, 1, weights.ld_codes, DeviceTensor::code_poison, codes, distinct)
            ->data());
    auto packed = [this, code, k_in](Comparison& comparison, std::int64_t i, const unsigned char* row) {
      if (args_.layer.weights.packed == nullptr) return;  // not asked for
      for (std::int64_t j = 0; j < k_in; ++j) {
        code(comparison, "weights.packed", i, j, static_cast<int>(row[j / 4] >> (2 * (j % 4)) & 3) - 1);
      }
    };
    weights.ld_packed = output_ld("weights.packed", packed_row_bytes(k_in));
    weights.packed =
        static_cast<std::uint8_t*>(add_output("weights.packed", k_out, packed_row_bytes(k_in), 1, weights.ld_packed,
                                              DeviceTensor::float_poison, packed, distinct)
                                       ->data());
    auto factor = [w](Comparison& comparison, std::int64_t, std::int64_t, std::uint32_t bits) {
      const double truth = w->result.dequant_factor;
      comparison.value("weights.dequant_factor", 0, 0, DType::float32, bits, truth, truth * w->bounds.scale_error);
    };
    weights.dequant_factor =
        static_cast<float*>(add_output_vector("weights.dequant_factor", DType::float32, 1, factor).data);
  }

  void add_norm_outputs() {
    const BitLinearForwardTruth& t = *truth_;
    if (problem_.codes) args_.y_q = add_quantised(&t.bounds.quant, std::nullopt, true);
    if (gives("y_q.out", false)) {
      const DType type = args_.layer.operand;
      args_.y_q.out = add_output_matrix("y_q.out", type,
                                        compare_fake_quantised("y_q.out", type, &t.bounds.quant, problem_.rounding));
    }
    if (problem_.residual_out) {
      args_.residual_out = add_output_matrix("residual_out", *problem_.residual_out,
                                             [&t, type = *problem_.residual_out](Comparison& comparison, std::int64_t i,
                                                                                 std::int64_t j, std::uint32_t bits) {
                                               comparison.exact("residual_out", i, j, type, bits, (*t.stored)(i, j));
                                             });
    }
    if (gives("rstd")) {
      args_.rstd = add_row_values(
          "rstd", [&t](std::int64_t i) { return t.result.rstd(i); },
          [&t](std::int64_t i) { return t.result.rstd(i) * t.bounds.rstd_error(i); });
    }
    if (problem_.save_quant_scale) {
      args_.quant_scale = add_row_values(
          "quant_scale", [&t](std::int64_t i) { return t.result.quant_scale(i); },
          [&t](std::int64_t i) { return t.result.quant_scale(i) * t.bounds.quant.scale_error(i); });
    }
    if (problem_.norm == NormKind::layer && gives("mean")) {
      args_.mean = add_row_values(
          "mean", [&t](std::int64_t i) { return t.result.mean(i); },
          [&t](std::int64_t i) { return t.bounds.mean_error(i); });
    }
  }

  void add_out() {
    const BitLinearForwardTruth* t = truth_.get();
    const DType type = problem_.out.value_or(args_.layer.operand);
    const std::int64_t k_out = args_.layer.k_out, ld = output_ld("out", k_out);
    const std::int64_t features = distinct_features(problem_), rows = distinct_;
    auto compare = [this, t, type, features, rows](Comparison& comparison, std::int64_t i, std::int64_t j,
                                                   std::uint32_t bits) {
      const std::int64_t row = i % rows, feature = j % features;
      const ProductBounds& out = multiplies_codes() ? t->out_from_codes : t->out;
      comparison.value("out", i, j, type, bits, out.value(row, feature), out.bound(row, feature));
      if (exact_ != nullptr)
        comparison.exact("out", i, j, type, bits, decode(type, encode(type, (*exact_)(row, feature))));
    };
    args_.out = {add_output("out", problem_.rows, k_out, size_of(type), ld, DeviceTensor::float_poison,
                            rows_of(type, k_out, compare), 0, true)
                     ->data(),
                 type, ld};
  }

  std::shared_ptr<const BitLinearForwardTruth> truth_;
  std::shared_ptr<MatrixProducts> products_;
  std::vector<std::unique_ptr<DeviceTensor>> bytes_;
  BitLinearWeights forms_;  ///< all
  std::string_view launched_;
  std::unique_ptr<ExactOut> exact_;
};

}  // namespace

std::unique_ptr<PreparedProblem> prepare_bit_linear_forward(const Problem& problem, Device& device,
                                                            std::int64_t distinct, std::string& why) {
  // Without products only the variants that need none serve; their why_not says so.
  std::string no_products;
  auto products = open_matrix_products(device.info(), no_products);
  auto prepared = std::make_unique<PreparedBitLinearForward>(
      problem, device, distinct, bit_linear_forward_truth(problem, distinct), std::move(products));
  if (!prepared->complete(why)) return nullptr;
  return prepared;
}

}  // namespace normquant::validate
