#include "validate/operations/prepared_problem.hpp"

#include <algorithm>
#include <new>

#include <normquant/activation_quant.hpp>
#include <normquant/bit_linear.hpp>
#include <normquant/norm_quant_backward.hpp>
#include <normquant/norm_quant_forward.hpp>
#include <normquant/weight_quant.hpp>

#include "validate/operations/prepared_base.hpp"

namespace normquant::validate {
namespace {

template <class Args>
std::vector<VariantEntry> entries(Operation op, DeviceKind kind) {
  std::vector<VariantEntry> all;
  for (const auto* table : {&variants<Args>(kind), &plugins::variants<Args>(kind)}) {
    for (const Variant<Args>& v : *table) {
      all.push_back({op, v.name, v.summary, v.deterministic, v.tuning.threads_per_row, v.tuning.rows_per_block,
                     v.tuning.access_bytes, v.tuning});
    }
  }
  return all;
}

}  // namespace

std::vector<VariantEntry> catalogue(Operation op, DeviceKind kind) {
  switch (op) {
    case Operation::norm_quant_forward: return entries<NormQuantForward>(op, kind);
    case Operation::norm_quant_backward: return entries<NormQuantBackward>(op, kind);
    case Operation::activation_quant: return entries<ActivationQuant>(op, kind);
    case Operation::weight_quant: return entries<WeightQuant>(op, kind);
    case Operation::bit_linear_forward: return entries<BitLinearForward>(op, kind);
    case Operation::bit_linear_backward: break;
  }
  return entries<BitLinearBackward>(op, kind);
}

Verdict check_what_was_launched(PreparedProblem& prepared, const std::function<Status()>& launch) {
  Verdict first = prepared.check();
  if (first.like_poison == 0 || first.outcome == Outcome::error) return first;
  Status status = prepared.poison_outputs(Poison::second);
  if (status.ok()) status = launch();
  if (!status.ok()) {
    Verdict error;
    error.outcome = Outcome::error;
    error.reason = status.message;
    return error;
  }
  Verdict second = prepared.check();
  return second.outcome == Outcome::pass && first.outcome != Outcome::pass ? first : second;
}

std::unique_ptr<PreparedProblem> prepare(const Problem& problem, Device& device, std::int64_t distinct_rows,
                                         std::string& why) {
  const std::int64_t distinct = distinct_rows > 0 ? std::min(problem.rows, distinct_rows) : problem.rows;
  try {
    switch (problem.op) {
      case Operation::norm_quant_forward: return prepare_norm_quant_forward(problem, device, distinct, why);
      case Operation::norm_quant_backward: return prepare_norm_quant_backward(problem, device, distinct, why);
      case Operation::activation_quant: return prepare_activation_quant(problem, device, distinct, why);
      case Operation::weight_quant: return prepare_weight_quant(problem, device, distinct, why);
      case Operation::bit_linear_forward: return prepare_bit_linear_forward(problem, device, distinct, why);
      case Operation::bit_linear_backward: break;
    }
    return prepare_bit_linear_backward(problem, device, distinct, why);
  } catch (const std::bad_alloc&) {
    why = "out of memory: the CPU side cannot hold the inputs and the reference of this problem";
    return nullptr;
  }
}

}  // namespace normquant::validate
