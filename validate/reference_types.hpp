// The library's types in the reference's words.
#pragma once

#include <normquant/types.hpp>

#include "reference/norm_quant_forward.hpp"
#include "reference/types.hpp"

namespace normquant::validate {

inline reference::NormKind reference_norm(NormKind norm) {
  return norm == NormKind::layer ? reference::NormKind::layer : reference::NormKind::rms;
}
inline reference::Rounding reference_rounding(Rounding rounding) {
  return rounding == Rounding::half_away ? reference::Rounding::half_away : reference::Rounding::half_even;
}
inline reference::Storage reference_storage(DType type) {
  return type == DType::float32   ? reference::Storage::float32
         : type == DType::float16 ? reference::Storage::float16
                                  : reference::Storage::bfloat16;
}

inline reference::Format reference_format(QuantFormat format) {
  return format == QuantFormat::int8 ? reference::Format::int8 : reference::Format::fp8_e4m3;
}
/// The usual floor is 1e-5 itself, of which a kernel has the float32.
inline reference::Quantisation reference_quantisation(const Quantisation& q) {
  return {reference_format(q.format), q.static_scale, q.floor == scale_floor ? reference::scale_floor : q.floor};
}

}  // namespace normquant::validate
