/* A plugin whose every variant makes one mistake that `validate` must find: tests/plugin_test.cpp. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "normquant_plugin.h"

enum mistake {
  none,
  truncates,
  writes_past_the_row,
  leaves_the_last_row,
  changes_its_input,
  varies,
  fails,
  skips,
  overruns_its_scratch,
  knows_its_address,
  counts_launches,
  reads_past_the_end,
  reads_before_the_start
};

static const size_t scratch_bytes = 100;

static size_t scratch(const normquant_variant* self, const void* args, const normquant_device* device) {
  (void)self, (void)args, (void)device;
  return scratch_bytes;
}

static int launch(const normquant_variant* self, const void* args, const normquant_device* device, void* workspace,
                  void* stream, char* why, size_t why_size) {
  (void)device, (void)stream;
  static int calls = 0, launches = 0;
  static const void* first_address = NULL;
  const normquant_activation_args* a = args;
  const enum mistake mistake = (enum mistake)(intptr_t)self->context;
  if (mistake == fails) {
    snprintf(why, why_size, "no luck today");
    return 7;
  }
  if (mistake == overruns_its_scratch) memset(workspace, 0, scratch_bytes + 1);
  if (mistake == knows_its_address && first_address == NULL) first_address = a->x.data;
  if (mistake == counts_launches) ++launches;
  volatile float beside = 0; /* what is read and never used */
  const float* first = a->x.data;
  if (mistake == reads_past_the_end) beside = first[(a->rows - 1) * a->x.ld + a->columns];
  if (mistake == reads_before_the_start) beside = first[-1];
  (void)beside;
  const int64_t rows = a->rows - (mistake == leaves_the_last_row ? 1 : 0);
  for (int64_t i = 0; i < rows; ++i) {
    float* x = (float*)a->x.data + i * a->x.ld;
    float* out = (float*)a->output.out.data + i * a->output.out.ld;
    float absmax = 0;
    for (int64_t j = 0; j < a->columns; ++j) absmax = fmaxf(absmax, fabsf(x[j]));
    const float scale = 127.0F / fmaxf(absmax, 1e-5F);
    for (int64_t j = 0; j < a->columns; ++j) {
      out[j] = (mistake == truncates ? truncf(x[j] * scale) : rintf(x[j] * scale)) / scale;
    }
    if (mistake == knows_its_address && a->x.data != first_address) out[0] = nextafterf(out[0], 1e9F);
    if (launches > 500) out[0] = 0.1F;
    if (mistake == writes_past_the_row) out[a->columns] = 0;
    if (mistake == changes_its_input) x[0] = 0;
    if (mistake == varies) out[0] = nextafterf(out[0], 1e9F * (float)(++calls % 2 * 2 - 1));
  }
  return 0;
}

static int why_not(const normquant_variant* self, const void* args, const normquant_device* device, char* why,
                   size_t why_size) {
  (void)device;
  const normquant_activation_args* a = args;
  if ((enum mistake)(intptr_t)self->context == skips) {
    snprintf(why, why_size, "takes the day off");
    return 1;
  }
  const int plain = a->x.dtype == NORMQUANT_FLOAT32 && a->output.out.data && a->output.out.dtype == NORMQUANT_FLOAT32 &&
                    !a->output.codes;
  if (!plain) memset(why, 0xFF, why_size); /* no sentence, no end, no UTF-8 */
  return plain ? 0 : 1;
}

#define VARIANT(mistake)                                                                                     \
  {                                                                                                          \
    .operation = NORMQUANT_ACTIVATION_QUANT, .devices = NORMQUANT_HOST, .reproducible = 1, .name = #mistake, \
    .context = (void*)(intptr_t)(mistake), .why_not = why_not, .workspace_bytes = scratch, .launch = launch  \
  }

static const normquant_variant variants[] = {VARIANT(none),
                                             VARIANT(truncates),
                                             VARIANT(writes_past_the_row),
                                             VARIANT(leaves_the_last_row),
                                             VARIANT(changes_its_input),
                                             VARIANT(varies),
                                             VARIANT(fails),
                                             VARIANT(skips),
                                             VARIANT(overruns_its_scratch),
                                             VARIANT(knows_its_address),
                                             VARIANT(counts_launches),
                                             VARIANT(reads_past_the_end),
                                             VARIANT(reads_before_the_start)};

static const normquant_plugin_table table = {NORMQUANT_PLUGIN_ABI, sizeof variants / sizeof *variants, "mistakes",
                                             variants};

NORMQUANT_PLUGIN_EXPORT const normquant_plugin_table* normquant_plugin_entry(uint32_t abi) {
  return abi == NORMQUANT_PLUGIN_ABI ? &table : NULL;
}
