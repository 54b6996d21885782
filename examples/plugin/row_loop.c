/* A plugin for the host device: activation_quant as one loop over each row.
 *
 *   normquant validate --plugin row_loop.so --op activation_quant --variant row_loop
 *   normquant bench    --plugin row_loop.so --op activation_quant --variant row_loop --device host */
#include "normquant_plugin.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static float load(const normquant_const_matrix* m, int64_t row, int64_t column) {
  const int64_t at = row * m->ld + column;
  if (m->dtype == NORMQUANT_FLOAT32) return ((const float*)m->data)[at];
  const uint32_t bits = (uint32_t)((const uint16_t*)m->data)[at] << 16; /* bfloat16: the upper half of a float */
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static void store(const normquant_matrix* m, int64_t row, int64_t column, float value) {
  const int64_t at = row * m->ld + column;
  if (m->dtype == NORMQUANT_FLOAT32) {
    ((float*)m->data)[at] = value;
    return;
  }
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  bits += isnan(value) ? 0 : 0x7FFF + (bits >> 16 & 1); /* to nearest, ties to even */
  ((uint16_t*)m->data)[at] = (uint16_t)(bits >> 16);
}

/* absmax = max|x|; NaN when an element is not finite. */
static float row_absmax(const normquant_activation_args* a, int64_t row) {
  float absmax = 0;
  for (int64_t j = 0; j < a->columns; ++j) {
    const float x = load(&a->x, row, j);
    if (!isfinite(x)) return NAN;
    absmax = fmaxf(absmax, fabsf(x));
  }
  return absmax;
}

static void quantise_row(const normquant_activation_args* a, int64_t row) {
  const float absmax = row_absmax(a, row);
  const float divisor = isnan(absmax) ? absmax : fmaxf(absmax, 1e-5F);
  const float quant_scale = 127.0F / divisor;
  for (int64_t j = 0; j < a->columns; ++j) {
    const float t = load(&a->x, row, j) * quant_scale;
    const float rounded = a->rounding == NORMQUANT_HALF_AWAY ? roundf(t) : rintf(t);
    const float code = fminf(fmaxf(rounded, -128.0F), 127.0F);
    if (a->output.out.data) store(&a->output.out, row, j, isnan(absmax) ? absmax : code / quant_scale);
    if (a->output.codes) a->output.codes[row * a->output.ld_codes + j] = isnan(absmax) ? 0 : (int8_t)code;
  }
  if (a->output.dequant_scale) a->output.dequant_scale[row] = divisor / 127.0F;
}

static int why_not(const normquant_variant* self, const void* args, const normquant_device* device, char* why,
                   size_t why_size) {
  (void)self, (void)device;
  const normquant_activation_args* a = args;
  const int half_out = a->output.out.data && a->output.out.dtype == NORMQUANT_FLOAT16;
  if (a->x.dtype != NORMQUANT_FLOAT16 && !half_out) return 0;
  snprintf(why, why_size, "reads and writes float32 and bfloat16; float16 was asked for");
  return 1;
}

static int launch(const normquant_variant* self, const void* args, const normquant_device* device, void* workspace,
                  void* stream, char* why, size_t why_size) {
  (void)self, (void)device, (void)workspace, (void)stream, (void)why, (void)why_size;
  const normquant_activation_args* a = args;
  for (int64_t row = 0; row < a->rows; ++row) quantise_row(a, row);
  return 0;
}

static const normquant_variant variants[] = {
    {.operation = NORMQUANT_ACTIVATION_QUANT,
     .devices = NORMQUANT_HOST,
     .reproducible = 1,
     .name = "row_loop",
     .summary = "one loop over each row",
     .why_not = why_not,
     .launch = launch},
};

static const normquant_plugin_table table = {NORMQUANT_PLUGIN_ABI, 1, "example", variants};

NORMQUANT_PLUGIN_EXPORT const normquant_plugin_table* normquant_plugin_entry(uint32_t abi) {
  return abi == NORMQUANT_PLUGIN_ABI ? &table : NULL;
}
