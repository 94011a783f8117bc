#ifndef LAUNCHER_H
#define LAUNCHER_H
#include <signal.h>

#include "package.h"

/* Prints "error: ..." in one line and ends the program with exit code 1. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What is done about a file that is not whole. */
#define AGAIN "copy it again, and compare its SHA-256 with the one it was published with"

/* What is done about a place that cannot be used. */
#define MOVE_CACHE "set NNUNET_CACHE to a folder that you can write to and run programs from"

/* The folder for unpacked programs: absolute. */
const char *cache_folder(void);

/* Sees to it that CACHE/<checksum> holds the members, whole and written by nobody else; gives its path. Ends the program if it can't. */
const char *unpacked_package(const struct package *package, const char *cache);

/* Not 0: the user, or the system, asks the program to end by this signal. */
extern volatile sig_atomic_t asked_to_end;

#endif
