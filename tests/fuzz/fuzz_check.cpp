// Any file of tensors as a question to `normquant check`: the first bytes are the switches, the others the file.
#include <cstdlib>
#include <iterator>

#include "validate/check/check.hpp"
#include "validate/tensor_files/tensor_file.hpp"

using namespace normquant;

namespace {

/// Elements of a tensor that one run has time for.
constexpr std::int64_t most_elements = 1 << 14;

check::Switches switches_of(std::uint8_t bits, std::uint8_t more) {
  check::Switches s;
  s.op = check::all_ops[(bits & 7U) % std::size(check::all_ops)];
  s.problem.op = operation_of(s.op);
  s.problem.norm = (bits & 8U) != 0 ? NormKind::layer : NormKind::rms;
  s.problem.rounding = (bits & 16U) != 0 ? Rounding::half_even : Rounding::half_away;
  s.problem.h_source = (bits & 32U) != 0 ? HSource::stored : HSource::unrounded;
  s.problem.eps = (bits & 64U) != 0 ? 1e-5F : 1e-30F;
  s.algorithm = (bits & 128U) != 0 ? validate::Algorithm::two_pass : validate::Algorithm::any;
  s.product = check::all_products[(more >> 3U & 7U) % std::size(check::all_products)];
  constexpr check::Packing packings[] = {check::Packing::normquant, check::Packing::transformers,
                                         check::Packing::tq2_0};
  s.packing = packings[(more & 3U) % std::size(packings)];
  if ((more & 4U) != 0 && s.op == check::Op::forward) s.y_type = DType::bfloat16;
  if ((more & 4U) != 0 && s.op == check::Op::norm) s.arithmetic = DType::float16;
  return s;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  std::string why;
  const auto file = tensors::open_tensors(std::make_unique<tensors::MemoryBytes>(std::span(data + 2, size - 2)), why);
  if (file == nullptr) return 0;
  check::Tensors tensors;
  for (const std::string& name : file->names()) {
    auto tensor = file->read(name, why);
    if (!tensor) return 0;
    if (tensor->elements() > most_elements) return 0;
    if (tensor->element == tensors::Element::bits16) tensor->element = tensors::Element::bfloat16;
    tensors.emplace(name, std::move(*tensor));
  }
  why.clear();
  const auto given = check::arrange(switches_of(data[0], data[1]), std::move(tensors), why);
  if (!given) {
    if (why.empty()) std::abort();
    return 0;
  }
  const validate::Verdict verdict = check::check(*given, {1 + (data[1] >> 7), false, {}});
  const bool fits =
      verdict.elements_wrong <= verdict.elements_checked && verdict.codes_ambiguous <= verdict.codes_checked;
  if (!fits || (verdict.outcome == validate::Outcome::wrong) != (verdict.elements_wrong > 0)) std::abort();
  return 0;
}
