/* A plugin that says that it runs on CUDA only. */
#include "normquant_plugin.h"

static int launch(const normquant_variant* self, const void* args, const normquant_device* device, void* workspace,
                  void* stream, char* why, size_t why_size) {
  (void)self, (void)args, (void)device, (void)workspace, (void)stream, (void)why, (void)why_size;
  return 0;
}
static const normquant_variant variants[] = {
    {.operation = NORMQUANT_WEIGHT_QUANT, .devices = NORMQUANT_CUDA, .name = "one", .launch = launch}};
static const normquant_plugin_table table = {NORMQUANT_PLUGIN_ABI, 1, "gpu_only", variants};

NORMQUANT_PLUGIN_EXPORT const normquant_plugin_table* normquant_plugin_entry(uint32_t abi) {
  return abi == NORMQUANT_PLUGIN_ABI ? &table : 0;
}
