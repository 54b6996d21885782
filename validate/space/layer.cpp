#include "validate/space/layer.hpp"

#include <array>

#include "kernels/bit_linear/integer_chunks.hpp"
#include "validate/space/common_factors.hpp"
#include "validate/space/factors.hpp"

namespace normquant::validate::space {
namespace {

constexpr std::array types = {bf16, f32, f16};

/// What a block of packed_product has at a time (kernels/bit_linear/packed_codes.cuh, packed_product.cu): rows, features,
/// columns of a warp; and how many warps share the depth.
constexpr std::int64_t block_rows = 16, block_features = 32, warp_columns = 256;
/// Groups of those rows in one launch.
constexpr std::int64_t most_groups = 65535;
/// Depth at which a sum of products may need more bits than a float32 has digits.
constexpr std::int64_t deep = (std::int64_t{1} << 24) / 127 + 8;
/// Rows that a block of sum_rows adds at least, and blocks that share them at most.
constexpr std::int64_t summed_rows = 32, summing_blocks = 128;
/// Columns of out that a block of scale_product takes, aligned and not.
constexpr std::int64_t scaled_columns = 2048, scaled_single = 256;

Factor sizes(std::string name, std::int64_t Problem::*member, const std::vector<std::int64_t>& all) {
  Factor factor{std::move(name), {}};
  for (std::int64_t size : all) {
    factor.levels.push_back({std::to_string(size), [member, size](Problem& p) { p.*member = size; }});
  }
  return factor;
}

Factor null_output(const char* name) {
  return {name, {{"given", [name](Problem& p) { p.without.erase(name); }}, {"null", [name](Problem& p) {
                                                                              p.without.insert(name);
                                                                            }}}};
}

Problem plain(Operation op) {
  Problem p;
  p.op = op;
  p.x = p.out.emplace(bf16);
  p.weight = bf16;
  return p;
}

}  // namespace

Table layer_table(Operation op) {
  const bool forward = op == Operation::bit_linear_forward;
  Table table;
  table.plain = plain(op);
  table.factors = {
      {"x", {}},
      {"operand",
       {{"x's type", [](Problem& p) { p.operand.reset(); }},
        {"bfloat16", [](Problem& p) { p.operand = bf16; }},
        {"float16", [](Problem& p) { p.operand = f16; }}}},
      {"out",
       {{"the operands' type", [](Problem& p) { p.out = p.operand_type(); }},
        {"float32", [](Problem& p) { p.out = f32; }}}},
      {"linear_bias",
       {{"none", [](Problem& p) { p.linear_bias.reset(); }},
        {"out's type", [](Problem& p) { p.linear_bias = p.out.value_or(p.x); }},
        {"another type", [](Problem& p) { p.linear_bias = other_than(p.out.value_or(p.x)); }}}},
      {"norm",
       {{"rms", [](Problem& p) { p.norm = NormKind::rms; }}, {"layer", [](Problem& p) { p.norm = NormKind::layer; }}}},
      {"rounding",
       {{"half_away", [](Problem& p) { p.rounding = Rounding::half_away; }},
        {"half_even", [](Problem& p) { p.rounding = Rounding::half_even; }}}},
      {"eps", {{"1e-6", [](Problem& p) { p.eps = 1e-6F; }}, {"1e-8", [](Problem& p) { p.eps = 1e-8F; }}}},
      optional_tensor("weight", &Problem::weight),
      optional_tensor("bias", &Problem::bias),
      flag("quant_scale", &Problem::save_quant_scale),
      placements(op),
      guard_pages(),
      sizes("rows", &Problem::rows, {0, 1, 2, 15, 16, 17, 33, 48}),
      sizes("k_in", &Problem::columns, {1, 3, 16, 64, 255, 256, 264, 520}),
      sizes("k_out", &Problem::k_out, {1, 4, 7, 8, 12, 32, 33, 40, 129, 272})};
  for (DType x : types) {
    table.factors.front().levels.push_back(
        {std::string(validate::name_of(Values::normal)) + std::string(name_of(x)), [x](Problem& p) { p.x = x; }});
  }
  const auto add = [&](Factor factor) { table.factors.push_back(std::move(factor)); };
  if (forward) {
    add(flag("codes", &Problem::codes));
    add(flag("cached", &Problem::cached));
    add(flag("training", &Problem::training));
    add(optional_tensor("residual", &Problem::residual));
    add(optional_tensor("residual_out", &Problem::residual_out));
    add(optional_tensor("linear_weight", &Problem::linear_weight));
    add(null_output("rstd"));
    add(flag("dropped_bias", &Problem::dropped_bias));
    add({"y_q.out", {{"null", [](Problem& p) { p.with.erase("y_q.out"); }}, {"given", [](Problem& p) {
                                                                               p.with.insert("y_q.out");
                                                                             }}}});
    add({"h_source",
         {{"unrounded", [](Problem& p) { p.h_source = HSource::unrounded; }},
          {"stored", [](Problem& p) { p.h_source = HSource::stored; }}}});
  } else {
    add(optional_tensor("dresidual", &Problem::dresidual));
    add(optional_tensor("dx_residual", &Problem::dx_residual));
    add(null_output("dnorm_weight"));
    add({"dlinear_weight",
         {{"given", [](Problem& p) { p.out = p.out.value_or(p.operand_type()); }},
          {"null", [](Problem& p) { p.out.reset(); }}}});
  }
  table.repair = [forward](Problem& p) {
    if (forward && p.h_source == HSource::stored && p.residual && !p.residual_out) p.residual_out = other_than(p.x);
    if (!p.weight) p.without.erase("dnorm_weight");
    if (!p.linear_bias) p.dropped_bias = false;
  };
  return table;
}

std::vector<Problem> layer_sizes(Operation op, const DeviceInfo& device, std::uint64_t seed) {
  const bool forward = op == Operation::bit_linear_forward;
  std::vector<Problem> all;
  const auto add = [&](std::int64_t rows, std::int64_t k_in, std::int64_t k_out, auto change) {
    Problem p = plain(op);
    const std::size_t i = all.size();
    p.rows = rows, p.columns = k_in, p.k_out = k_out;
    p.x = types[i % 3], p.weight = p.x, p.out = p.x;
    p.seed = seed;
    p.guard = guard_of(i / 2 + seed);
    if (i % 2 == 0) p.linear_bias = p.out;
    if (forward && i % 3 != 1) p.codes = true;
    change(p);
    all.push_back(p);
  };
  const auto nothing = [](Problem&) {};
  const auto padded = [](Problem& p) { p.row_padding = 5, p.offset = 1; };
  for (std::int64_t d : {-1, 0, 1}) {
    add(block_rows + d, 40, block_features, nothing);
    add(2 * block_rows + d, 24, 8, padded);
    add(3, 40, block_features + d, nothing);
    // Depths of a warp's step, and those from which 8 and 16 warps share it, two steps each.
    for (std::int64_t steps : {1, 4, 8, 16, 32}) {
      add(
          2, steps * warp_columns + d, 9, steps % 8 == 0 ? +[](Problem&) {} : +[](Problem& p) { p.row_padding = 5; });
    }
    // Wider than the blocks of packed_product that run at a time; in small and large tiles, in one step and two.
    const std::int64_t wide = block_features * device.sm_count;
    add(2, 64, wide + d, nothing);
    add(block_rows, 264, wide + block_features / 2 + 1 + d, padded);
    add(block_rows + d, 40, 2 * wide + 3, nothing);
    add(5, block_rows * warp_columns + 1 + d, wide + 5, nothing);
    add(1, 2 * block_rows * warp_columns + d, wide + 1, nothing);
    // Where small tiles share the work no better: the first such widths, the last, and those of a third tile of a block.
    add(3, 260 + d, wide + wide / 2 + 1 + d, nothing);
    add(block_rows, 72, 2 * wide + d, padded);
    add(block_rows + d, 128 + d, 2 * wide + wide / 2 + block_features / 2 + 1 + d, nothing);
    add(1, 40, scaled_columns + 8 * d, nothing);
    add(2, 9, scaled_single + d, padded);
  }
  add(0, 40, 24, padded);
  add(0, 40, 24, [](Problem& p) { p.row_padding = 3, p.linear_bias = p.x; });
  add(0, 33, 8, [](Problem& p) { p.linear_bias = f32, p.bias = p.x, p.norm = NormKind::layer; });
  add(1, 1, 1, nothing);
  add(2, 64, 9, [](Problem& p) { p.offsets["codes"] = 1; });  // codes at an odd address, their rows whole words apart
  add(4097, 8, 1, nothing);
  for (int i = 0; forward && i < 2; ++i)
    add(2, deep, 3, [](Problem& p) { p.values = Values::constant; });  // with a bias, without
  if (forward &&
      device.kind == DeviceKind::host) {  // chunks of rows; the second one's first row close by, and beyond 2^31 bytes
    const std::int64_t k_out = integer_chunk_bytes(device.kind) / (4 * least_chunk_rows);
    add(least_chunk_rows + 1, 16, k_out, nothing);
    add(2 * least_chunk_rows + 3, 16, k_out + 3, padded);
    add(least_chunk_rows + 1, 16, k_out, [](Problem& p) { p.paddings["out"] = std::int64_t{1} << 23; });
  }
  // Widths of whole packets of float32 but not of 16 bits; a bias alone that is not aligned.
  for (DType x : {bf16, f32}) {
    add(2, 8, 4, [x](Problem& p) { p.x = bf16, p.out = x; });
    add(33, 8, 4, [x, forward](Problem& p) {
      p.x = bf16, p.out = x, p.linear_bias = bf16, p.paddings[forward ? "out" : "dout"] = 4;
    });
    add(33, 8, 8, [x](Problem& p) { p.x = bf16, p.out = x, p.linear_bias = x, p.offsets["linear_bias"] = 1; });
  }
  if (!forward) {
    const auto bias = [](Problem& p) { p.linear_bias = p.x; };
    for (std::int64_t rows :
         {summed_rows - 1, summed_rows, summed_rows + 1, 2 * summed_rows + 1, summed_rows * summing_blocks,
          summed_rows * summing_blocks + 1, summed_rows * (summing_blocks + 1) + 7}) {
      add(rows, 8, rows % 2 == 0 ? 9 : 16, bias);
    }
    for (std::int64_t columns : {127, 128, 129, 1024, 1032, 513}) add(3, 8, columns, bias);
  }
  return all;
}

std::vector<Problem> large_layers(Operation op, const DeviceInfo& device, std::uint64_t seed) {
  std::vector<Problem> all;
  if (op != Operation::bit_linear_forward) return all;
  const auto add = [&](std::int64_t rows, std::int64_t k_in, std::int64_t k_out) {
    Problem p = plain(op);
    p.rows = rows, p.columns = k_in, p.k_out = k_out;
    p.codes = true;
    p.seed = seed;
    all.push_back(p);
  };
  add(most_groups * block_rows + 1, 8, 1);
  if (device.kind == DeviceKind::cuda) {
    add(least_chunk_rows + 1, 16, integer_chunk_bytes(device.kind) / (4 * least_chunk_rows));
  }
  return all;
}

std::vector<Problem> far_layers(Operation op, std::uint64_t seed) {
  constexpr std::int64_t far = std::int64_t{1} << 30;
  Problem p = plain(op);
  p.seed = seed;
  p.rows = 3, p.columns = 64, p.k_out = 3;
  p.linear_bias = p.out;
  p.codes = op == Operation::bit_linear_forward;
  Problem wide = p;
  p.row_padding = far;
  wide.k_out = 64;
  wide.paddings[op == Operation::bit_linear_forward ? "out" : "dout"] = far;
  return {p, wide};
}

std::vector<Problem> layer_values(Operation op, std::uint64_t seed) {
  std::vector<Problem> all;
  for (int i = 0; i < kinds_of_values; ++i) {
    const auto values = static_cast<Values>(i);
    for (int k = 0; k < 2; ++k) {
      Problem p = plain(op);
      p.rows = 19, p.columns = 80, p.k_out = 48;
      p.x = k == 0 ? bf16 : i % 2 == 0 ? f32 : f16;
      p.out = p.x, p.weight = p.x, p.linear_bias = p.x;
      p.values = values;
      p.codes = op == Operation::bit_linear_forward;
      p.seed = seed;
      const bool of_bias = values == Values::ties || values == Values::near_ties || values == Values::at_floor;
      if (of_bias) p.bias = p.x;
      if (k == 1) p.norm = NormKind::layer;
      if (values == Values::largest || values == Values::huge_weight || values == Values::large ||
          values == Values::huge)
        continue;
      all.push_back(p);
      if (!of_bias) continue;
      p.rounding = Rounding::half_even;  // what is on a tie is another code
      all.push_back(p);
    }
  }
  return all;
}

}  // namespace normquant::validate::space
