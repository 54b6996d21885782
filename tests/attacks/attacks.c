/* Kernels for the host that want a good time without the work: one a class that public benchmarks of kernels have met.
 * tests/attacks_test.cpp says what each is answered. */
#define _GNU_SOURCE
#include <fenv.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "harm.h"
#include "honest.h"

/* ---- Skips what seems done ---- */

static int looks_filled(const Args* a) {
  for (int64_t i = 0; i < a->rows; ++i) {
    for (int64_t j = 0; j < a->columns; j += 7) {
      if (!isfinite(out_row(a, i)[j]) || fabsf(out_row(a, i)[j]) > 1e6F) return 0;
    }
  }
  return 1;
}
LAUNCH(skips_when_filled) {
  UNUSED;
  if (!looks_filled(args)) honest(args);
  return 0;
}
/* The other way round: works only where it sees the poison, else writes noise. */
LAUNCH(works_on_poison_only) {
  UNUSED;
  const Args* a = args;
  uint32_t bits = 0;
  memcpy(&bits, out_row(a, 0), sizeof bits);
  if (bits == 0xFFFFFFFFU) honest(a);
  return 0;
}

/* ---- Replays ---- */

enum { most_kept = 64 };
struct Kept {
  const void* x;
  uint64_t hash;
  float* out;
};

static void keep(struct Kept* kept, const Args* a) {
  kept->x = a->x.data;
  kept->out = malloc(sizeof(float) * (size_t)(a->rows * a->columns));
  for (int64_t i = 0; i < a->rows; ++i) memcpy(kept->out + i * a->columns, out_row(a, i), 4 * (size_t)a->columns);
}
static void replay(const struct Kept* kept, const Args* a) {
  for (int64_t i = 0; i < a->rows; ++i) memcpy(out_row(a, i), kept->out + i * a->columns, 4 * (size_t)a->columns);
}

LAUNCH(caches_by_pointer) {
  UNUSED;
  static struct Kept kept[most_kept];
  static int count = 0;
  for (int k = 0; k < count; ++k) {
    if (kept[k].x == ((const Args*)args)->x.data) return replay(&kept[k], args), 0;
  }
  honest(args);
  if (count < most_kept) keep(&kept[count++], args);
  return 0;
}

/* By a fingerprint of the input: a few elements, as one that wants to be fast would take. */
LAUNCH(caches_by_value) {
  UNUSED;
  static struct Kept kept[most_kept];
  static int count = 0;
  const Args* a = args;
  uint64_t hash = 14695981039346656037ULL;
  for (int64_t j = 0; j < a->columns; j += 16) {
    uint32_t bits = 0;
    memcpy(&bits, (const float*)a->x.data + j, sizeof bits);
    hash = (hash ^ bits) * 1099511628211ULL;
  }
  for (int k = 0; k < count; ++k) {
    if (kept[k].hash == hash) return replay(&kept[k], a), 0;
  }
  honest(a);
  if (count < most_kept) keep(&kept[count], a), kept[count++].hash = hash;
  return 0;
}
/* By the shape alone: whatever was asked first. */
LAUNCH(caches_by_shape) {
  UNUSED;
  static struct Kept kept;
  if (kept.out != NULL) return replay(&kept, args), 0;
  honest(args);
  keep(&kept, args);
  return 0;
}

/* ---- Works elsewhere, or later ---- */

static Args later;
static pthread_t worker;
static void* work_later(void* milliseconds) {
  const struct timespec pause = {0, (intptr_t)milliseconds * 1000000};
  nanosleep(&pause, NULL);
  honest(&later);
  return NULL;
}
static int start_work(const void* args, intptr_t milliseconds) {
  later = *(const Args*)args;
  if (pthread_create(&worker, NULL, work_later, (void*)milliseconds) == 0) pthread_detach(worker);
  return 0;
}
LAUNCH(works_in_a_thread) {
  UNUSED;
  return start_work(args, 0);
}
LAUNCH(works_after_a_while) {
  UNUSED;
  return start_work(args, 5);
}
/* Writes the first row at once and the others when it is called again: lazily. */
LAUNCH(works_when_called_again) {
  UNUSED;
  static Args last;
  if (last.x.data != NULL) honest(&last);
  last = *(const Args*)args;
  honest_row(&last, 0, out_row(&last, 0));
  return 0;
}

/* ---- Honest while it is looked at ---- */

LAUNCH(honest_at_first) {
  UNUSED;
  static int calls = 0;
  if (++calls <= 2) honest(args);
  return 0;
}
/* Every fourth call is honest: it has counted how often somebody looks. */
LAUNCH(honest_now_and_then) {
  UNUSED;
  static int calls = 0;
  if (++calls % 4 == 1) honest(args);
  return 0;
}
/* The check that comes before waits; a timer calls again at once. */
LAUNCH(honest_when_not_in_a_hurry) {
  UNUSED;
  static struct timespec last;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  const double seconds = (double)(now.tv_sec - last.tv_sec) + 1e-9 * (double)(now.tv_nsec - last.tv_nsec);
  if (seconds > 3600 || last.tv_sec == 0) honest(args);
  last = now;
  return 0;
}

/* ---- Less than all ---- */

LAUNCH(returns_a_constant) {
  UNUSED;
  const Args* a = args;
  for (int64_t i = 0; i < a->rows; ++i) {
    for (int64_t j = 0; j < a->columns; ++j) out_row(a, i)[j] = 0.5F;
  }
  return 0;
}
LAUNCH(does_nothing) {
  UNUSED;
  return 0;
}
LAUNCH(copies_its_input) {
  UNUSED;
  const Args* a = args;
  for (int64_t i = 0; i < a->rows; ++i) {
    memcpy(out_row(a, i), (const float*)a->x.data + i * a->x.ld, 4 * (size_t)a->columns);
  }
  return 0;
}
/* The corners, and every eighth row: where a sampling check would look. */
LAUNCH(writes_samples) {
  UNUSED;
  const Args* a = args;
  for (int64_t i = 0; i < a->rows; ++i) {
    if (i % 8 == 0 || i + 1 == a->rows)
      honest_row(a, i, out_row(a, i));
    else
      memset(out_row(a, i), 0, 4 * (size_t)a->columns);
  }
  return 0;
}
LAUNCH(repeats_the_first_row) {
  UNUSED;
  const Args* a = args;
  honest_row(a, 0, out_row(a, 0));
  for (int64_t i = 1; i < a->rows; ++i) memcpy(out_row(a, i), out_row(a, 0), 4 * (size_t)a->columns);
  return 0;
}
/* Takes what lies behind its own output for the reference's, as allocators that reuse memory offer. */
LAUNCH(reads_other_buffers) {
  UNUSED;
  static float* last = NULL;
  const Args* a = args;
  if (last == NULL)
    honest(a);
  else
    memmove(out_row(a, 0), last, 4 * (size_t)a->columns);
  last = out_row(a, 0);
  return 0;
}

/* ---- Changes the question, or the judge ---- */

LAUNCH(zeroes_its_input) {
  UNUSED;
  const Args* a = args;
  for (int64_t i = 0; i < a->rows; ++i) memset((float*)a->x.data + i * a->x.ld, 0, 4 * (size_t)a->columns);
  honest(a);
  return 0;
}
LAUNCH(rounds_up_from_now_on) {
  UNUSED;
  honest(args);
  fesetround(FE_UPWARD);
  return 0;
}
LAUNCH(flushes_denormals) {
  UNUSED;
  honest(args);
#if defined(__x86_64__)
  _mm_setcsr(_mm_getcsr() | 0x8040U);
#else
  fesetround(FE_UPWARD);
#endif
  return 0;
}
LAUNCH(sets_the_x87_control_word) {
  UNUSED;
  honest(args);
#if defined(__x86_64__)
  uint16_t word = 0;
  __asm__ volatile("fnstcw %0" : "=m"(word));
  word &= (uint16_t)~0x0300U;
  __asm__ volatile("fldcw %0" : : "m"(word));
#else
  fesetround(FE_UPWARD);
#endif
  return 0;
}

static size_t absurd(const normquant_variant* self, const void* args, const normquant_device* device) {
  (void)args, (void)device;
  return (size_t)(uintptr_t)self->context;
}
LAUNCH(asks_for_scratch) {
  UNUSED;
  honest(args);
  return 0;
}

#define ATTACK(function)                                                                                            \
  {                                                                                                                 \
    .operation = NORMQUANT_ACTIVATION_QUANT, .devices = NORMQUANT_HOST, .name = #function, .why_not = float32_only, \
    .launch = (function)                                                                                            \
  }
#define SCRATCH(called, bytes)                                                                                     \
  {                                                                                                                \
    .operation = NORMQUANT_ACTIVATION_QUANT, .devices = NORMQUANT_HOST, .name = (called), .why_not = float32_only, \
    .context = (void*)(uintptr_t)(bytes), .workspace_bytes = absurd, .launch = asks_for_scratch                    \
  }

LAUNCH(is_honest) {
  UNUSED;
  honest(args);
  return 0;
}

static const normquant_variant variants[] = {ATTACK(is_honest),
                                             ATTACK(skips_when_filled),
                                             ATTACK(works_on_poison_only),
                                             ATTACK(caches_by_pointer),
                                             ATTACK(caches_by_value),
                                             ATTACK(caches_by_shape),
                                             ATTACK(works_in_a_thread),
                                             ATTACK(works_after_a_while),
                                             ATTACK(works_when_called_again),
                                             ATTACK(honest_at_first),
                                             ATTACK(honest_now_and_then),
                                             ATTACK(honest_when_not_in_a_hurry),
                                             ATTACK(returns_a_constant),
                                             ATTACK(does_nothing),
                                             ATTACK(copies_its_input),
                                             ATTACK(writes_samples),
                                             ATTACK(repeats_the_first_row),
                                             ATTACK(reads_other_buffers),
                                             ATTACK(zeroes_its_input),
                                             ATTACK(rounds_up_from_now_on),
                                             ATTACK(flushes_denormals),
                                             ATTACK(sets_the_x87_control_word),
                                             ATTACK(exits),
                                             ATTACK(exits_at_once),
                                             ATTACK(aborts),
                                             ATTACK(crashes),
                                             ATTACK(hangs),
                                             ATTACK(breaks_the_heap),
                                             ATTACK(answers_for_the_judge),
                                             ATTACK(writes_to_every_line),
                                             ATTACK(leaves_a_process_behind),
                                             SCRATCH("asks_for_all_memory", SIZE_MAX),
                                             SCRATCH("asks_for_half_of_all", SIZE_MAX / 2 + 1),
                                             SCRATCH("asks_for_a_terabyte", (size_t)1 << 40)};

static const normquant_plugin_table table = {NORMQUANT_PLUGIN_ABI, sizeof variants / sizeof *variants, "attack",
                                             variants};

NORMQUANT_PLUGIN_EXPORT const normquant_plugin_table* normquant_plugin_entry(uint32_t abi) {
  return abi == NORMQUANT_PLUGIN_ABI ? &table : NULL;
}
