// Any file of tensors as a question to `normquant check`: the first bytes are the switches, the others the file.
#include <array>
#include <cstdlib>

#include "validate/check/check.hpp"
#include "validate/tensor_files/tensor_file.hpp"

using namespace normquant;

namespace {

/// Elements of a tensor that one run has time for.
constexpr std::int64_t most_elements = 1 << 14;

validate::Problem switches_of(std::uint8_t bits) {
  constexpr std::array ops = {validate::Operation::norm_quant_forward, validate::Operation::norm_quant_backward,
                              validate::Operation::activation_quant, validate::Operation::weight_quant};
  validate::Problem p;
  p.op = ops[bits & 3U];
  p.norm = (bits & 4U) != 0 ? NormKind::layer : NormKind::rms;
  p.rounding = (bits & 8U) != 0 ? Rounding::half_even : Rounding::half_away;
  p.h_source = (bits & 16U) != 0 ? HSource::stored : HSource::unrounded;
  p.eps = (bits & 32U) != 0 ? 1e-5F : 1e-30F;
  return p;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  std::string why;
  const auto file = tensors::open_tensors(std::make_unique<tensors::MemoryBytes>(std::span(data + 1, size - 1)), why);
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
  const auto given = check::arrange(switches_of(data[0]), std::move(tensors), why);
  if (!given) {
    if (why.empty()) std::abort();
    return 0;
  }
  const validate::Verdict verdict = check::check(*given);
  const bool fits =
      verdict.elements_wrong <= verdict.elements_checked && verdict.codes_ambiguous <= verdict.codes_checked;
  if (!fits || (verdict.outcome == validate::Outcome::fail) != (verdict.elements_wrong > 0)) std::abort();
  return 0;
}
