/* Plugins that do harm while they are loaded, one by one: compiled with HARM set. */
#include <fenv.h>
#include <stdlib.h>
#include <unistd.h>

#include "honest.h"

enum { exits = 1, hangs, crashes, changes_the_mode, exits_when_asked };

__attribute__((constructor)) static void harm(void) {
  if (HARM == exits) exit(0);
  if (HARM == hangs) sleep(1000);
  if (HARM == crashes) abort();
  if (HARM == changes_the_mode) fesetround(FE_DOWNWARD);
}

LAUNCH(is_honest) {
  UNUSED;
  honest(args);
  return 0;
}
static const normquant_variant variants[] = {{.operation = NORMQUANT_ACTIVATION_QUANT,
                                              .devices = NORMQUANT_HOST,
                                              .name = "is_honest",
                                              .why_not = float32_only,
                                              .launch = is_honest}};
static const normquant_plugin_table table = {NORMQUANT_PLUGIN_ABI, 1, "loading", variants};

NORMQUANT_PLUGIN_EXPORT const normquant_plugin_table* normquant_plugin_entry(uint32_t abi) {
  if (HARM == exits_when_asked) _exit(0);
  return abi == NORMQUANT_PLUGIN_ABI ? &table : NULL;
}
