#include "validate/space/factors.hpp"

#include <array>

#include "validate/space/common_factors.hpp"
#include "validate/space/layer.hpp"

namespace normquant::validate::space {
namespace {

Factor types_of_x() {
  return {"x",
          {{"float32", [](Problem& p) { p.x = f32; }},
           {"float16", [](Problem& p) { p.x = f16; }},
           {"bfloat16", [](Problem& p) { p.x = bf16; }}}};
}

bool is_vector(std::string_view tensor) {
  return (tensor.ends_with("weight") && !tensor.ends_with("linear_weight")) || tensor.ends_with("bias");
}

template <class Set>
void choose(Set& set, const char* name, bool in) {
  if (in) {
    set.insert(name);
  } else {
    set.erase(name);
  }
}

Factor outputs() {
  const auto level = [](std::string name, int out, bool codes, bool scale) {
    return Level{std::move(name), [=](Problem& p) {
                   p.out.reset();
                   if (out > 0) p.out = out == 1 ? p.x : other_than(p.x);
                   p.codes = codes;
                   choose(p.with, "dequant_scale", scale);
                 }};
  };
  return {"outputs",
          {level("out", 1, false, false), level("out of another type", 2, false, false), level("codes", 0, true, false),
           level("out and codes", 1, true, false), level("out and dequant_scale", 1, false, true)}};
}

Factor roundings() {
  return {"rounding",
          {{"half_away", [](Problem& p) { p.rounding = Rounding::half_away; }},
           {"half_even", [](Problem& p) { p.rounding = Rounding::half_even; }}}};
}

Factor norms() {
  return {
      "norm",
      {{"rms", [](Problem& p) { p.norm = NormKind::rms; }}, {"layer", [](Problem& p) { p.norm = NormKind::layer; }}}};
}

Factor eps_values() {
  Factor factor{"eps", {}};
  for (const auto& [name, eps] :
       {std::pair("1e-6", 1e-6F), {"1e-5", 1e-5F}, {"1e-8", 1e-8F}, {"0.1", 0.1F}, {"1e-20", 1e-20F}}) {
    factor.levels.push_back({name, [eps = eps](Problem& p) { p.eps = eps; }});
  }
  return factor;
}

/// Formats and scales; the usual ones often enough that all else meets them.
Factor quantisations() {
  Factor factor{"quantisation", {}};
  const auto level = [&](std::string name, const Quantisation& q) {
    factor.levels.push_back({std::move(name), [q](Problem& p) { p.quantisation = q; }});
  };
  level("int8", {});
  level("int8, another floor", {.floor = 0.5F});
  level("int8, static scale", static_int8);
  level("fp8", fp8);
  level("fp8, another floor", {.format = QuantFormat::fp8_e4m3, .floor = 1e-9F});
  level("fp8, static scale", static_fp8);
  level("fp8, small static scale", small_static_fp8);
  level("int8, floor 1e-12", {.floor = 1e-12F});
  level("int8, floor 1e12", {.floor = 1e12F});
  return factor;
}

/// By a static scale there is no value a row. Ties are exact by the scale 1.
void repair_quantisation(Problem& p) {
  Quantisation& q = p.quantisation;
  if (!q.has_static_scale()) return;
  p.save_quant_scale = false;
  p.with.erase("dequant_scale");
  if (p.values == Values::ties || p.values == Values::near_ties) q.static_scale = 1;
}

/// Values that any problem may have; places of their own: cells.cpp.
Factor general_values(const std::vector<Values>& all) {
  Factor factor{"values", {}};
  for (Values values : all) {
    factor.levels.push_back({std::string(validate::name_of(values)), [values](Problem& p) { p.values = values; }});
  }
  return factor;
}

/// An optional output that usually is given.
Factor may_be_null(const char* name) {
  return {name, {{"given", [name](Problem& p) { choose(p.without, name, false); }}, {"null", [name](Problem& p) {
                                                                                       choose(p.without, name, true);
                                                                                     }}}};
}
/// One that usually is not.
Factor may_be_given(const char* name) {
  return {name, {{"null", [name](Problem& p) { choose(p.with, name, false); }}, {"given", [name](Problem& p) {
                                                                                   choose(p.with, name, true);
                                                                                 }}}};
}

/// Few columns and rows: below, at and above a packet, a warp's packets and a tile; aligned or not.
Factor small_sizes() {
  Factor factor{"columns", {}};
  for (std::int64_t columns : {1, 7, 8, 9, 24, 40, 67, 72, 136, 264, 519, 1032}) {
    factor.levels.push_back({std::to_string(columns), [columns](Problem& p) { p.columns = columns; }});
  }
  return factor;
}
Factor few_rows(const std::vector<std::int64_t>& counts) {
  Factor factor{"rows", {}};
  for (std::int64_t rows : counts) {
    factor.levels.push_back({std::to_string(rows), [rows](Problem& p) { p.rows = rows; }});
  }
  return factor;
}

Table forward() {
  Table table;
  table.plain.op = Operation::norm_quant_forward;
  table.factors = {
      types_of_x(),
      norms(),
      optional_tensor("weight", &Problem::weight),
      optional_tensor("bias", &Problem::bias),
      optional_tensor("residual", &Problem::residual),
      optional_tensor("residual_out", &Problem::residual_out),
      outputs(),
      {"h_source",
       {{"unrounded", [](Problem& p) { p.h_source = HSource::unrounded; }},
        {"stored", [](Problem& p) { p.h_source = HSource::stored; }}}},
      flag("quant_scale", &Problem::save_quant_scale),
      may_be_null("rstd"),
      may_be_null("mean"),
      roundings(),
      quantisations(),
      eps_values(),
      placements(Operation::norm_quant_forward),
      guard_pages(),
      general_values({Values::normal, Values::outlier_columns, Values::negative_zeros, Values::ties, Values::one_nan,
                      Values::minus_nan, Values::huge_mean, Values::means, Values::large, Values::huge_weight}),
      small_sizes(),
      few_rows({0, 1, 2, 3, 5, 17})};
  table.repair = [](Problem& p) {
    if (p.values == Values::huge_weight && !p.weight) p.weight = p.x;
    if (p.h_source == HSource::stored && p.residual && !p.residual_out) p.residual_out = other_than(p.x);
    if (p.norm == NormKind::rms) p.without.erase("mean");
    repair_quantisation(p);
  };
  return table;
}

Table backward() {
  Table table;
  table.plain.op = Operation::norm_quant_backward;
  Factor recomputed = outputs();
  recomputed.levels.push_back(
      {"none", [](Problem& p) { p.out.reset(), p.codes = false, p.with.erase("dequant_scale"); }});
  const auto dy = [](std::string name, bool same) {
    return Level{std::move(name), [same](Problem& p) { p.dy = same ? p.x : other_than(p.x); }};
  };
  const auto dx = [](std::string name, bool same) {
    return Level{std::move(name), [same](Problem& p) { p.dx = same ? p.x : other_than(p.x); }};
  };
  table.factors = {types_of_x(),
                   norms(),
                   optional_tensor("weight", &Problem::weight),
                   optional_tensor("bias", &Problem::bias),
                   {"dy", {dy("x's type", true), dy("x's type, again", true), dy("another type", false)}},
                   {"dx", {dx("x's type", true), dx("x's type, again", true), dx("another type", false)}},
                   optional_tensor("dresidual", &Problem::dresidual),
                   optional_tensor("dx_residual", &Problem::dx_residual),
                   recomputed,
                   flag("quant_scale", &Problem::save_quant_scale),
                   may_be_null("dweight"),
                   may_be_null("dbias"),
                   may_be_given("dweight"),
                   may_be_given("dbias"),
                   roundings(),
                   eps_values(),
                   placements(Operation::norm_quant_backward),
                   guard_pages(),
                   general_values({Values::normal, Values::outlier_columns, Values::one_nan, Values::minus_nan,
                                   Values::huge_mean, Values::means, Values::large, Values::huge_weight}),
                   small_sizes(),
                   few_rows({0, 1, 2, 5, 17, 67})};
  table.repair = [](Problem& p) {
    if (p.values == Values::huge_weight && !p.weight) p.weight = p.x;
    if (!p.weight) p.without.erase("dweight");
    if (!p.bias) p.without.erase("dbias");
    if (p.weight || p.without.contains("dweight")) p.with.erase("dweight");
    if (p.bias || p.without.contains("dbias")) p.with.erase("dbias");
  };
  return table;
}

Table activation() {
  Table table;
  table.plain.op = Operation::activation_quant;
  table.factors = {types_of_x(),
                   outputs(),
                   roundings(),
                   quantisations(),
                   placements(Operation::activation_quant),
                   guard_pages(),
                   general_values({Values::normal, Values::outlier_columns, Values::ties, Values::near_ties,
                                   Values::negative_zeros, Values::one_nan, Values::minus_nan, Values::minus_inf,
                                   Values::zeros, Values::largest, Values::huge}),
                   small_sizes(),
                   few_rows({0, 1, 2, 3, 5, 17})};
  table.repair = repair_quantisation;
  return table;
}

Table weights() {
  Table table;
  table.plain.op = Operation::weight_quant;
  const auto forms = [](std::string name, int out, bool codes, bool packed) {
    return Level{std::move(name), [=](Problem& p) {
                   p.out.reset();
                   if (out > 0) p.out = out == 1 ? p.x : other_than(p.x);
                   p.codes = codes, p.packed = packed;
                 }};
  };
  table.factors = {types_of_x(),
                   {"outputs",
                    {forms("out", 1, false, false), forms("out of another type", 2, false, false),
                     forms("codes", 0, true, false), forms("packed", 0, false, true),
                     forms("out and codes", 1, true, false), forms("out and packed", 1, false, true),
                     forms("codes and packed", 0, true, true), forms("all", 2, true, true)}},
                   may_be_given("dequant_factor"),
                   placements(Operation::weight_quant),
                   guard_pages(),
                   general_values({Values::normal, Values::outlier_columns, Values::ties, Values::negative_zeros,
                                   Values::one_nan, Values::minus_inf, Values::zeros, Values::tiny}),
                   small_sizes(),
                   few_rows({1, 2, 3, 5, 17, 67})};
  table.repair = [](Problem& p) {
    if (p.codes || p.packed) p.with.erase("dequant_factor");
  };
  return table;
}

}  // namespace

const std::vector<std::string>& tensors_of(Operation op) {
  static const PerOperation<std::vector<std::string>> tensors = {
      {"x", "residual", "weight", "bias", "out", "codes", "residual_out"},
      {"dy", "h", "dresidual", "weight", "bias", "dx", "dx_residual", "out", "codes", "dweight", "dbias"},
      {"x", "out", "codes"},
      {"w", "out", "codes", "packed"},
      {"x", "residual", "weight", "bias", "linear_weight", "out", "codes", "residual_out", "weights.operand",
       "weights.codes", "weights.packed", "linear_bias"},
      {"dout", "h", "dresidual", "weight", "bias", "weights.operand", "dx", "dx_residual", "dlinear_weight"}};
  return tensors[op];
}

Factor placements(Operation op) {
  Factor factor{"placement", {}};
  const auto level = [&](std::string name, auto change) {
    factor.levels.push_back({std::move(name), [change](Problem& p) {
                               p.offset = 0, p.row_padding = 0, p.dense_inputs = p.dense_outputs = false;
                               p.offsets.clear(), p.paddings.clear();
                               change(p);
                             }});
  };
  level("dense", [](Problem&) {});
  level("padded", [](Problem& p) { p.row_padding = 8; });
  level("inputs padded", [](Problem& p) { p.row_padding = 8, p.dense_outputs = true; });
  level("outputs padded", [](Problem& p) { p.row_padding = 8, p.dense_inputs = true; });
  level("padded, off", [](Problem& p) { p.row_padding = 5, p.offset = 1; });
  level("inputs padded, off", [](Problem& p) { p.row_padding = 3, p.offset = 3, p.dense_outputs = true; });
  level("padded, off by 7", [](Problem& p) { p.row_padding = 5, p.offset = 7; });
  level("all 16 in", [](Problem& p) { p.offset = 16; });
  const std::vector<std::string>& tensors = tensors_of(op);
  level("each its own, aligned", [tensors](Problem& p) {
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      p.offsets[tensors[i]] = static_cast<int>(16 * (i % 4));
      if (!is_vector(tensors[i])) p.paddings[tensors[i]] = 16 * static_cast<std::int64_t>((i + 1) % 5);
    }
  });
  level("each its own", [tensors](Problem& p) {
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      p.offsets[tensors[i]] = static_cast<int>(i % 8);
      if (!is_vector(tensors[i])) p.paddings[tensors[i]] = static_cast<std::int64_t>(3 * i % 11);
    }
  });
  for (const std::string& tensor : tensors) {
    level(tensor + " off", [tensor](Problem& p) { p.offsets[tensor] = 1; });
    if (is_vector(tensor)) continue;
    level(tensor + " padded", [tensor](Problem& p) { p.paddings[tensor] = 3; });
  }
  return factor;
}

Factor guard_pages() {
  return {"guard page",
          {{"none", [](Problem& p) { p.guard = GuardPage::none; }},
           {"before", [](Problem& p) { p.guard = GuardPage::before; }},
           {"behind", [](Problem& p) { p.guard = GuardPage::behind; }}}};
}

Table table_of(Operation op) {
  static constexpr PerOperation<Table (*)()> tables = {forward,
                                                       backward,
                                                       activation,
                                                       weights,
                                                       [] { return layer_table(Operation::bit_linear_forward); },
                                                       [] { return layer_table(Operation::bit_linear_backward); }};
  return tables[op]();
}

}  // namespace normquant::validate::space
