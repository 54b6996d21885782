// norm_quant_forward and norm_quant_backward of given tensors.
#include "reference/norm_quant_backward.hpp"
#include "reference/norm_quant_forward.hpp"
#include "validate/check/blocks.hpp"

namespace normquant::check {
namespace {

reference::NormQuantForward forward_of(const Given& given) {
  const validate::Problem& p = given.problem;
  reference::NormQuantForward forward{reference_norm(p.norm), reference_rounding(p.rounding), p.eps, {}, {}};
  if (const HostTensor* weight = given.tensor("weight")) forward.weight = vector_of(*weight);
  if (const HostTensor* bias = given.tensor("bias")) forward.bias = vector_of(*bias);
  return forward;
}

Array zeros(std::int64_t columns) { return Array::Zero(1, columns); }

}  // namespace

void check_forward(const Given& given, Comparison& comparison) {
  const validate::Problem& p = given.problem;
  const reference::NormQuantForward forward = forward_of(given);
  for_each_block(p, [&](Block block) {
    const Array x = rows_of(*given.tensor("x"), block);
    const HostTensor* residual_tensor = given.tensor("residual");
    const Array residual = residual_tensor != nullptr ? rows_of(*residual_tensor, block) : Array{};
    const Array h = reference::residual_add(x, residual_tensor != nullptr ? &residual : nullptr);
    const Array stored = p.residual_out ? reference::round_to_storage(h, reference_storage(*p.residual_out)) : h;
    const Array& source = p.h_source == HSource::stored ? stored : h;
    const auto truth = reference::norm_quant_forward(source, forward);
    const auto bounds = validate::forward_bounds(source, forward, truth);

    compare_quantised(given, block, bounds.quant, comparison);
    compare_rows(
        given, "mean", block, comparison, [&](auto i) { return truth.mean(i); },
        [&](auto i) { return bounds.mean_error(i); });
    compare_rows(
        given, "rstd", block, comparison, [&](auto i) { return truth.rstd(i); },
        [&](auto i) { return truth.rstd(i) * bounds.rstd_error(i); });
    compare_rows(
        given, "quant_scale", block, comparison, [&](auto i) { return truth.quant_scale(i); },
        [&](auto i) { return truth.quant_scale(i) * bounds.quant.scale_error(i); });
    const HostTensor* residual_out = given.tensor("residual_out");
    for_each_element(residual_out, block, [&](auto row, auto i, auto j, std::uint32_t bits) {
      comparison.exact("residual_out", row, j, residual_out->type, bits, stored(i, j));
    });
  });
}

void check_backward(const Given& given, Comparison& comparison) {
  const validate::Problem& p = given.problem;
  const reference::NormQuantForward forward = forward_of(given);
  const reference::NormQuantBackward backward{forward.norm, forward.weight};
  Array dweight = zeros(p.columns), dweight_bound = dweight, dbias = dweight, dbias_bound = dweight;
  const auto rows = [&](std::string_view role, Block block) {
    const HostTensor* tensor = given.tensor(role);
    return tensor != nullptr ? vector_of(*tensor, block.first, block.count) : Vector{};
  };
  for_each_block(p, [&](Block block) {
    const Array dy = rows_of(*given.tensor("dy"), block), h = rows_of(*given.tensor("h"), block);
    const Vector mean = rows("mean", block), rstd = rows("rstd", block), saved = rows("quant_scale", block);
    const HostTensor* dresidual_tensor = given.tensor("dresidual");
    const Array dresidual = dresidual_tensor != nullptr ? rows_of(*dresidual_tensor, block) : Array{};
    const Array* added = dresidual_tensor != nullptr ? &dresidual : nullptr;
    const auto truth = reference::norm_quant_backward(dy, h, mean, rstd, added, backward);
    const auto bounds = validate::backward_bounds(dy, rstd, added, truth, Vector::Ones(block.count), p.rows);
    dweight.row(0) += truth.dweight.transpose();
    dweight_bound.row(0) += bounds.dweight.transpose();
    dbias.row(0) += truth.dbias.transpose();
    dbias_bound.row(0) += bounds.dbias.transpose();

    for (const char* role : {"dx", "dx_residual"}) {
      const HostTensor* gradient = given.tensor(role);
      for_each_element(gradient, block, [&](auto row, auto i, auto j, std::uint32_t bits) {
        comparison.value(role, row, j, gradient->type, bits, truth.dx(i, j), bounds.dx(i, j));
      });
    }
    if (!p.out && !p.codes && given.tensor("dequant_scale") == nullptr) return;
    const auto recomputed = reference::recompute_output(h, mean, rstd, forward);
    compare_quantised(given, block, validate::recompute_bounds(forward, recomputed, saved), comparison);
  });
  const auto compare_sums = [&](std::string_view role, const Array& sums, const Array& bound) {
    const HostTensor* tensor = given.tensor(role);
    for_each_element(tensor, {0, 1}, [&](auto, auto, auto j, std::uint32_t bits) {
      comparison.value(role, 0, j, tensor->type, bits, sums(0, j), bound(0, j));
    });
  };
  compare_sums("dweight", dweight, dweight_bound);
  compare_sums("dbias", dbias, dbias_bound);
}

}  // namespace normquant::check
