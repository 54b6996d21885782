/* What the attacks have in common: activation_quant in float32 as it should be, and the row of a table. */
#ifndef NORMQUANT_TESTS_HONEST_H
#define NORMQUANT_TESTS_HONEST_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>

#include "normquant_plugin.h"

typedef normquant_activation_args Args;

/* The row's codes over their scale, into `out`. */
static inline void honest_row(const Args* a, int64_t row, float* out) {
  const float* x = (const float*)a->x.data + row * a->x.ld;
  float largest = 0;
  for (int64_t j = 0; j < a->columns; ++j) largest = fmaxf(largest, fabsf(x[j]));
  const float scale = 127.0F / fmaxf(largest, 1e-5F);
  for (int64_t j = 0; j < a->columns; ++j) out[j] = rintf(x[j] * scale) / scale;
}

static inline float* out_row(const Args* a, int64_t row) { return (float*)a->output.out.data + row * a->output.out.ld; }

static inline void honest(const Args* a) {
  for (int64_t i = 0; i < a->rows; ++i) honest_row(a, i, out_row(a, i));
}

static inline int float32_only(const normquant_variant* self, const void* args, const normquant_device* device,
                               char* why, size_t why_size) {
  (void)self, (void)device;
  const Args* a = (const Args*)args;
  if (a->x.dtype == NORMQUANT_FLOAT32 && a->output.out.data && a->output.out.dtype == NORMQUANT_FLOAT32 &&
      !a->output.codes && a->rounding == NORMQUANT_HALF_EVEN) {
    return 0;
  }
  snprintf(why, why_size, "reads and writes float32, rounds half to even and gives no codes");
  return 1;
}

#define LAUNCH(function)                                                                               \
  static int function(const normquant_variant* self, const void* args, const normquant_device* device, \
                      void* workspace, void* stream, char* why, size_t why_size)
#define UNUSED (void)self, (void)args, (void)device, (void)workspace, (void)stream, (void)why, (void)why_size

#endif
