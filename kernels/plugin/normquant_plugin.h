/* A kernel of your own, listed, checked and timed by normquant like its own (docs/plugins.md).
 *
 * A plugin is a shared library that exports normquant_plugin_entry. normquant loads it with `--plugin FILE` and calls the
 * functions of its table from any thread, each call with its own buffers. Nothing here needs C++ or CUDA headers.
 *
 * The tensors and arguments below are those of operations.md and of normquant's C++ headers, and serve any other C
 * interface to the operations as well. A structure that begins with `size` may grow at its end while
 * NORMQUANT_PLUGIN_ABI stays the same: read only members that lie within `size`. */
#ifndef NORMQUANT_PLUGIN_H
#define NORMQUANT_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NORMQUANT_PLUGIN_ABI 1

/* Makes the entry visible also where a library hides its symbols. */
#define NORMQUANT_PLUGIN_EXPORT __attribute__((visibility("default")))

enum { NORMQUANT_FLOAT32 = 0, NORMQUANT_FLOAT16 = 1, NORMQUANT_BFLOAT16 = 2 }; /* dtype */
enum { NORMQUANT_LAYER = 0, NORMQUANT_RMS = 1 };                               /* norm */
enum { NORMQUANT_HALF_AWAY = 0, NORMQUANT_HALF_EVEN = 1 };                     /* rounding */
enum { NORMQUANT_UNROUNDED = 0, NORMQUANT_STORED = 1 };                        /* h_source */
enum { NORMQUANT_HOST = 1, NORMQUANT_CUDA = 2 };                               /* devices: bits */
enum {                                                                         /* operation */
       NORMQUANT_NORM_QUANT_FORWARD = 0,
       NORMQUANT_NORM_QUANT_BACKWARD = 1,
       NORMQUANT_ACTIVATION_QUANT = 2,
       NORMQUANT_WEIGHT_QUANT = 3
};

/* Element (i, j) is data[i * ld + j]; data is null when the tensor is not given. Alignment: the element's, no more. */
typedef struct {
  const void* data;
  int64_t ld; /* row stride in elements, >= columns */
  int32_t dtype;
  int32_t reserved;
} normquant_const_matrix;

typedef struct {
  void* data;
  int64_t ld;
  int32_t dtype;
  int32_t reserved;
} normquant_matrix;

/* Contiguous; data is null when the vector is not given. */
typedef struct {
  const void* data;
  int32_t dtype;
  int32_t reserved;
} normquant_const_vector;

typedef struct {
  void* data;
  int32_t dtype;
  int32_t reserved;
} normquant_vector;

/* A row-wise quantisation in one or both forms: out = code / quant_scale, and codes with dequant_scale [rows]. */
typedef struct {
  normquant_matrix out;
  int8_t* codes; /* null: not wanted */
  int64_t ld_codes;
  float* dequant_scale; /* given with codes */
} normquant_quant_output;

/* h = x + residual; y = norm(h) * weight + bias; out = quantised y. See docs/operations.md, section 1. */
typedef struct {
  uint32_t size;
  int32_t norm, rounding, h_source;
  float eps;
  int32_t reserved;
  int64_t rows, columns; /* rows >= 1 */
  normquant_const_matrix x, residual;
  normquant_const_vector weight, bias;
  normquant_quant_output output;
  normquant_matrix residual_out;
  float *mean, *rstd, *quant_scale; /* [rows] each, null: not wanted */
} normquant_forward_args;

/* dx, dweight, dbias, and the forward's out computed again. See docs/operations.md, section 2. */
typedef struct {
  uint32_t size;
  int32_t norm, rounding, reserved;
  int64_t rows, columns; /* rows >= 0: no rows give zeros in dweight and dbias */
  normquant_const_matrix dy, h;
  normquant_const_vector weight, bias;
  const float *mean, *rstd, *quant_scale; /* [rows]; mean null for RMS; quant_scale may be null */
  normquant_const_matrix dresidual;
  normquant_matrix dx, dx_residual;
  normquant_vector dweight, dbias;
  normquant_quant_output recomputed;
} normquant_backward_args;

typedef struct {
  uint32_t size;
  int32_t rounding;
  int64_t rows, columns; /* rows >= 1 */
  normquant_const_matrix x;
  normquant_quant_output output;
} normquant_activation_args;

/* One scale for the whole matrix. See docs/operations.md, section 3. */
typedef struct {
  uint32_t size;
  int32_t reserved;
  int64_t rows, columns;
  normquant_const_matrix w;
  normquant_matrix out;
  int8_t* codes; /* in {-1, 0, 1} */
  int64_t ld_codes;
  uint8_t* packed; /* four to a byte: bits 2i, 2i+1 of byte b hold code + 1 of column 4b + i; code 0 past the last */
  int64_t ld_packed;
  float* dequant_factor; /* [1], given with codes or packed */
} normquant_weight_args;

typedef struct {
  uint32_t size;
  int32_t kind;               /* NORMQUANT_HOST or NORMQUANT_CUDA */
  int32_t compute_capability; /* 10 * major + minor; 0 on the host */
  int32_t sm_count;
  uint64_t shared_memory_per_block; /* most dynamic shared memory of a block, bytes */
  uint64_t l2_bytes;
} normquant_device;

/* One implementation. `args` points to the arguments of its operation. A function that fails puts a sentence, ended by a
 * zero, into why[0 .. why_size). */
typedef struct normquant_variant normquant_variant;
struct normquant_variant {
  int32_t operation;
  uint32_t devices;     /* where it runs: NORMQUANT_HOST | NORMQUANT_CUDA */
  int32_t reproducible; /* 1: the same bits from run to run, which is then checked */
  int32_t reserved;
  const char* name;    /* [a-z0-9_]+, unique in the plugin */
  const char* summary; /* one line for `normquant list` */
  void* context;       /* yours */

  /* 0 when the variant serves these arguments; else not 0 and why not, and the case is reported as skipped. May be null:
   * it serves all. */
  int (*why_not)(const normquant_variant* self, const void* args, const normquant_device* device, char* why,
                 size_t why_size);
  /* Bytes of scratch memory, 256-byte aligned, that launch needs. May be null: none. */
  size_t (*workspace_bytes)(const normquant_variant* self, const void* args, const normquant_device* device);
  /* 0 when launched. On CUDA: pointers are to memory of the current device; enqueue on `stream` (a cudaStream_t), do not
   * allocate, do not synchronise, so that the launch can be captured in a graph. On the host: `stream` is null, and the
   * outputs are written when it returns. Required. */
  int (*launch)(const normquant_variant* self, const void* args, const normquant_device* device, void* workspace,
                void* stream, char* why, size_t why_size);
};

typedef struct {
  uint32_t abi; /* NORMQUANT_PLUGIN_ABI */
  uint32_t count;
  const char* name; /* [a-z0-9_]+; its variants are called name:variant */
  const normquant_variant* variants;
} normquant_plugin_table;

/* The one function that a plugin exports. `abi` is normquant's; null when the plugin cannot serve it. The table lives
 * until the program ends. */
NORMQUANT_PLUGIN_EXPORT const normquant_plugin_table* normquant_plugin_entry(uint32_t abi);

#ifdef __cplusplus
}
#endif

#endif
