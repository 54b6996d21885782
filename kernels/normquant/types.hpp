// Element types, tensor views and the switches that every operation shares.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace normquant {

/// Storage type of a tensor's elements. Arithmetic is float32 whatever the storage type.
enum class DType : std::int32_t { float32, float16, bfloat16 };

/// Which norm: `layer` subtracts the mean, `rms` does not.
enum class NormKind : std::int32_t { layer, rms };

/// How a tie is rounded to a code.
enum class Rounding : std::int32_t { half_away, half_even };

/// Where the statistics and y come from: the float32 sum x + residual, or that sum after rounding to the type it is
/// stored in (then the backward recomputes the forward's codes exactly).
enum class HSource : std::int32_t { unrounded, stored };

/// What codes are: integers of 8 bits, or floating-point numbers of 8 bits, the finite-only e4m3 of OCP FP8 (4 exponent bits,
/// bias 7, largest 448, NaN 0x7F or 0xFF). docs/operations.md, section 8.
enum class QuantFormat : std::int32_t { int8, fp8_e4m3 };

/// Bytes of one element.
constexpr std::size_t size_of(DType type) { return type == DType::float32 ? 4 : 2; }

constexpr std::string_view name_of(DType type) {
  return type == DType::float32 ? "float32" : type == DType::float16 ? "float16" : "bfloat16";
}
constexpr std::string_view name_of(NormKind kind) { return kind == NormKind::layer ? "layer" : "rms"; }
constexpr std::string_view name_of(Rounding rounding) {
  return rounding == Rounding::half_away ? "half_away" : "half_even";
}
constexpr std::string_view name_of(HSource source) { return source == HSource::unrounded ? "unrounded" : "stored"; }

constexpr std::string_view name_of(QuantFormat format) { return format == QuantFormat::int8 ? "int8" : "fp8_e4m3"; }
/// The format of that name, or nothing.
constexpr std::optional<QuantFormat> quant_format_named(std::string_view name) {
  if (name == name_of(QuantFormat::int8)) return QuantFormat::int8;
  if (name == name_of(QuantFormat::fp8_e4m3)) return QuantFormat::fp8_e4m3;
  return std::nullopt;
}
/// What a row's largest magnitude becomes by a scale of its own.
constexpr float largest_code(QuantFormat format) { return format == QuantFormat::int8 ? 127.0F : 448.0F; }

/// The type of that name (`float32`, `fp32`, `f32`, `float16`, `fp16`, `f16`, `bfloat16`, `bf16`), or nothing.
constexpr std::optional<DType> dtype_named(std::string_view name) {
  if (name == "float32" || name == "fp32" || name == "f32") return DType::float32;
  if (name == "float16" || name == "fp16" || name == "f16") return DType::float16;
  if (name == "bfloat16" || name == "bf16") return DType::bfloat16;
  return std::nullopt;
}

/// A row-major matrix on the device: element (i, j) is data[i * ld + j]. `data == nullptr` means "not given".
/// `ld` is in elements and at least the number of columns; no alignment beyond the element's is required.
template <class Void>
struct BasicMatrix {
  Void* data = nullptr;
  DType type = DType::float32;
  std::int64_t ld = 0;
  constexpr bool given() const { return data != nullptr; }
};
using Matrix = BasicMatrix<void>;
using ConstMatrix = BasicMatrix<const void>;

/// A contiguous vector on the device. `data == nullptr` means "not given".
template <class Void>
struct BasicVector {
  Void* data = nullptr;
  DType type = DType::float32;
  constexpr bool given() const { return data != nullptr; }
};
using Vector = BasicVector<void>;
using ConstVector = BasicVector<const void>;

/// Where the result of a row-wise quantisation goes. At least one of the two forms must be given; both may be.
struct QuantOutput {
  Matrix out;                      ///< [M, N] code / quant_scale, in out.type (form a)
  std::int8_t* codes = nullptr;    ///< [M, N] codes in [-128, 127], or the bits of e4m3 (form b)
  std::int64_t ld_codes = 0;       ///< row stride of codes, >= N
  float* dequant_scale = nullptr;  ///< [M] 1 / quant_scale; required with codes, optional with out alone; null where
                                   ///< the scale is static
  constexpr bool given() const { return out.given() || codes != nullptr; }
};

/// The floor of absmax (activations) and absmean (weights): the Triton system's `clamp_(min=1e-5)`, sections 1 and 3 of
/// docs/operations.md. Of activations another one may be given.
inline constexpr float scale_floor = 1e-5F;

/// In what format and by what scale rows are quantised (docs/operations.md, section 8).
struct Quantisation {
  QuantFormat format = QuantFormat::int8;  ///< fp8_e4m3 rounds half to even, whatever the rounding asked for
  float static_scale = 0.0F;               ///< quant_scale of the whole tensor, 1e-12 to 1e12; 0: each row has its own
  float floor = scale_floor;               ///< of absmax, 1e-12 to 1e30
  constexpr bool has_static_scale() const { return static_scale != 0.0F; }
  bool operator==(const Quantisation&) const = default;
  /// int8 by the row's own scale with the usual floor: what sections 1 to 3 say.
  constexpr bool is_usual() const { return format == QuantFormat::int8 && !has_static_scale() && floor == scale_floor; }
};

/// Defaults of eps in the Triton system; every call here passes its own eps explicitly.
namespace default_eps {
inline constexpr float layer_norm_linear_quant = 1e-6F;  ///< its function with residual, prenorm and norm kind
inline constexpr float rms_norm_linear_quant = 1e-5F;    ///< its RMS-norm form
inline constexpr float bit_linear = 1e-6F;               ///< its bit_linear takes 1e-8 and ignores it for 1e-6
inline constexpr float unfused_module = 1e-8F;           ///< its BitLinear's own norm
inline constexpr float fused_module = 1e-6F;             ///< its FusedBitLinear
}  // namespace default_eps

}  // namespace normquant
