// Every tensor that may be null works or is refused with its name: each left out alone, each given alone, on every variant.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <normquant/activation_quant.hpp>
#include <normquant/bit_linear.hpp>
#include <normquant/norm_quant_backward.hpp>
#include <normquant/norm_quant_forward.hpp>
#include <normquant/weight_quant.hpp>

namespace normquant::optional_tensors {
namespace {

constexpr float unwritten = std::numeric_limits<float>::quiet_NaN();
constexpr std::int8_t unwritten_code = -128;

std::vector<float> drawn(std::int64_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = normal(generator);
  return values;
}

/// The outputs of one launch by name, and how far apart two right answers may be.
class Outputs {
 public:
  float* values(const std::string& name, std::int64_t count, float most_apart) {
    apart_[name] = most_apart;
    return (floats_[name] = std::vector<float>(static_cast<std::size_t>(count), unwritten)).data();
  }
  std::int8_t* codes(const std::string& name, std::int64_t count) {
    return (codes_[name] = std::vector<std::int8_t>(static_cast<std::size_t>(count), unwritten_code)).data();
  }
  /// Packed ternary codes, of which no byte has all bits set.
  std::uint8_t* packed(const std::string& name, std::int64_t count) {
    return (packed_[name] = std::vector<std::uint8_t>(static_cast<std::size_t>(count), 0xFF)).data();
  }
  /// Expects that all of these outputs were written, with what `all` has.
  void expect_as_in(const Outputs& all, const std::string& where) const {
    for (const auto& [name, mine] : floats_) {
      for (std::size_t i = 0; i < mine.size(); ++i) {
        const float truth = all.floats_.at(name)[i];
        ASSERT_NEAR(mine[i], truth, apart_.at(name) * std::max(1.0F, std::fabs(truth))) << where << name << " " << i;
      }
    }
    for (const auto& [name, mine] : codes_) {
      for (std::size_t i = 0; i < mine.size(); ++i) {
        ASSERT_NE(mine[i], unwritten_code) << where << name << " " << i << " was never written";
        ASSERT_LE(std::abs(mine[i] - all.codes_.at(name)[i]), 1) << where << name << " " << i;
      }
    }
    for (const auto& [name, mine] : packed_) {
      ASSERT_EQ(std::count(mine.begin(), mine.end(), 0xFF), 0) << where << name << " was not written everywhere";
      ASSERT_EQ(mine, all.packed_.at(name)) << where << name;
    }
  }

 private:
  std::map<std::string, std::vector<float>> floats_;
  std::map<std::string, float> apart_;
  std::map<std::string, std::vector<std::int8_t>> codes_;
  std::map<std::string, std::vector<std::uint8_t>> packed_;
};

/// A tensor that may be null: its name and how it is given.
template <class Args>
struct Optional {
  std::string name;
  std::function<void(Args&, Outputs&)> give;
};
template <class Args>
using Optionals = std::vector<Optional<Args>>;

template <class Args>
Status run(const Variant<Args>& variant, const Args& args, const Device& device) {
  const std::size_t bytes = variant.workspace_bytes(variant, args, device.info());
  std::vector<unsigned char> scratch(bytes + 256);
  const auto start = reinterpret_cast<std::uintptr_t>(scratch.data());
  return launch(variant, args, device.info(), {scratch.data() + (256 - start % 256) % 256, bytes}, nullptr);
}

/// Which of `count` tensors are given: all, all but one, none, each alone.
std::vector<std::vector<bool>> choices(std::size_t count) {
  std::vector<std::vector<bool>> all = {std::vector<bool>(count, true), std::vector<bool>(count, false)};
  for (std::size_t i = 0; i < count; ++i) {
    for (const bool given : {true, false}) {
      all.emplace_back(count, !given);
      all.back()[i] = given;
    }
  }
  return all;
}

/// Gives those of the tensors that `given` says; their names.
template <class Args>
std::string give(Args& args, const Optionals<Args>& tensors, const std::vector<bool>& given, Outputs& outputs) {
  std::string names;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (!given[i]) continue;
    tensors[i].give(args, outputs);
    names += " " + tensors[i].name;
  }
  return names;
}

/// Runs every variant with every choice of inputs and all outputs, and with every choice of outputs and all or no inputs, as far as
/// the contract allows. Compares what was written with all outputs of the variant of that name. Answers how many launches that
/// were.
template <class Args>
int launches_that_work(const Args& required, const Optionals<Args>& inputs, const Optionals<Args>& outputs,
                       std::string_view most_general) {
  const auto device = open_host_device();
  const auto& all = variants<Args>(DeviceKind::host);
  const auto general = std::find_if(all.begin(), all.end(), [&](const auto& v) { return v.name == most_general; });
  const std::vector<bool> every_output(outputs.size(), true), every_input(inputs.size(), true), no_input(inputs.size());
  int launches = 0;
  for (const std::vector<bool>& given : choices(inputs.size())) {
    Args with_inputs = required;
    Outputs none, truth;
    const std::string from = give(with_inputs, inputs, given, none);
    Args with_all = with_inputs;
    give(with_all, outputs, every_output, truth);
    const Status first = run(*general, with_all, *device);
    EXPECT_TRUE(first.ok()) << first.message;
    for (const std::vector<bool>& wanted : choices(outputs.size())) {
      if (wanted != every_output && given != every_input && given != no_input) continue;
      for (const Variant<Args>& variant : all) {
        Args args = with_inputs;
        Outputs own;
        const std::string to = give(args, outputs, wanted, own);
        if (!check_arguments(args).ok() || !variant.why_not(variant, args, device->info()).empty()) continue;
        const Status status = run(variant, args, *device);
        const std::string where = std::string(variant.name) + " from" + from + " to" + to + ": ";
        EXPECT_TRUE(status.ok()) << where << status.message;
        own.expect_as_in(truth, where);
        ++launches;
        if (testing::Test::HasFailure()) return launches;
      }
    }
  }
  return launches;
}

constexpr float step = 0.05F;  ///< of a fake-quantised value, where two codes are right
constexpr float close = 1e-4F;

/// Inputs of N columns and M rows that every operation here takes from.
struct Inputs {
  std::int64_t rows, columns;
  std::vector<float> x = drawn(rows * columns, 1), second = drawn(rows * columns, 2), third = drawn(rows * columns, 3),
                     weight = drawn(columns, 4), bias = drawn(columns, 5), mean = std::vector<float>(rows, 0.01F),
                     rstd = std::vector<float>(rows, 0.9F), quant_scale = std::vector<float>(rows, 20.0F);
  ConstMatrix matrix(const std::vector<float>& values) const { return {values.data(), DType::float32, columns}; }
  static ConstVector vector(const std::vector<float>& values) { return {values.data(), DType::float32}; }
};

void expect_forward_works(Inputs in, NormKind norm) {
  const std::int64_t size = in.rows * in.columns;
  const auto matrix = [&](float* data) { return Matrix{data, DType::float32, in.columns}; };
  NormQuantForward a;
  a.rows = in.rows, a.columns = in.columns, a.norm = norm, a.eps = 1e-5F, a.x = in.matrix(in.x);
  const Optionals<NormQuantForward> inputs = {{"residual", [&](auto& f, auto&) { f.residual = in.matrix(in.second); }},
                                              {"weight", [&](auto& f, auto&) { f.weight = in.vector(in.weight); }},
                                              {"bias", [&](auto& f, auto&) { f.bias = in.vector(in.bias); }}};
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
          {"weight", [&](auto& b, auto&) { b.weight = in.vector(in.weight); }},
          {"bias", [&](auto& b, auto&) { b.bias = in.vector(in.bias); }},
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

TEST(OptionalTensors, OfTheLayersForward) {
  const Inputs in{3, 64};
  constexpr std::int64_t k_out = 24;
  const std::vector<float> linear_weight = drawn(k_out * in.columns, 7), linear_bias = drawn(k_out, 8);
  const std::int64_t size = in.rows * in.columns;
  const auto device = open_host_device();
  std::string why;
  const auto products = open_matrix_products(device->info(), why);
  std::vector<float> operand(k_out * in.columns), out(in.rows * k_out);
  std::vector<std::int8_t> codes(k_out * in.columns), packed(k_out * in.columns / 4);
  float factor = 0;
  const auto matrix = [&](float* data, std::int64_t ld) { return Matrix{data, DType::float32, ld}; };
  for (const NormKind norm : {NormKind::rms, NormKind::layer}) {
    BitLinearForward a;
    a.rows = in.rows, a.products = products.get(), a.x = in.matrix(in.x), a.out = matrix(out.data(), k_out);
    a.linear_weight = {linear_weight.data(), DType::float32, in.columns};
    BitLinearLayer& layer = a.layer;
    layer.k_in = in.columns, layer.k_out = k_out, layer.norm = norm, layer.eps = 1e-5F, layer.operand = DType::float32;
    layer.weights = {matrix(operand.data(), in.columns),
                     codes.data(),
                     in.columns,
                     reinterpret_cast<std::uint8_t*>(packed.data()),
                     in.columns / 4,
                     &factor};
    const Optionals<BitLinearForward> inputs = {
        {"residual", [&](auto& f, auto&) { f.residual = in.matrix(in.second); }},
        {"norm_weight", [&](auto& f, auto&) { f.layer.norm_weight = in.vector(in.weight); }},
        {"norm_bias", [&](auto& f, auto&) { f.layer.norm_bias = in.vector(in.bias); }},
        {"linear_bias", [&](auto& f, auto&) { f.layer.linear_bias = in.vector(linear_bias); }}};
    Optionals<BitLinearForward> outputs = {
        {"out", [&](auto& f, auto& o) { f.out = matrix(o.values("out", in.rows * k_out, 1.0F), k_out); }},
        {"residual_out",
         [&](auto& f, auto& o) { f.residual_out = matrix(o.values("residual_out", size, 0), in.columns); }},
        {"rstd", [&](auto& f, auto& o) { f.rstd = o.values("rstd", in.rows, close); }},
        {"quant_scale", [&](auto& f, auto& o) { f.quant_scale = o.values("quant_scale", in.rows, close); }},
        {"y_q.out", [&](auto& f, auto& o) { f.y_q.out = matrix(o.values("y_q.out", size, step), in.columns); }},
        {"y_q.dequant_scale",
         [&](auto& f, auto& o) { f.y_q.dequant_scale = o.values("y_q.dequant_scale", in.rows, close); }},
        {"y_q.codes", [&](auto& f, auto& o) {
           f.y_q.codes = o.codes("y_q.codes", size), f.y_q.ld_codes = in.columns;
           f.y_q.dequant_scale = o.values("y_q.dequant_scale", in.rows, close);
         }}};
    if (norm == NormKind::layer) {
      outputs.push_back({"mean", [&](auto& f, auto& o) { f.mean = o.values("mean", in.rows, close); }});
    }
    EXPECT_GT(launches_that_work(a, inputs, outputs, "packed"), 50);
  }
}

TEST(OptionalTensors, OfTheLayersBackward) {
  const Inputs in{3, 64};
  constexpr std::int64_t k_out = 24;
  const std::vector<float> operand = drawn(k_out * in.columns, 7), dout = drawn(in.rows * k_out, 8);
  const std::int64_t size = in.rows * in.columns;
  const auto device = open_host_device();
  std::string why;
  const auto products = open_matrix_products(device->info(), why);
  std::vector<float> weights = operand, dx(static_cast<std::size_t>(size));
  const auto matrix = [&](float* data) { return Matrix{data, DType::float32, in.columns}; };
  const auto vector = [](float* data) { return Vector{data, DType::float32}; };
  BitLinearBackward a;
  a.rows = in.rows, a.products = products.get(), a.dout = {dout.data(), DType::float32, k_out};
  a.h = in.matrix(in.x), a.rstd = in.rstd.data(), a.dx = matrix(dx.data());
  a.layer.k_in = in.columns, a.layer.k_out = k_out, a.layer.eps = 1e-5F, a.layer.operand = DType::float32;
  a.layer.weights.operand = matrix(weights.data());
  const Optionals<BitLinearBackward> inputs = {
      {"norm_weight", [&](auto& b, auto&) { b.layer.norm_weight = in.vector(in.weight); }},
      {"norm_bias", [&](auto& b, auto&) { b.layer.norm_bias = in.vector(in.bias); }},
      {"quant_scale", [&](auto& b, auto&) { b.quant_scale = in.quant_scale.data(); }},
      {"dresidual", [&](auto& b, auto&) { b.dresidual = in.matrix(in.third); }}};
  const Optionals<BitLinearBackward> outputs = {
      {"dx", [&](auto& b, auto& o) { b.dx = matrix(o.values("dx", size, 0.01F)); }},
      {"dx_residual", [&](auto& b, auto& o) { b.dx_residual = matrix(o.values("dx_residual", size, 0.01F)); }},
      {"dlinear_weight",
       [&](auto& b, auto& o) { b.dlinear_weight = matrix(o.values("dlinear_weight", k_out * in.columns, 0.5F)); }},
      {"dlinear_bias", [&](auto& b, auto& o) { b.dlinear_bias = vector(o.values("dlinear_bias", k_out, close)); }},
      {"dnorm_weight", [&](auto& b, auto& o) { b.dnorm_weight = vector(o.values("dnorm_weight", in.columns, 0.01F)); }},
      {"dnorm_bias", [&](auto& b, auto& o) { b.dnorm_bias = vector(o.values("dnorm_bias", in.columns, 0.01F)); }}};
  EXPECT_GT(launches_that_work(a, inputs, outputs, "fake_quantised"), 30);
}

}  // namespace
}  // namespace normquant::optional_tensors
