/* Plugins of version 1 of the interface, which knew no layer, and in which `reproducible` was yes or no: compiled with OPERATION set
 * to what its variant says it is. */
#include "normquant_plugin.h"

static int launch(const normquant_variant* self, const void* args, const normquant_device* device, void* workspace,
                  void* stream, char* why, size_t why_size) {
  (void)self, (void)args, (void)device, (void)workspace, (void)stream, (void)why, (void)why_size;
  return 0;
}
static const normquant_variant variants[] = {
    {.operation = OPERATION, .devices = NORMQUANT_HOST, .reproducible = -1, .name = "one", .launch = launch}};
static const normquant_plugin_table table = {1, 1, "old", variants};

NORMQUANT_PLUGIN_EXPORT const normquant_plugin_table* normquant_plugin_entry(uint32_t abi) {
  return abi == 1 ? &table : 0;
}
