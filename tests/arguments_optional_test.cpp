// Every tensor of the operations that may be null works: each left out alone, each given alone, on every variant.
#include <gtest/gtest.h>

#include <vector>

#include <normquant/activation_quant.hpp>
#include <normquant/norm_quant_backward.hpp>
#include <normquant/norm_quant_forward.hpp>
#include <normquant/weight_quant.hpp>

#include "optional_tensors.hpp"

namespace normquant::optional_tensors {
namespace {

void expect_forward_works(Inputs in, NormKind norm) {
  const std::int64_t size = in.rows * in.columns;
  const auto matrix = [&](float* data) { return Matrix{data, DType::float32, in.columns}; };
  NormQuantForward a;
  a.rows = in.rows, a.columns = in.columns, a.norm = norm, a.eps = 1e-5F, a.x = in.matrix(in.x);
  const Optionals<NormQuantForward> inputs = {{"residual", [&](auto& f, auto&) { f.residual = in.matrix(in.second); }},
                                              {"weight", [&](auto& f, auto&) { f.weight = Inputs::vector(in.weight); }},
                                              {"bias", [&](auto& f, auto&) { f.bias = Inputs::vector(in.bias); }}};
  Optionals<NormQuantForward> outputs = {
      {"out", [&](auto& f, auto& o) { f.output.out = matrix(o.values("out", size, step)); }},
      {"codes", [&](auto& f, auto& o) { f.output.codes = o.codes("codes", size), f.output.ld_codes = in.columns; }},
      {"dequant_scale", [&](auto& f, auto& o) { f.output.dequant_scale = o.values("dequant_scale", in.rows, close); }},
      {"residual_out", [&](auto& f, auto& o) { f.residual_out = matrix(o.values("residual_out", size, 0)); }},
      {"rstd", [&](auto& f, auto& o) { f.rstd = o.values("rstd", in.rows, close); }},
      {"quant_scale", [&](auto& f, auto& o) { f.quant_scale = o.values("quant_scale", in.rows, close); }}};
  if (norm == NormKind::layer) {
    outputs.push_back({"mean", [&](auto& f, auto& o) { f.mean = o.values("mean", in.rows, close); }});
  }
  // One of the two forms is required: the other outputs are tried with each.
  EXPECT_GT(launches_that_work(a, inputs, outputs, "two_pass_t1024_v1"), 30);
  for (const std::size_t form : {0, 1}) {
    Optionals<NormQuantForward> others(outputs.begin() + 2, outputs.end());
    for (Optional<NormQuantForward>& other : others) {
      other.give = [give = other.give, also = outputs[form].give, scale = outputs[2].give, form](auto& f, auto& o) {
        if (!f.output.given()) also(f, o);
        if (form == 1 && f.output.dequant_scale == nullptr) scale(f, o);
        give(f, o);
      };
    }
    EXPECT_GT(launches_that_work(a, inputs, others, "two_pass_t1024_v1"), 30);
  }
}

TEST(OptionalTensors, OfTheForward) {
  for (const NormKind norm : {NormKind::rms, NormKind::layer}) {
    expect_forward_works({1, 72}, norm);
    expect_forward_works({1, 21}, norm);
  }
}

TEST(OptionalTensors, OfTheBackward) {
  for (const NormKind norm : {NormKind::rms, NormKind::layer}) {
    for (const std::int64_t columns : {72, 21}) {
      const Inputs in{2, columns};
      const std::int64_t size = in.rows * in.columns;
      std::vector<float> dx(static_cast<std::size_t>(size));
      const auto matrix = [&](float* data) { return Matrix{data, DType::float32, in.columns}; };
      NormQuantBackward a;
      a.rows = in.rows, a.columns = in.columns, a.norm = norm, a.h = in.matrix(in.x), a.dy = in.matrix(in.second);
      a.rstd = in.rstd.data(), a.dx = matrix(dx.data());
      if (norm == NormKind::layer) a.mean = in.mean.data();
      const Optionals<NormQuantBackward> inputs = {
          {"weight", [&](auto& b, auto&) { b.weight = Inputs::vector(in.weight); }},
          {"bias", [&](auto& b, auto&) { b.bias = Inputs::vector(in.bias); }},
          {"quant_scale", [&](auto& b, auto&) { b.quant_scale = in.quant_scale.data(); }},
          {"dresidual", [&](auto& b, auto&) { b.dresidual = in.matrix(in.third); }}};
      const auto with_out = [&](auto& b, auto& o) { b.recomputed.out = matrix(o.values("out", size, step)); };
      const Optionals<NormQuantBackward> outputs = {
          {"dx", [&](auto& b, auto& o) { b.dx = matrix(o.values("dx", size, close)); }},
          {"dx_residual", [&](auto& b, auto& o) { b.dx_residual = matrix(o.values("dx_residual", size, close)); }},
          {"dweight",
           [&](auto& b, auto& o) {
             b.dweight = {o.values("dweight", columns, close), DType::float32};
           }},
          {"dbias",
           [&](auto& b, auto& o) {
             b.dbias = {o.values("dbias", columns, close), DType::float32};
           }},
          {"out", with_out},
          {"codes",
           [&](auto& b, auto& o) {
             b.recomputed.codes = o.codes("codes", size), b.recomputed.ld_codes = columns;
             b.recomputed.dequant_scale = o.values("dequant_scale", in.rows, close);
           }},
          {"out with dequant_scale", [&](auto& b, auto& o) {
             if (!b.recomputed.out.given()) with_out(b, o);
             b.recomputed.dequant_scale = o.values("dequant_scale", in.rows, close);
           }}};
      EXPECT_GT(launches_that_work(a, inputs, outputs, "two_pass_t1024_v1"), 100);
    }
  }
}

TEST(OptionalTensors, OfTheQuantisations) {
  for (const std::int64_t columns : {72, 21}) {
    const Inputs in{2, columns};
    const std::int64_t size = in.rows * columns;
    const auto matrix = [&](float* data) { return Matrix{data, DType::float32, columns}; };
    ActivationQuant a;
    a.rows = in.rows, a.columns = columns, a.x = in.matrix(in.x);
    const Optionals<ActivationQuant> outputs = {
        {"out", [&](auto& q, auto& o) { q.output.out = matrix(o.values("out", size, step)); }},
        {"codes",
         [&](auto& q, auto& o) {
           q.output.codes = o.codes("codes", size), q.output.ld_codes = columns;
           q.output.dequant_scale = o.values("dequant_scale", in.rows, close);
         }},
        {"dequant_scale", [&](auto& q, auto& o) {
           if (!q.output.given()) q.output.out = matrix(o.values("out", size, step));
           q.output.dequant_scale = o.values("dequant_scale", in.rows, close);
         }}};
    EXPECT_GT(launches_that_work(a, {}, outputs, "two_pass_t1024_v1"), 10);

    WeightQuant w;
    w.rows = in.rows, w.columns = columns, w.w = in.matrix(in.x);
    const auto with_factor = [](auto& q, auto& o) { q.dequant_factor = o.values("dequant_factor", 1, close); };
    const Optionals<WeightQuant> forms = {
        {"out", [&](auto& q, auto& o) { q.out = matrix(o.values("out", size, close)); }},
        {"codes", [&](auto& q, auto& o) { q.codes = o.codes("codes", size), q.ld_codes = columns, with_factor(q, o); }},
        {"packed",
         [&](auto& q, auto& o) {
           q.ld_packed = packed_row_bytes(columns);
           q.packed = o.packed("packed", in.rows * q.ld_packed);
           with_factor(q, o);
         }},
        {"dequant_factor", [&](auto& q, auto& o) {
           if (!q.out.given() && q.codes == nullptr && q.packed == nullptr)
             q.out = matrix(o.values("out", size, close));
           with_factor(q, o);
         }}};
    EXPECT_GT(launches_that_work(w, {}, forms, "two_pass_t256_v1"), 10);
  }
}

}  // namespace
}  // namespace normquant::optional_tensors
