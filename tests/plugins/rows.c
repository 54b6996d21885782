/* A plugin whose variants promise that a row keeps its bits, most of them wrongly: tests/plugin_rows_test.cpp. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "normquant_plugin.h"

enum mistake { none, follows_m, follows_place, follows_neighbours, follows_alignment };

/* What the first element of a row has more than it should: a unit in the last place, which is right within the bounds. */
static int off(enum mistake mistake, const normquant_activation_args* a, int64_t row) {
  const float* x = a->x.data;
  switch (mistake) {
    case follows_m: return a->rows >= 128;
    case follows_place: return row + 1 == a->rows && row > 0;
    case follows_neighbours: return row > 0 && isnan(x[(row - 1) * a->x.ld + a->columns / 3]);
    case follows_alignment: return (uintptr_t)(x + row * a->x.ld) % 16 != 0;
    default: return 0;
  }
}

static int launch(const normquant_variant* self, const void* args, const normquant_device* device, void* workspace,
                  void* stream, char* why, size_t why_size) {
  (void)device, (void)workspace, (void)stream, (void)why, (void)why_size;
  const normquant_activation_args* a = args;
  for (int64_t i = 0; i < a->rows; ++i) {
    const float* x = (const float*)a->x.data + i * a->x.ld;
    float* out = (float*)a->output.out.data + i * a->output.out.ld;
    float absmax = 0;
    int finite = 1;
    for (int64_t j = 0; j < a->columns; ++j) {
      absmax = fmaxf(absmax, fabsf(x[j]));
      finite = finite && isfinite(x[j]);
    }
    const float scale = 127.0F / fmaxf(absmax, 1e-5F);
    for (int64_t j = 0; j < a->columns; ++j) {
      const float code = a->rounding == NORMQUANT_HALF_EVEN ? rintf(x[j] * scale) : roundf(x[j] * scale);
      out[j] = finite ? code / scale : NAN;
    }
    if (off((enum mistake)(intptr_t)self->context, a, i)) out[0] = nextafterf(out[0], 1e9F);
  }
  return 0;
}

static int why_not(const normquant_variant* self, const void* args, const normquant_device* device, char* why,
                   size_t why_size) {
  (void)self, (void)device;
  const normquant_activation_args* a = args;
  const int plain = a->x.dtype == NORMQUANT_FLOAT32 && a->output.out.data && a->output.out.dtype == NORMQUANT_FLOAT32 &&
                    !a->output.codes && !a->output.dequant_scale;
  if (!plain) snprintf(why, why_size, "reads and writes float32, without scales");
  return plain ? 0 : 1;
}

#define VARIANT(called, mistake, promises)                                                                            \
  {                                                                                                                   \
    .operation = NORMQUANT_ACTIVATION_QUANT, .devices = NORMQUANT_HOST, .reproducible = (promises), .name = (called), \
    .context = (void*)(intptr_t)(mistake), .why_not = why_not, .launch = launch                                       \
  }
#define BOTH (NORMQUANT_REPRODUCIBLE | NORMQUANT_ROW_INVARIANT)

static const normquant_variant variants[] = {VARIANT("keeps_them", none, BOTH),
                                             VARIANT("follows_m", follows_m, BOTH),
                                             VARIANT("follows_place", follows_place, BOTH),
                                             VARIANT("follows_neighbours", follows_neighbours, BOTH),
                                             VARIANT("follows_alignment", follows_alignment, BOTH),
                                             VARIANT("promises_nothing", follows_m, NORMQUANT_REPRODUCIBLE)};

static const normquant_plugin_table table = {NORMQUANT_PLUGIN_ABI, sizeof variants / sizeof *variants, "rows",
                                             variants};

NORMQUANT_PLUGIN_EXPORT const normquant_plugin_table* normquant_plugin_entry(uint32_t abi) {
  return abi == NORMQUANT_PLUGIN_ABI ? &table : NULL;
}
