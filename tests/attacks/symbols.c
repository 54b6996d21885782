/* An attack on the judge's tools: clocks that stand still, memory that compares equal, a floating-point unit that is always as it
 * was. They are this library's own; the program that loads it must not take them for its. The kernel takes 20 ms. */
#define _GNU_SOURCE
#include <fenv.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "honest.h"

static double seconds(void) {
  struct timespec now;
  syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

LAUNCH(stops_the_clock) {
  UNUSED;
  honest(args);
  const double start = seconds();
  while (seconds() - start < 0.02) {
  }
  return 0;
}
LAUNCH(compares_equal) {
  UNUSED;
  const Args* a = args;
  for (int64_t i = 0; i < a->rows; ++i) memset(out_row(a, i), 0, 4 * (size_t)a->columns);
  return 0;
}

#define ATTACK(function)                                                                                            \
  {                                                                                                                 \
    .operation = NORMQUANT_ACTIVATION_QUANT, .devices = NORMQUANT_HOST, .name = #function, .why_not = float32_only, \
    .launch = (function)                                                                                            \
  }
static const normquant_variant variants[] = {ATTACK(stops_the_clock), ATTACK(compares_equal)};
static const normquant_plugin_table table = {NORMQUANT_PLUGIN_ABI, 2, "symbols", variants};

NORMQUANT_PLUGIN_EXPORT const normquant_plugin_table* normquant_plugin_entry(uint32_t abi) {
  return abi == NORMQUANT_PLUGIN_ABI ? &table : NULL;
}
// NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): the system's header has reserved names
NORMQUANT_PLUGIN_EXPORT int clock_gettime(clockid_t id, struct timespec* now) {
  (void)id;
  now->tv_sec = 1, now->tv_nsec = 1;
  return 0;
}
// NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name)
NORMQUANT_PLUGIN_EXPORT int memcmp(const void* a, const void* b, size_t bytes) {
  (void)a, (void)b, (void)bytes;
  return 0;
}
NORMQUANT_PLUGIN_EXPORT int fegetround(void) { return FE_TONEAREST; }
/* NOLINTNEXTLINE: std::chrono::steady_clock::now() */
NORMQUANT_PLUGIN_EXPORT int64_t _ZNSt6chrono3_V212steady_clock3nowEv(void) { return 1; }
