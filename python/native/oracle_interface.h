// What normquant.testing and normquant.bench call, through ctypes: a C interface, so that one library serves every Python.
#ifndef NORMQUANT_ORACLE_INTERFACE_H
#define NORMQUANT_ORACLE_INTERFACE_H

#include <stdint.h>

#define NORMQUANT_EXPORT __attribute__((visibility("default")))

#ifdef __cplusplus
extern "C" {
#endif

/// A tensor in the host's memory, borrowed for the call.
typedef struct {
  const char* role;     ///< "x", "out", "codes", ... as in docs/operations.md
  const char* element;  ///< "float32", "float16", "bfloat16", "int8", "uint8" or "float8_e4m3fn"
  const void* data;     ///< its first element; may be null when it has none
  int32_t dimensions;
  const int64_t* shape;
  const int64_t* strides;  ///< bytes from one element to the next; any sign, or 0
} NormquantTensor;

/// Enqueues the user's launch on buffer copy `slot`. 0, or anything else when it failed.
typedef int32_t (*NormquantLaunch)(int32_t slot, void* stream);

// A request is a JSON object of words: op, norm, eps, rounding, h_source, algorithm, y_type, arithmetic, packing, format,
// static_scale, floor, product, each as in `normquant check`. An answer is a JSON object that the caller gives to normquant_oracle_free. Nothing throws.

/// {"outcome": "right" | "wrong" | "cannot tell" | "refused" | "error", "text", "reason", "title", "elements_checked",
///  "elements_wrong", "tensors": [{tensor, elements, wrong, worst_over_bound}], "mismatches": [{tensor, row, column, expected,
///  actual}], "readings": ["--eps 1e-06"]}. Refused and error have outcome and reason alone. "quick" in the request: no readings.
NORMQUANT_EXPORT char* normquant_oracle_judge(const char* request, const NormquantTensor* tensors, int32_t count);

/// Writes the tensors into the request's "file", a .safetensors. {"outcome": "right", "command": "normquant check ..."}, or
/// "error" with a reason.
NORMQUANT_EXPORT char* normquant_oracle_save(const char* request, const NormquantTensor* tensors, int32_t count);

/// How many copies of the buffers a timing rotates through: {"outcome": "right", "slots"}. Request: device ("host", "cuda:0"),
/// bytes (of one launch).
NORMQUANT_EXPORT char* normquant_oracle_slots(const char* request);

/// Times `launch` by the timers of `normquant bench`, the plain copy of as many bytes beside it, and this library's own variants
/// on the problem that the tensors make. Request: as for a judgement, and device, bytes, slots, ours ("auto", "all" or "none"),
/// quick. After timing `poison` is called, then the launches once more, so that the caller can judge what they wrote.
/// {"outcome": "right", "theirs": {kind, median_us, ...}, "cold", "copy_us", "ours": [...]}, "error" or "refused" with a reason.
NORMQUANT_EXPORT char* normquant_oracle_time(const char* request, const NormquantTensor* tensors, int32_t count,
                                             NormquantLaunch launch, NormquantLaunch poison);

NORMQUANT_EXPORT void normquant_oracle_free(char* answer);

#ifdef __cplusplus
}
#endif
#endif
