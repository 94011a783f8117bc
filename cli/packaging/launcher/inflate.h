/* Raw deflate (RFC 1951), from one open file into a function that takes the bytes. Nothing is held but a window. */
#ifndef INFLATE_H
#define INFLATE_H
#include <stddef.h>
#include <stdint.h>

enum inflate_result {
  INFLATE_DONE,
  INFLATE_DAMAGED,  /* not a deflate stream, or not of these sizes */
  INFLATE_NOT_READ, /* errno */
  INFLATE_NOT_TAKEN /* the taker said no */
};

/* Takes bytes in order; false ends the decoding. */
typedef int inflate_taker(void *context, const uint8_t *data, size_t size);

/* Decodes `stored` bytes at `offset` of `fd`, which must give `size` bytes. */
enum inflate_result inflate_file(int fd, uint64_t offset, uint64_t stored, uint64_t size, inflate_taker *take,
                                 void *context);

#endif
