/*
 * Starts the program that its own file holds. The first start unpacks it into the cache (cache.c); every start looks that it is there,
 * whole and nobody else's, and becomes Deno, with the program, its fixed permissions (no network, no other programs; of the service:
 * this machine's own addresses), and the words, folder, files and environment it was started with. So signals and exit codes are
 * Deno's.
 */
#include "launcher.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

volatile sig_atomic_t asked_to_end = 0;

extern char **environ;

void fail(const char *format, ...) {
  va_list words;
  va_start(words, format);
  fputs("error: ", stderr);
  vfprintf(stderr, format, words);
  fputs(".\n", stderr);
  va_end(words);
  exit(1);
}

/* Deno's arguments. What a user's configuration, lock file or package cache says is left alone; what is not in the package is an error. */
static const char *const ARGUMENTS[] = {"run",           "--quiet",     "--no-config",   "--no-lock",    "--no-remote", "--no-npm",
                                        "--cached-only", "--no-prompt", "--allow-read",  "--allow-write", "--allow-env", "--allow-sys"};
#define ARGUMENTS_COUNT (sizeof ARGUMENTS / sizeof ARGUMENTS[0])

/* Of the service, which listens on one of these and then gives the permission away; cli/packaging/starters.ts says the same. */
#define LISTENING "--allow-net=127.0.0.1,localhost,0.0.0.0,[::1],[::]"

/* True for variables that are for another Deno or Node, and could have this one load scripts, open a port or send telemetry. */
static int is_for_others(const char *variable) {
  if (strncmp(variable, "DENO_V8_FLAGS=", 14) == 0 || strncmp(variable, "DENO_WEBGPU_", 12) == 0) return 0;
  return strncmp(variable, "DENO_", 5) == 0 || strncmp(variable, "OTEL_", 5) == 0 || strncmp(variable, "NODE_", 5) == 0 ||
         strncmp(variable, "NNUNET_PACKAGE=", 15) == 0;
}

static char *words(const char *first, const char *second) {
  size_t size = strlen(first) + strlen(second) + 1;
  char *text = malloc(size);
  if (text == NULL) fail("starting: %s", strerror(ENOMEM));
  snprintf(text, size, "%s%s", first, second);
  return text;
}

/* The user's environment but for what is_for_others, and ours. */
static char **environment(const char *package, const char *unpacked) {
  size_t count = 0;
  while (environ[count] != NULL) count++;
  char **ours = calloc(count + 4, sizeof *ours);
  if (ours == NULL) fail("starting: %s", strerror(ENOMEM));
  size_t at = 0;
  for (size_t i = 0; i < count; i++)
    if (!is_for_others(environ[i])) ours[at++] = environ[i];
  ours[at++] = "DENO_NO_UPDATE_CHECK=1";
  ours[at++] = words(words("DENO_DIR=", unpacked), "/deno-cache");
  ours[at++] = words("NNUNET_PACKAGE=", package);
  return ours;
}

int main(int count, char **given) {
  static char file[PATH_MAX];
  static struct package package;
  ssize_t length = readlink("/proc/self/exe", file, sizeof file - 1);
  if (length <= 0) snprintf(file, sizeof file, "%s", (const char *)getauxval(AT_EXECFN));
  open_package(&package, file);
  const char *unpacked = unpacked_package(&package, cache_folder());

  const char **arguments = calloc(ARGUMENTS_COUNT + (size_t)count + 4, sizeof *arguments);
  if (arguments == NULL) fail("starting: %s", strerror(ENOMEM));
  size_t at = 0;
  arguments[at++] = count > 0 ? given[0] : file; /* says under which name, which a link may give, the program was started */
  for (size_t i = 0; i < ARGUMENTS_COUNT; i++) arguments[at++] = ARGUMENTS[i];
  if (package.listens) arguments[at++] = LISTENING;
  arguments[at++] = words(unpacked, "/program/main.js");
  for (int i = 1; i < count; i++) arguments[at++] = given[i];
  char *deno = words(unpacked, "/deno");
  execve(deno, (char *const *)arguments, environment(file, unpacked));
  if (errno == EACCES)
    fail("starting %s: programs may not be run from that folder (noexec?); set NNUNET_CACHE to a folder on another disk", deno);
  if (errno == ENOENT)
    fail("starting %s: this system has no GNU C library (glibc), which Deno needs", deno);
  fail("starting %s: %s", deno, strerror(errno));
}
