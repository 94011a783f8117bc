#include "package.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inflate.h"
#include "launcher.h"
#include "sha256.h"

#define END_SIZE 64
#define MARK "nnunet package 1"
#define SERVICE_MARK "nnunet service 1"
#define LARGEST_INDEX (64 * 1024)

static uint64_t number(const uint8_t *at, int bytes) {
  uint64_t value = 0;
  for (int i = bytes - 1; i >= 0; i--) value = value << 8 | at[i];
  return value;
}

static int read_at(int fd, uint64_t offset, uint8_t *to, size_t size) {
  while (size > 0) {
    ssize_t got = pread(fd, to, size, (off_t)offset);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return 0;
    to += got, size -= (size_t)got, offset += (uint64_t)got;
  }
  return 1;
}

/* Plain names between slashes, none of them beginning with a dot. */
static int is_plain(const char *path) {
  for (const char *at = path;; at++) {
    if (*at == '.' || *at == '/' || *at == 0) return 0; /* a name begins here */
    while (*at != 0 && *at != '/') {
      if (!((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9') || strchr("._-", *at)))
        return 0;
      at++;
    }
    if (*at == 0) return 1;
  }
}

/* Fills `package` from the index. The paths stay where they are: each is followed by a byte that is read before it is made 0. */
static int read_index(struct package *package, uint8_t *index, size_t size, uint64_t end) {
  package->members = 0, package->size = 0;
  for (size_t at = 0; at < size; package->members++) {
    if (package->members == MEMBERS || size - at < 60) return 0;
    struct member *member = &package->member[package->members];
    size_t length = number(index + at, 2);
    member->program = index[at + 2];
    member->offset = number(index + at + 4, 8);
    member->stored = number(index + at + 12, 8);
    member->size = number(index + at + 20, 8);
    memcpy(member->digest, index + at + 28, 32);
    at += 60;
    if (length == 0 || length > size - at) return 0;
    /* Over the numbers, which have been read, so that there is room for the 0 that ends it. */
    memmove(index + at - 1, index + at, length);
    index[at - 1 + length] = 0;
    member->path = (const char *)index + at - 1;
    at += length;
    if (!is_plain(member->path)) return 0;
    if (member->offset > end || member->stored > end - member->offset || member->size > 1ull << 32) return 0;
    package->size += member->size;
  }
  return package->members > 0;
}

void open_package(struct package *package, const char *file) {
  static uint8_t index[LARGEST_INDEX];
  package->file = file;
  package->fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  if (package->fd < 0) package->fd = open((const char *)getauxval(AT_EXECFN), O_RDONLY | O_CLOEXEC);
  struct stat info;
  if (package->fd < 0 || fstat(package->fd, &info) != 0) fail("starting %s: it cannot be read: %s", file, strerror(errno));
  uint64_t size = (uint64_t)info.st_size;
  uint8_t end[END_SIZE], digest[32];
  if (size < END_SIZE || !read_at(package->fd, size - END_SIZE, end, END_SIZE)) memset(end, 0, END_SIZE);
  package->listens = memcmp(end, SERVICE_MARK, 16) == 0;
  if (!package->listens && memcmp(end, MARK, 16) != 0)
    fail("starting %s: the file is incomplete: " AGAIN, file);
  uint64_t offset = number(end + 16, 8), index_size = number(end + 24, 8);
  if (index_size > LARGEST_INDEX || offset > size || offset + index_size + END_SIZE != size ||
      !read_at(package->fd, offset, index, index_size))
    fail("starting %s: the file is damaged: " AGAIN, file);
  struct sha256 hash;
  sha256_start(&hash);
  sha256_add(&hash, index, index_size);
  sha256_end(&hash, digest);
  if (memcmp(digest, end + 32, 32) != 0 || !read_index(package, index, index_size, offset))
    fail("starting %s: the file is damaged (its index): " AGAIN, file);
  for (int i = 0; i < 32; i++) {
    package->checksum[2 * i] = "0123456789abcdef"[digest[i] >> 4];
    package->checksum[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
  }
  package->checksum[64] = 0;
}

struct target {
  int fd;
  int error; /* errno of a write that failed */
  struct sha256 hash;
};

static int take(void *context, const uint8_t *data, size_t size) {
  struct target *target = context;
  sha256_add(&target->hash, data, size);
  while (size > 0) {
    if (asked_to_end) return target->error = EINTR, 0;
    ssize_t put = write(target->fd, data, size);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return target->error = put < 0 ? errno : ENOSPC, 0;
    data += put, size -= (size_t)put;
  }
  return 1;
}

int unpack_member(const struct package *package, const struct member *member, int to) {
  struct target target = {.fd = to};
  sha256_start(&target.hash);
  switch (inflate_file(package->fd, member->offset, member->stored, member->size, take, &target)) {
    case INFLATE_NOT_TAKEN: return target.error;
    case INFLATE_NOT_READ: return errno;
    case INFLATE_DAMAGED: return DAMAGED;
    case INFLATE_DONE: break;
  }
  uint8_t digest[32];
  sha256_end(&target.hash, digest);
  return memcmp(digest, member->digest, 32) == 0 ? 0 : DAMAGED;
}
