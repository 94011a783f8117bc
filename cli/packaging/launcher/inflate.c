#include "inflate.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define LONGEST_CODE 15
#define WINDOW 32768
#define HELD (WINDOW + 256 * 1024)
#define READ (128 * 1024)

/* A table of all codes of up to `bits` bits: symbol << 4 | length of its code; 0 where there is no code. */
struct codes {
  uint16_t table[1 << LONGEST_CODE];
  int bits;
};

struct inflater {
  int fd;
  uint64_t at, left; /* of the file, not read yet */
  const uint8_t *in, *in_end;
  uint64_t bits; /* those not used yet, the next one lowest; above `count` there may be bits of what `in` points to */
  int count;
  int beyond; /* bytes of zeros that were put behind the end */
  size_t out; /* bytes in `held` */
  size_t given; /* of those, bytes that were handed to `take` */
  uint64_t room; /* bytes that may still be decoded */
  inflate_taker *take;
  void *context;
  uint8_t buffer[READ];
  uint8_t held[HELD];
  struct codes literals, distances;
};

/* Reads on. At the file's end there is nothing to read: `in` stays at `in_end`. */
static int read_on(struct inflater *z) {
  if (z->left == 0) return INFLATE_DONE;
  ssize_t got;
  do got = pread(z->fd, z->buffer, z->left < READ ? z->left : READ, (off_t)z->at);
  while (got < 0 && errno == EINTR);
  if (got < 0) return INFLATE_NOT_READ;
  if (got == 0) return INFLATE_DAMAGED;
  z->at += (uint64_t)got, z->left -= (uint64_t)got;
  z->in = z->buffer, z->in_end = z->buffer + got;
  return INFLATE_DONE;
}

/* Afterwards there are 56 bits or more: a length and a distance with their codes take 48 at most. */
static inline int refill(struct inflater *z) {
  if (z->in_end - z->in >= 8) {
    uint64_t word; /* both targets are little-endian */
    memcpy(&word, z->in, 8);
    z->bits |= word << z->count;
    z->in += (63 - z->count) >> 3;
    z->count |= 56;
    return INFLATE_DONE;
  }
  while (z->count < 56) {
    if (z->in == z->in_end) {
      int result = read_on(z);
      if (result != INFLATE_DONE) return result;
    }
    if (z->in < z->in_end) z->bits |= (uint64_t)*z->in++ << z->count;
    else if (++z->beyond > 16) return INFLATE_DAMAGED;
    z->count += 8;
  }
  return INFLATE_DONE;
}

static inline uint32_t take_bits(struct inflater *z, int many) {
  uint32_t value = (uint32_t)(z->bits & ((1ull << many) - 1));
  z->bits >>= many, z->count -= many;
  return value;
}

static inline uint16_t take_code(struct inflater *z, const struct codes *codes) {
  uint16_t entry = codes->table[z->bits & ((1u << codes->bits) - 1)];
  z->bits >>= entry & 15, z->count -= entry & 15;
  return entry;
}

/* Of the lengths of the symbols' codes. A set of codes may be incomplete (one code alone is), never overfull. */
static int make_codes(struct codes *codes, const uint8_t *lengths, int symbols) {
  int many[LONGEST_CODE + 1] = {0}, next[LONGEST_CODE + 2], free_codes = 1;
  for (int i = 0; i < symbols; i++) many[lengths[i]]++;
  many[0] = 0, next[1] = 0, codes->bits = 1;
  for (int length = 1; length <= LONGEST_CODE; length++) {
    free_codes = free_codes * 2 - many[length];
    if (free_codes < 0) return INFLATE_DAMAGED;
    if (many[length] > 0) codes->bits = length;
    next[length + 1] = (next[length] + many[length]) * 2;
  }
  int size = 1 << codes->bits;
  memset(codes->table, 0, (size_t)size * sizeof codes->table[0]);
  for (int i = 0; i < symbols; i++) {
    int length = lengths[i];
    if (length == 0) continue;
    int code = next[length]++, reversed = 0;
    for (int bit = 0; bit < length; bit++) reversed |= (code >> bit & 1) << (length - 1 - bit);
    for (int at = reversed; at < size; at += 1 << length) codes->table[at] = (uint16_t)(i << 4 | length);
  }
  return INFLATE_DONE;
}

/* Hands over what was decoded, and keeps the window. */
static int give(struct inflater *z) {
  if (!z->take(z->context, z->held + z->given, z->out - z->given)) return INFLATE_NOT_TAKEN;
  if (z->out > WINDOW) {
    memmove(z->held, z->held + z->out - WINDOW, WINDOW);
    z->out = WINDOW;
  }
  z->given = z->out;
  return INFLATE_DONE;
}

static int stored_block(struct inflater *z) {
  int result = refill(z);
  if (result != INFLATE_DONE) return result;
  take_bits(z, z->count & 7);
  uint32_t size = take_bits(z, 16), inverse = take_bits(z, 16);
  if ((size ^ 0xffff) != inverse || size > z->room) return INFLATE_DAMAGED;
  z->room -= size;
  while (size-- > 0) {
    if (z->count < 8 && (result = refill(z)) != INFLATE_DONE) return result;
    if (z->out == HELD && (result = give(z)) != INFLATE_DONE) return result;
    z->held[z->out++] = (uint8_t)take_bits(z, 8);
  }
  return INFLATE_DONE;
}

static int fixed_codes(struct inflater *z) {
  uint8_t lengths[288];
  for (int i = 0; i < 288; i++) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
  make_codes(&z->literals, lengths, 288);
  memset(lengths, 5, 30);
  return make_codes(&z->distances, lengths, 30);
}

static int dynamic_codes(struct inflater *z) {
  static const uint8_t ORDER[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
  uint8_t lengths[288 + 32] = {0}, of_lengths[19] = {0};
  int result = refill(z);
  if (result != INFLATE_DONE) return result;
  int literals = (int)take_bits(z, 5) + 257, distances = (int)take_bits(z, 5) + 1, many = (int)take_bits(z, 4) + 4;
  if (literals > 286 || distances > 30) return INFLATE_DAMAGED;
  for (int i = 0; i < many; i++) {
    if ((result = refill(z)) != INFLATE_DONE) return result;
    of_lengths[ORDER[i]] = (uint8_t)take_bits(z, 3);
  }
  if ((result = make_codes(&z->literals, of_lengths, 19)) != INFLATE_DONE) return result;
  for (int i = 0; i < literals + distances;) {
    if ((result = refill(z)) != INFLATE_DONE) return result;
    uint16_t entry = take_code(z, &z->literals);
    if (entry == 0) return INFLATE_DAMAGED;
    int symbol = entry >> 4, times = 1;
    uint8_t length = (uint8_t)symbol;
    if (symbol == 16) {
      if (i == 0) return INFLATE_DAMAGED;
      length = lengths[i - 1], times = 3 + (int)take_bits(z, 2);
    } else if (symbol > 16) {
      length = 0, times = symbol == 17 ? 3 + (int)take_bits(z, 3) : 11 + (int)take_bits(z, 7);
    }
    if (i + times > literals + distances) return INFLATE_DAMAGED;
    while (times-- > 0) lengths[i++] = length;
  }
  if (lengths[256] == 0) return INFLATE_DAMAGED;
  if ((result = make_codes(&z->literals, lengths, literals)) != INFLATE_DONE) return result;
  return make_codes(&z->distances, lengths + literals, distances);
}

static int coded_block(struct inflater *z) {
  static const uint16_t LENGTH[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                      31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
  static const uint8_t LENGTH_BITS[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
  static const uint16_t DISTANCE[30] = {1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
                                        193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
  for (;;) {
    int result = refill(z);
    if (result != INFLATE_DONE) return result;
    uint16_t entry = take_code(z, &z->literals);
    if (entry == 0) return INFLATE_DAMAGED;
    uint32_t symbol = entry >> 4;
    if (symbol == 256) return INFLATE_DONE;
    if (z->out + 258 > HELD && (result = give(z)) != INFLATE_DONE) return result;
    if (symbol < 256) {
      if (z->room == 0) return INFLATE_DAMAGED;
      z->room--, z->held[z->out++] = (uint8_t)symbol;
      continue;
    }
    if (symbol > 285) return INFLATE_DAMAGED;
    size_t length = LENGTH[symbol - 257] + take_bits(z, LENGTH_BITS[symbol - 257]);
    entry = take_code(z, &z->distances);
    symbol = entry >> 4;
    if (entry == 0 || symbol > 29) return INFLATE_DAMAGED;
    size_t distance = DISTANCE[symbol] + take_bits(z, symbol < 4 ? 0 : (int)symbol / 2 - 1);
    if (distance > z->out || length > z->room) return INFLATE_DAMAGED;
    z->room -= length;
    uint8_t *to = z->held + z->out;
    for (size_t i = 0; i < length; i++) to[i] = to[i - distance];
    z->out += length;
  }
}

static int decode(struct inflater *z) {
  for (int last = 0; !last;) {
    int result = refill(z);
    if (result != INFLATE_DONE) return result;
    last = (int)take_bits(z, 1);
    uint32_t kind = take_bits(z, 2);
    if (kind == 3) return INFLATE_DAMAGED;
    if (kind == 1) result = fixed_codes(z);
    if (kind == 2) result = dynamic_codes(z);
    if (result == INFLATE_DONE) result = kind == 0 ? stored_block(z) : coded_block(z);
    if (result != INFLATE_DONE) return result;
  }
  /* The stream ends with the stored bytes: neither in the zeros behind them nor before. */
  int unread = (int)(z->in_end - z->in) + z->count / 8;
  if (z->left > 0 || unread != z->beyond || z->room > 0) return INFLATE_DAMAGED;
  return give(z);
}

enum inflate_result inflate_file(int fd, uint64_t offset, uint64_t stored, uint64_t size, inflate_taker *take,
                                 void *context) {
  static struct inflater z; /* too large for a stack */
  z.fd = fd, z.at = offset, z.left = stored;
  z.in = z.in_end = z.buffer;
  z.bits = 0, z.count = 0, z.beyond = 0;
  z.out = z.given = 0, z.room = size;
  z.take = take, z.context = context;
  return (enum inflate_result)decode(&z);
}
