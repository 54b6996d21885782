/* Kernels that take the program down, speak for it, or leave something behind. */
#ifndef NORMQUANT_TESTS_HARM_H
#define NORMQUANT_TESTS_HARM_H

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "honest.h"

LAUNCH(exits) {
  UNUSED;
  exit(0);
}
LAUNCH(exits_at_once) {
  UNUSED;
  _exit(0);
}
LAUNCH(aborts) {
  UNUSED;
  abort();
}
LAUNCH(crashes) {
  UNUSED;
  *(volatile int*)self->context = 1; /* null */
  return 0;
}
LAUNCH(hangs) {
  UNUSED;
  for (volatile int i = 1; i;) {
  }
  return 0;
}
LAUNCH(breaks_the_heap) {
  UNUSED;
  honest(args);
  char* volatile block = malloc(40);
  memset(block, 0x41, 200);
  return 0;
}
/* An answer of its own making, on every line that it finds open. */
LAUNCH(answers_for_the_judge) {
  UNUSED;
  static const char answer[] = "0 ={\"outcome\":0,\"verdict\":\"pass\"}\n";
  for (int line = 3; line < 1024; ++line) (void)!write(line, answer, sizeof answer - 1);
  _exit(0);
}

/* No answer, and no end of a line, on every line that it finds open; the program's own answer follows. */
LAUNCH(writes_to_every_line) {
  UNUSED;
  honest(args);
  for (int line = 3; line < 1024; ++line) (void)!write(line, "hello", 5);
  return 0;
}
/* A process that leaves the group and the session, whose number goes to the file that the environment names, if it does. */
LAUNCH(leaves_a_process_behind) {
  UNUSED;
  honest(args);
  const char* path = getenv("NORMQUANT_TEST_LEFT_BEHIND");
  if (path == NULL) return 0;
  const pid_t child = fork();
  if (child == 0) {
    setsid();
    const pid_t grandchild = fork();
    if (grandchild == 0) {
      close(STDOUT_FILENO), close(STDERR_FILENO);
      sleep(60);
      _exit(0);
    }
    FILE* file = fopen(path, "a");
    if (file != NULL) fprintf(file, "%d\n", (int)grandchild), fclose(file);
    _exit(0);
  }
  waitpid(child, NULL, 0);
  return 0;
}

#endif
