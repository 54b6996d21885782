/* Plugins that must be refused, one by one: compiled with BREAK set to what is wrong. */
#include "normquant_plugin.h"

static int launch(const normquant_variant* self, const void* args, const normquant_device* device, void* workspace,
                  void* stream, char* why, size_t why_size) {
  (void)self, (void)args, (void)device, (void)workspace, (void)stream, (void)why, (void)why_size;
  return 0;
}

enum { no_entry = 1, no_table, other_abi, no_variants, bad_name, no_launch, no_device, no_operation, twice };

static const normquant_variant variants[] = {
    {.operation = BREAK == no_operation ? 99 : NORMQUANT_WEIGHT_QUANT,
     .devices = BREAK == no_device ? 0 : NORMQUANT_HOST,
     .name = BREAK == bad_name ? "With Blanks" : "one",
     .launch = BREAK == no_launch ? 0 : launch},
    {.operation = NORMQUANT_WEIGHT_QUANT,
     .devices = NORMQUANT_HOST,
     .name = BREAK == twice ? "one" : "two",
     .launch = launch},
};

static const normquant_plugin_table table = {BREAK == other_abi ? 999 : NORMQUANT_PLUGIN_ABI,
                                             BREAK == no_variants ? 0 : 2, "broken", variants};

#if BREAK != 1
NORMQUANT_PLUGIN_EXPORT const normquant_plugin_table* normquant_plugin_entry(uint32_t abi) {
  return BREAK == no_table || abi != NORMQUANT_PLUGIN_ABI ? 0 : &table;
}
#else
NORMQUANT_PLUGIN_EXPORT const void* something_else(void) { return &table; }
#endif
