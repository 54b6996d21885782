// Launch arithmetic of norm_quant_forward's one pass (one_pass.cu): which rows fit, by how many threads. Pure host code.
#pragma once

#include <string>
#include <type_traits>

#include "device/form.hpp"
#include "device/launch_sizes.hpp"
#include "device/support.hpp"

namespace normquant::forward_one_pass_launch {

/// Whether x and the weight stay packed in registers, where a packet of V elements is more than one.
constexpr bool stays_packed(Form form, int V) {
  return V > 1 && (form == Form::rms || form == Form::rms_codes || form == Form::rms_other_codes);
}

/// Whether a variant of that shape is compiled for other formats and scales where the form is not known.
constexpr bool serves_any_other(int elements, int lanes, bool clustered, bool striped) {
  return lanes == 32 && !clustered && (striped ? elements == 8 || elements == 32 : elements <= 32);
}

/// Whether mean and variance of layer norm travel in one reduction, as sums of h and h^2. Where the mean is not small beside the
/// deviation, var = sum(h^2) / N - mean^2 would lose too much (docs/numerics.md), and (h - mean)^2 is added up in a second one: then
/// the threads of a row wait once more, so rows of several warps have a block each. For up to 16 elements a thread of 16-bit packets;
/// more leave no registers for it.
constexpr bool sums_squares_with_h(Form form, int V, int elements) {
  return form == Form::layer && V == 8 && elements <= 16;
}

/// Threads of the largest block, and blocks of that size that a multiprocessor is to hold, so that hardly anything spills
/// (tests/baselines/sm_90_registers.txt) and rows enough are under way. Its 65536 registers give 2048 threads 32 each, 1536 threads
/// 40, 1024 threads 64, 768 threads 80, 512 threads 128. What asks for forms at run time, holds float32 or keeps single
/// elements needs more of them.
struct BlockLimits {
  int threads, blocks;
};
constexpr BlockLimits block_limits(int elements, std::size_t element_bytes, bool striped, Form form, int lanes,
                                   bool clustered) {
  const bool whole_rows = lanes > 8 && !clustered;  // rows of four in a warp and of a cluster take registers too
  const bool lean = is_known(form), narrow = element_bytes == 2, packed = lean && stays_packed(form, 2) && narrow;
  const bool two_blocks = lean && elements > 16 && (elements <= 24 || !narrow);
  if (striped) return {elements <= 8 ? 1024 : elements <= 16 ? 768 : 512, two_blocks ? 2 : 1};
  if (elements <= 8) return {1024, packed ? 2 : 1};
  if (lean && narrow && form == Form::layer && elements <= 16) return {640, 2};
  if (elements <= 16) return packed ? BlockLimits{768, 2} : BlockLimits{lean || !narrow ? 1024 : 768, 1};
  if (elements > 32) return {packed ? 1024 : 512, 1};
  if (packed || (narrow && form == Form::layer && whole_rows)) return {512, 2};
  return {lean && narrow ? 768 : 512, 1};
}

/// The form of the kernel that serves a problem: there is none of single elements for rms_other_codes.
constexpr Form compiled_form(Form form, bool striped) {
  return striped && form == Form::rms_other_codes ? Form::any_other : form;
}

inline bool is_striped(const Tuning& t) { return t.access_bytes < 16; }

/// Threads of a row in one block: as many whole tiles as cover the block's share.
inline std::int64_t row_threads(const Tuning& t, const NormQuantForward& a) {
  const std::int64_t tile = static_cast<std::int64_t>(t.lanes) * t.elements;
  return divide_up(divide_up(a.columns, tile), t.cluster) * t.lanes;
}

/// Rows of a block: short rows fill four warps, but not before every multiprocessor has a block. Rows that may wait once more than others
/// (sums_squares_with_h) have a block each, unless a warp holds them.
inline int block_rows(const Tuning& t, const NormQuantForward& a, const DeviceInfo& device) {
  const int threads = static_cast<int>(row_threads(t, a));
  const int packet = is_striped(t) ? 1 : elements_per_access(16, a.x.type);
  if (t.cluster > 1 || (threads > warp_threads && sums_squares_with_h(form_of(a), packet, t.elements))) return 1;
  const int least = t.lanes < warp_threads ? warp_threads / t.lanes : 1;
  int rows = threads >= 128 ? 1 : 128 / threads;
  while (rows / 2 >= least && divide_up(a.rows, rows) < device.sm_count) rows /= 2;
  return rows < least ? least : rows;
}

/// Bytes of a row of all inputs but the vectors.
inline std::int64_t row_input_bytes(const NormQuantForward& a) {
  return a.columns * (size_of(a.x.type) + (a.residual.given() ? size_of(a.residual.type) : 0));
}

inline std::string why_not(const Variant<NormQuantForward>& variant, const NormQuantForward& a,
                           const DeviceInfo& device) {
  const Tuning& t = variant.tuning;
  if (std::string lacking = lacks_clusters(variant, device); !lacking.empty()) return lacking;
  const Form form = form_of(a);
  if (!a.quantisation.is_usual() && (form == Form::any_other || is_striped(t)) &&
      !serves_any_other(t.elements, t.lanes, t.cluster > 1, is_striped(t))) {
    return "has int8 by the row's own scale and the floor 1e-5 only, but for codes of RMS norm of aligned 16-bit rows";
  }
  if (t.elements > 32 && (!is_known(form) || a.x.type == DType::float32)) {
    return "keeps 64 elements a thread: only of 16 bits, and in the forms that are known when it is compiled";
  }
  const std::int64_t threads = row_threads(t, a);
  const int most = block_limits(t.elements, size_of(a.x.type), is_striped(t), compiled_form(form, is_striped(t)),
                                t.lanes, t.cluster > 1)
                       .threads;
  if (threads > (t.lanes < warp_threads ? t.lanes : most)) {
    return "the row of " + std::to_string(a.columns) + " columns does not fit its registers";
  }
  if (a.columns <= (t.cluster - 1) * threads * t.elements) {
    return "the row of " + std::to_string(a.columns) + " columns leaves blocks of the cluster without work";
  }
  if (t.cluster * a.rows > 0x7fffffff) return "needs more blocks than a grid has";
  return is_striped(t) ? "" : why_not_packets(elements_per_access(16, a.x.type), a);
}

constexpr std::bool_constant<true> yes;
constexpr std::bool_constant<false> no;
constexpr std::integral_constant<int, 8> e8;
constexpr std::integral_constant<int, 16> e16;
constexpr std::integral_constant<int, 24> e24;
constexpr std::integral_constant<int, 32> e32;
constexpr std::integral_constant<int, 64> e64;

/// The compiled shape of a variant of packets, called with `f`: f(elements, lanes, clustered).
template <int V, class F>
Status with_shape(const Tuning& t, F&& f) {
  if (t.lanes == 8) return t.elements == 32 ? f(e32, e8, no) : f(e8, e8, no);
  if (t.lanes == 16) return f(e32, e16, no);
  if constexpr (V == 8) {
    if (t.elements == 64) return t.cluster > 1 ? f(e64, e32, yes) : f(e64, e32, no);
  }
  if (t.cluster > 1) return f(e32, e32, yes);
  return t.elements == 8 ? f(e8, e32, no) : t.elements == 16 ? f(e16, e32, no) : f(e32, e32, no);
}

/// The same of striped elements, whose tiles are a warp's: f(elements, clustered).
template <class F>
Status with_striped_shape(const Tuning& t, F&& f) {
  if (t.cluster > 1) return f(e32, yes);
  return t.elements == 8 ? f(e8, no) : t.elements == 16 ? f(e16, no) : t.elements == 24 ? f(e24, no) : f(e32, no);
}

}  // namespace normquant::forward_one_pass_launch
