/*
 * The one file: this launcher, the members (each in raw deflate), an index of them, and 64 bytes that end it. Numbers are little-endian.
 *
 *   end:    "nnunet package 1", or "nnunet service 1" of the one that may listen, u64 offset of the index, u64 size of the index, SHA-256 of the index
 *   index:  for each member: u16 length of its path, u16 1 for a program else 0, u64 offset, u64 stored bytes, u64 bytes, SHA-256, path
 *
 * cli/packaging/package_file.ts writes it.
 */
#ifndef PACKAGE_H
#define PACKAGE_H
#include <stdint.h>

#define MEMBERS 128

struct member {
  const char *path; /* relative, of plain names */
  int program;
  uint64_t offset, stored, size;
  uint8_t digest[32];
};

struct package {
  const char *file; /* its path, for messages */
  int fd;
  int listens; /* the program may listen on this machine's addresses */
  int members;
  struct member member[MEMBERS];
  uint64_t size; /* of all members, unpacked */
  char checksum[65]; /* of the index, in hex: says what the whole package holds */
};

/* Opens this program's own file and reads its index. Ends the program if there is none, or a damaged one. */
void open_package(struct package *package, const char *file);

#define DAMAGED (-1)

/* Unpacks a member into the open file `to`, and compares its checksum. 0; DAMAGED; or errno of what could not be read or written. */
int unpack_member(const struct package *package, const struct member *member, int to);

#endif
