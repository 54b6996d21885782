/* A kernel of your own, listed, checked and timed by normquant like its own (docs/plugins.md).
 *
 * A plugin is a shared library that exports normquant_plugin_entry. normquant loads it with `--plugin FILE` in processes of
 * their own, one for each variant, and calls the functions of its table there, each call with its own buffers. A function
 * leaves the floating-point mode as it was, and returns. Nothing here needs C++ or CUDA headers.
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

/* Version 2 added the operations of the layer and `multiplies_codes`; version 3 `serves_formats`, the bits of `reproducible` and, at
 * the end of two arguments, `quantisation`. A plugin of an older version is still loaded, without them. */
#define NORMQUANT_PLUGIN_ABI 3

/* The most scratch memory that a variant may ask for, bytes. */
#define NORMQUANT_PLUGIN_MOST_WORKSPACE ((size_t)8 << 30)

/* Makes the entry visible also where a library hides its symbols. */
#define NORMQUANT_PLUGIN_EXPORT __attribute__((visibility("default")))

enum { NORMQUANT_FLOAT32 = 0, NORMQUANT_FLOAT16 = 1, NORMQUANT_BFLOAT16 = 2 }; /* dtype */
enum { NORMQUANT_LAYER = 0, NORMQUANT_RMS = 1 };                               /* norm */
enum { NORMQUANT_HALF_AWAY = 0, NORMQUANT_HALF_EVEN = 1 };                     /* rounding */
enum { NORMQUANT_UNROUNDED = 0, NORMQUANT_STORED = 1 };                        /* h_source */
enum { NORMQUANT_INT8 = 0, NORMQUANT_FP8_E4M3 = 1 };                           /* format: version 3 */
enum { NORMQUANT_HOST = 1, NORMQUANT_CUDA = 2 };                               /* devices: bits */
enum {                                                                         /* operation */
       NORMQUANT_NORM_QUANT_FORWARD = 0,
       NORMQUANT_NORM_QUANT_BACKWARD = 1,
       NORMQUANT_ACTIVATION_QUANT = 2,
       NORMQUANT_WEIGHT_QUANT = 3,
       NORMQUANT_BIT_LINEAR_FORWARD = 4, /* version 2 */
       NORMQUANT_BIT_LINEAR_BACKWARD = 5
};

/* What a variant promises: bits. The same bits from run to run; and that a row's outputs keep their bits whatever the number of
 * rows is, wherever the row stands, whoever its neighbours are and wherever tensors lie. */
enum { NORMQUANT_REPRODUCIBLE = 1, NORMQUANT_ROW_INVARIANT = 2 };

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
  float* dequant_scale; /* given with codes, unless the scale is static */
} normquant_quant_output;

/* Version 3. In what format and by what scale rows are quantised. See docs/operations.md, section 8. A variant that does not
 * say `serves_formats` is given int8, no static scale and the floor 1e-5 only. */
typedef struct {
  int32_t format;     /* codes are then the bits of e4m3 */
  float static_scale; /* quant_scale of the whole tensor, and dequant_scale is null; 0: each row has its own */
  float floor;        /* of absmax */
  int32_t reserved;
} normquant_quantisation;

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
  normquant_quantisation quantisation;
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
  normquant_quantisation quantisation;
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

/* Ternary weights in up to three forms, null where not given. */
typedef struct {
  normquant_matrix operand; /* [k_out, k_in] fake-quantised, in the type of the product's operands */
  int8_t* codes;            /* [k_out, k_in] in {-1, 0, 1} */
  int64_t ld_codes;
  uint8_t* packed; /* [k_out, ceil(k_in / 4)], as in normquant_weight_args */
  int64_t ld_packed;
  float* dequant_factor; /* [1], given with codes or packed */
} normquant_linear_weights;

/* The layer: norm, 8-bit activations, ternary weights, matrix product, bias. See operations.md, section 4. */
typedef struct {
  uint32_t size;
  int32_t norm, rounding, h_source; /* of the activations; weights are rounded half to even */
  float eps;
  int32_t operand; /* dtype of the product's operands, and of dy between product and norm in the backward */
  int64_t k_in, k_out;
  normquant_const_vector norm_weight, norm_bias; /* [k_in] */
  normquant_const_vector linear_bias;            /* [k_out]; the forward adds it when adds_bias is 1 */
  int32_t adds_bias, reserved;
  normquant_linear_weights weights;
} normquant_bit_linear;

/* out = y_q * w_q^T + linear_bias. With linear_weight: quantise it first and write every form in layer.weights that has
 * memory. Without: the forms that are given are inputs. */
typedef struct {
  uint32_t size;
  int32_t reserved;
  int64_t rows; /* rows >= 1 */
  normquant_bit_linear layer;
  normquant_const_matrix linear_weight; /* [k_out, k_in] */
  normquant_const_matrix x, residual;   /* [rows, k_in] */
  normquant_matrix out;                 /* [rows, k_out] */
  normquant_matrix residual_out;        /* [rows, k_in] */
  float *mean, *rstd, *quant_scale;     /* [rows] each, null: not wanted */
  normquant_quant_output y_q;           /* [rows, k_in] the product's activations, where wanted */
} normquant_bit_linear_forward_args;

/* dy = dout * w_q; dlinear_weight = dout^T * y_q, computed again; the rest as norm_quant_backward. */
typedef struct {
  uint32_t size;
  int32_t reserved;
  int64_t rows;
  normquant_bit_linear layer;  /* weights.operand is given */
  normquant_const_matrix dout; /* [rows, k_out] */
  normquant_const_matrix h;    /* [rows, k_in] */
  const float *mean, *rstd, *quant_scale;
  normquant_const_matrix dresidual;
  normquant_matrix dx, dx_residual;
  normquant_matrix dlinear_weight; /* [k_out, k_in] */
  normquant_vector dlinear_bias;   /* [k_out] */
  normquant_vector dnorm_weight, dnorm_bias;
} normquant_bit_linear_backward_args;

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
  int32_t reproducible; /* bits, each then checked: NORMQUANT_REPRODUCIBLE, NORMQUANT_ROW_INVARIANT; 0: neither */
  union {
    int32_t multiplies_codes; /* bit_linear_forward: 1 when the product is of integer codes, exact in int32, and scaled
                               * then; 0 when of fake-quantised operands, rounded to their type first */
    int32_t serves_formats;   /* version 3, norm_quant_forward and activation_quant: 1 when it reads `quantisation` */
  };
  const char* name;    /* [a-z0-9_]+, unique in the plugin */
  const char* summary; /* one line for `normquant list` */
  void* context;       /* yours */

  /* 0 when the variant serves these arguments; else not 0 and why not, and the case is reported as skipped. May be null:
   * it serves all. */
  int (*why_not)(const normquant_variant* self, const void* args, const normquant_device* device, char* why,
                 size_t why_size);
  /* Bytes of scratch memory, 256-byte aligned, that launch needs: at most NORMQUANT_PLUGIN_MOST_WORKSPACE. May be null:
   * none. */
  size_t (*workspace_bytes)(const normquant_variant* self, const void* args, const normquant_device* device);
  /* 0 when launched. Inputs are unchanged, and every output is written anew by every launch: which values a buffer holds
   * changes from launch to launch. On CUDA: pointers are to memory of the current device; enqueue on `stream` (a cudaStream_t), do not
   * allocate, do not synchronise, so that the launch can be captured in a graph. On the host: `stream` is null, and the
   * outputs are written, by whatever threads, when it returns. Required. */
  int (*launch)(const normquant_variant* self, const void* args, const normquant_device* device, void* workspace,
                void* stream, char* why, size_t why_size);
};

typedef struct {
  uint32_t abi; /* NORMQUANT_PLUGIN_ABI that it was compiled with */
  uint32_t count;
  const char* name; /* [a-z0-9_]+; its variants are called name:variant */
  const normquant_variant* variants;
} normquant_plugin_table;

/* The one function that a plugin exports. `abi` is normquant's; null when the plugin cannot serve it, and then it is asked
 * again for each older version that normquant still serves. The table lives until the program ends. */
NORMQUANT_PLUGIN_EXPORT const normquant_plugin_table* normquant_plugin_entry(uint32_t abi);

#ifdef __cplusplus
}
#endif

#endif
