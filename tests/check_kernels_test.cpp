// What the library's own kernels write passes `normquant check` in every form, and one damaged element of any output fails.
#include <gtest/gtest.h>

#include <normquant/activation_quant.hpp>
#include <normquant/norm_quant_backward.hpp>
#include <normquant/norm_quant_forward.hpp>
#include <normquant/weight_quant.hpp>

#include "validate/check/check.hpp"
#include "validate/inputs.hpp"

namespace normquant::check {
namespace {

using tensors::Element;
using validate::Outcome;
using validate::Problem;

constexpr std::int64_t rows = 6, columns = 200;

Element element_of(DType type) {
  return type == DType::float32 ? Element::float32 : type == DType::float16 ? Element::float16 : Element::bfloat16;
}

/// The tensors of one question, some of them filled by a kernel.
class Question {
 public:
  explicit Question(const Problem& problem) : problem_(problem) {}

  ConstMatrix input(const char* role, validate::Tensor which, DType type) {
    const auto values = validate::input_tensor(problem_, which, type, rows, columns);
    tensors_[role] = {element_of(type), {2, rows / 2, columns}, values.bytes};  // rows in two dimensions
    return {tensors_[role].bytes.data(), type, columns};
  }
  ConstVector vector(const char* role, validate::Tensor which, DType type) {
    const auto values = validate::input_tensor(problem_, which, type, 1, columns);
    tensors_[role] = {element_of(type), {columns}, values.bytes};
    return {tensors_[role].bytes.data(), type};
  }
  template <class T>
  T* output(const char* role, Element element, std::int64_t m, std::int64_t n) {
    const auto size = static_cast<std::size_t>(m * n) * size_of(element);
    tensors_[role] = {element, {m, n}, std::vector<unsigned char>(size, 0xFF)};
    outputs_.emplace_back(role);
    return reinterpret_cast<T*>(tensors_[role].bytes.data());
  }
  Matrix matrix(const char* role, DType type) {
    return {output<void>(role, element_of(type), rows, columns), type, columns};
  }
  QuantOutput quantised(DType type) {
    return {matrix("out", type), output<std::int8_t>("codes", Element::int8, rows, columns), columns,
            row_values("dequant_scale")};
  }
  /// From here on they are inputs.
  void forget_outputs() { outputs_.clear(); }
  float* row_values(const char* role) { return output<float>(role, Element::float32, 1, rows); }

  template <class Args>
  void run(const Args& args) {
    const auto device = open_host_device();
    const auto& variant = choose_variant(args, device->info());
    std::vector<unsigned char> scratch(variant.workspace_bytes(variant, args, device->info()) + 256);
    const Status status = launch(variant, args, device->info(), {scratch.data(), scratch.size()}, nullptr);
    ASSERT_TRUE(status.ok()) << status.message;
  }

  validate::Verdict verdict(const Tensors& tensors) const {
    std::string why;
    Switches switches;
    switches.op = *op_named(name_of(problem_.op));
    switches.problem = problem_;
    const auto given = arrange(switches, tensors, why);
    EXPECT_TRUE(given.has_value()) << why;
    return given ? check(*given) : validate::Verdict{};
  }

  void expect_right_and_every_damage_found() const {
    const auto right = verdict(tensors_);
    EXPECT_EQ(right.outcome, Outcome::pass) << right.reason << " " << to_text(problem_);
    for (const std::string& role : outputs_) {
      Tensors damaged = tensors_;
      std::vector<unsigned char>& bytes = damaged[role].bytes;
      const std::size_t size = size_of(damaged[role].element);
      const std::size_t last = bytes.size() - size;  // the last element; in the top byte, its lowest bit but one
      const unsigned bit = damaged[role].element == Element::uint8 ? 1U : 2U;
      bytes[last + size - 1] = static_cast<unsigned char>(bytes[last + size - 1] ^ bit);
      const auto wrong = verdict(damaged);
      EXPECT_EQ(wrong.outcome, Outcome::wrong) << role << " " << to_text(problem_);
      EXPECT_EQ(wrong.elements_wrong, 1) << role;
    }
  }

 private:
  Problem problem_;
  Tensors tensors_;
  std::vector<std::string> outputs_;
};

TEST(CheckKernels, Forward) {
  for (NormKind norm : {NormKind::rms, NormKind::layer}) {
    for (HSource source : {HSource::unrounded, HSource::stored}) {
      Problem p;
      p.norm = norm;
      p.h_source = source;
      p.rounding = source == HSource::stored ? Rounding::half_even : Rounding::half_away;
      p.eps = 1e-5F;
      Question q(p);
      NormQuantForward a;
      a.rows = rows, a.columns = columns;
      a.norm = p.norm, a.h_source = p.h_source, a.rounding = p.rounding, a.eps = p.eps;
      a.x = q.input("x", validate::Tensor::x, DType::bfloat16);
      a.residual = q.input("residual", validate::Tensor::residual, DType::float32);
      a.weight = q.vector("weight", validate::Tensor::weight, DType::float32);
      a.bias = q.vector("bias", validate::Tensor::bias, DType::bfloat16);
      a.output = q.quantised(DType::float16);
      a.residual_out = q.matrix("residual_out", DType::bfloat16);
      a.rstd = q.row_values("rstd");
      a.quant_scale = q.row_values("quant_scale");
      if (norm == NormKind::layer) a.mean = q.row_values("mean");
      q.run(a);
      q.expect_right_and_every_damage_found();
    }
  }
}

TEST(CheckKernels, Backward) {
  for (NormKind norm : {NormKind::rms, NormKind::layer}) {
    Problem p;
    p.op = Operation::norm_quant_backward;
    p.norm = norm;
    Question q(p);
    NormQuantBackward a;
    a.rows = rows, a.columns = columns;
    a.norm = norm;
    a.h = q.input("h", validate::Tensor::x, DType::bfloat16);
    a.dy = q.input("dy", validate::Tensor::dy, DType::float32);
    a.dresidual = q.input("dresidual", validate::Tensor::dresidual, DType::float16);
    a.weight = q.vector("weight", validate::Tensor::weight, DType::float32);
    a.bias = q.vector("bias", validate::Tensor::bias, DType::float32);
    // Statistics are given, whatever they are: those of no forward serve as well.
    float* rstd = q.row_values("rstd");
    float* mean = norm == NormKind::layer ? q.row_values("mean") : nullptr;
    for (std::int64_t i = 0; i < rows; ++i) {
      rstd[i] = 0.9F + 0.05F * static_cast<float>(i);
      if (mean != nullptr) mean[i] = 0.1F * static_cast<float>(i);
    }
    q.forget_outputs();
    a.rstd = rstd, a.mean = mean;
    a.dx = q.matrix("dx", DType::bfloat16);
    a.dx_residual = q.matrix("dx_residual", DType::float32);
    a.dweight = {q.output<void>("dweight", Element::float32, 1, columns), DType::float32};
    a.dbias = {q.output<void>("dbias", Element::float32, 1, columns), DType::float32};
    a.recomputed = q.quantised(DType::float32);
    q.run(a);
    q.expect_right_and_every_damage_found();
  }
}

TEST(CheckKernels, ActivationAndWeights) {
  Problem p;
  p.op = Operation::activation_quant;
  p.rounding = Rounding::half_even;
  Question q(p);
  ActivationQuant a;
  a.rows = rows, a.columns = columns;
  a.x = q.input("x", validate::Tensor::x, DType::float32);
  a.output = q.quantised(DType::bfloat16);
  q.run(a);
  q.expect_right_and_every_damage_found();

  p.op = Operation::weight_quant;
  Question of_weights(p);
  WeightQuant w;
  w.rows = rows, w.columns = columns;
  w.w = of_weights.input("w", validate::Tensor::x, DType::float16);
  w.out = of_weights.matrix("out", DType::float32);
  w.codes = of_weights.output<std::int8_t>("codes", Element::int8, rows, columns);
  w.ld_codes = columns;
  w.packed = of_weights.output<std::uint8_t>("packed", Element::uint8, rows, packed_row_bytes(columns));
  w.ld_packed = packed_row_bytes(columns);
  w.dequant_factor = of_weights.output<float>("dequant_factor", Element::float32, 1, 1);
  of_weights.run(w);
  of_weights.expect_right_and_every_damage_found();
}

}  // namespace
}  // namespace normquant::check
