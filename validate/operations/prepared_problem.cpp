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

using Prepare = std::unique_ptr<PreparedProblem> (*)(const Problem&, Device&, std::int64_t, std::string&);
constexpr PerOperation<Prepare> prepare_of = {prepare_norm_quant_forward, prepare_norm_quant_backward,
                                              prepare_activation_quant,   prepare_weight_quant,
                                              prepare_bit_linear_forward, prepare_bit_linear_backward};

}  // namespace

std::vector<VariantEntry> catalogue(Operation op, DeviceKind kind) {
  return with_operation(op, [&]<class Args>(std::type_identity<Args>) {
    std::vector<VariantEntry> all;
    for (const auto* table : {&variants<Args>(kind), &plugins::variants<Args>(kind)}) {
      for (const Variant<Args>& v : *table) {
        all.push_back({op, v.name, v.summary, v.deterministic, v.row_invariant, v.tuning.threads_per_row,
                       v.tuning.rows_per_block, v.tuning.access_bytes, v.tuning});
      }
    }
    return all;
  });
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
    return prepare_of[problem.op](problem, device, distinct, why);
  } catch (const std::bad_alloc&) {
    why = "out of memory: the CPU side cannot hold the inputs and the reference of this problem";
    return nullptr;
  }
}

}  // namespace normquant::validate
