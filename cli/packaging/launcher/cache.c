/* The cache: where programs are unpacked, and which of what is there may be run. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "launcher.h"

#define HALF_DONE ".unpacking-"
/* A folder that was left half done is cleared away after this long, in seconds. */
#define STALE 3600
/* Another process that unpacks is waited for this long, in seconds. Afterwards both do it: the first to be done is taken. */
#define PATIENCE 60

static void join(char to[PATH_MAX], const char *folder, const char *name) {
  if (snprintf(to, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX) fail("%s: the path of the cache is too long; " MOVE_CACHE, folder);
}

const char *cache_folder(void) {
  static char folder[PATH_MAX];
  const char *own = getenv("NNUNET_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  if (own != NULL && own[0] == '/') join(folder, own, "");
  else if (own != NULL && own[0] != 0) {
    char here[PATH_MAX];
    if (getcwd(here, sizeof here) == NULL) fail("the current folder is gone: %s; change to one that is there", strerror(errno));
    join(folder, here, own);
  } else if (xdg != NULL && xdg[0] == '/') join(folder, xdg, "nnunet");
  else if (home != NULL && home[0] == '/') join(folder, home, ".cache/nnunet");
  else snprintf(folder, sizeof folder, "/tmp/nnunet-%u", (unsigned)geteuid());
  for (size_t end = strlen(folder); end > 1 && folder[end - 1] == '/'; end--) folder[end - 1] = 0;
  return folder;
}

/* Makes a folder and those above it: the user's alone to write; others may read, as what is unpacked is no secret. */
static void make_folders(const char *path) {
  char part[PATH_MAX];
  snprintf(part, sizeof part, "%s", path);
  for (char *at = part + 1;; at++) {
    if (*at != '/' && *at != 0) continue;
    int last = *at == 0;
    *at = 0;
    if (mkdir(part, 0755) != 0 && errno != EEXIST && (last || (errno != EROFS && errno != EACCES)))
      fail("making the cache %s: %s; " MOVE_CACHE, path, strerror(errno));
    if (last) return;
    *at = '/';
  }
}

/* True if only the user, or root, can have written what this is. Links are nobody's: what they lead to may change. */
static int is_trusted(const struct stat *info) {
  return (info->st_uid == geteuid() || info->st_uid == 0) && (info->st_mode & 022) == 0;
}

/* The cache itself may belong to a group, as home folders do with some systems; not to everybody, but with the bit that /tmp has. */
static void check_cache(const char *cache) {
  struct stat info;
  if (stat(cache, &info) != 0) fail("looking at the cache %s: %s; " MOVE_CACHE, cache, strerror(errno));
  if (!S_ISDIR(info.st_mode)) fail("the cache %s is not a folder; " MOVE_CACHE, cache);
  if (info.st_uid != geteuid() && info.st_uid != 0)
    fail("the cache %s belongs to another user, whose programs are not run; set NNUNET_CACHE to a folder of your own", cache);
  if ((info.st_mode & S_IWOTH) && !(info.st_mode & S_ISVTX))
    fail("the cache %s can be written by every user; take that away (chmod o-w), or set NNUNET_CACHE to another folder", cache);
}

enum found { WHOLE, NOTHING, INCOMPLETE };

/* What lies at `path`: a folder, renamed to its name when it was whole, whose files still have their sizes and owners. */
static enum found look(const struct package *package, const char *path) {
  struct stat info;
  if (lstat(path, &info) != 0) {
    if (errno == ENOENT) return NOTHING;
    fail("looking at %s: %s; " MOVE_CACHE, path, strerror(errno));
  }
  enum found found = S_ISDIR(info.st_mode) ? WHOLE : INCOMPLETE;
  int trusted = is_trusted(&info);
  for (int i = 0; i < package->members && found == WHOLE && trusted; i++) {
    char file[PATH_MAX];
    join(file, path, package->member[i].path);
    if (lstat(file, &info) != 0 || !S_ISREG(info.st_mode) || (uint64_t)info.st_size != package->member[i].size) found = INCOMPLETE;
    else trusted = is_trusted(&info);
    for (char *slash = strrchr(file, '/'); found == WHOLE && trusted && slash > file + strlen(path); slash = strrchr(file, '/')) {
      *slash = 0;
      if (lstat(file, &info) != 0 || !S_ISDIR(info.st_mode)) found = INCOMPLETE;
      else trusted = is_trusted(&info);
    }
  }
  if (!trusted)
    fail("%s belongs to another user, or others can write to it, so it is not run; remove it, or set NNUNET_CACHE to a folder of your own", path);
  return found;
}

/* Removes a folder and what is in it, following no links. */
static void remove_tree(int parent, const char *name) {
  if (unlinkat(parent, name, 0) == 0 || errno == ENOENT) return;
  int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return;
  DIR *folder = fdopendir(fd);
  if (folder == NULL) {
    close(fd);
    return;
  }
  for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) remove_tree(fd, entry->d_name);
  closedir(folder);
  unlinkat(parent, name, AT_REMOVEDIR);
}

/* What a process that was killed left half done. Called by the one that holds the cache's lock; others' are given time all the same. */
static void remove_stale(int cache) {
  int fd = openat(cache, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *folder = fd < 0 ? NULL : fdopendir(fd);
  if (folder == NULL) return;
  for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
    struct stat info;
    if (strncmp(entry->d_name, HALF_DONE, sizeof HALF_DONE - 1) != 0) continue;
    if (fstatat(cache, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 || info.st_uid != geteuid()) continue;
    if (S_ISDIR(info.st_mode) && info.st_mtime < time(NULL) - STALE) remove_tree(cache, entry->d_name);
  }
  closedir(folder);
}

/* Opens a new file below `folder`, making the folders on its way. */
static int create(int folder, const char *path, int program) {
  char part[PATH_MAX];
  snprintf(part, sizeof part, "%s", path);
  for (char *slash = strchr(part, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
    *slash = 0;
    if (mkdirat(folder, part, 0755) != 0 && errno != EEXIST) return -1;
    fchmodat(folder, part, 0755, 0);
    *slash = '/';
  }
  int fd = openat(folder, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, program ? 0755 : 0644);
  if (fd >= 0) fchmod(fd, program ? 0755 : 0644);
  return fd;
}

/* Everything into `folder`, on the disk when this returns. 0, DAMAGED, or errno; `at` is the file it happened to. */
static int unpack_all(const struct package *package, int folder, const char **at) {
  for (int i = 0; i < package->members; i++) {
    const struct member *member = &package->member[i];
    *at = member->path;
    int fd = create(folder, member->path, member->program);
    if (fd < 0) return errno;
    int error = unpack_member(package, member, fd);
    if (error == 0 && fsync(fd) != 0 && errno != EINVAL) error = errno;
    if (close(fd) != 0 && error == 0) error = errno;
    if (error != 0) return error;
  }
  /* Deno's own cache: compiled scripts, which nobody else may write. */
  if (mkdirat(folder, "deno-cache", 0700) != 0) return errno;
  fsync(folder);
  return 0;
}

static void explain(const struct package *package, const char *cache, const char *member, int error) {
  int megabytes = (int)(package->size / 1000000) + 1;
  if (error == DAMAGED) fail("unpacking %s: the file is damaged (%s has another checksum): " AGAIN, package->file, member);
  if (error == ENOSPC || error == EDQUOT)
    fail("unpacking into the cache %s: the disk is full (%d MB are needed); free some, or set NNUNET_CACHE to a folder on another disk", cache, megabytes);
  fail("unpacking into the cache %s: %s; " MOVE_CACHE, cache, strerror(error));
}

/* Unpacks beside `path` and renames. `cache` is the open folder that `path` is in. */
static void unpack(const struct package *package, const char *cache_name, int cache, const char *path) {
  struct statvfs disk;
  if (fstatvfs(cache, &disk) == 0 && (disk.f_flag & ST_NOEXEC))
    fail("the cache %s is on a disk that programs may not be run from (noexec); set NNUNET_CACHE to a folder on another disk", cache_name);
  char name[64];
  uint64_t random;
  if (getrandom(&random, sizeof random, 0) != sizeof random) random = (uint64_t)getpid() << 32 ^ (uint64_t)clock();
  snprintf(name, sizeof name, HALF_DONE "%016llx", (unsigned long long)random);
  if (mkdirat(cache, name, 0700) != 0) explain(package, cache_name, "", errno);
  int folder = openat(cache, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  const char *member = package->member[0].path;
  int error = folder < 0 ? errno : unpack_all(package, folder, &member);
  if (error == 0 && fchmod(folder, 0755) != 0) error = errno;
  /* Damaged files that stand in the way (an old cache that was half cleared) are put aside first. */
  if (error == 0 && !asked_to_end && renameat(cache, name, AT_FDCWD, path) != 0) {
    error = errno;
    if ((error == EEXIST || error == ENOTEMPTY || error == ENOTDIR) && look(package, path) == WHOLE) error = 0;
    else if (error == EEXIST || error == ENOTEMPTY || error == ENOTDIR) {
      char aside[80];
      snprintf(aside, sizeof aside, "%s-old", name);
      renameat(AT_FDCWD, path, cache, aside);
      error = renameat(cache, name, AT_FDCWD, path) == 0 || look(package, path) == WHOLE ? 0 : errno;
      remove_tree(cache, aside);
    }
  }
  if (folder >= 0) close(folder);
  remove_tree(cache, name); /* nothing, if it has been renamed */
  if (asked_to_end) {
    signal(asked_to_end, SIG_DFL);
    raise(asked_to_end);
  }
  if (error != 0) explain(package, cache_name, member, error);
  fsync(cache);
}

/* Waits until no other process unpacks here. A lock dies with its process; where there are no locks, nobody waits. */
static void wait_for_turn(const struct package *package, int cache, const char *path) {
  const struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
  for (int i = 0; i < PATIENCE * 20 && !asked_to_end; i++) {
    if (flock(cache, LOCK_EX | LOCK_NB) == 0) {
      remove_stale(cache);
      return;
    }
    if (errno != EWOULDBLOCK && errno != EINTR) return;
    nanosleep(&pause, NULL);
    if (look(package, path) == WHOLE) return;
  }
}

static void end_by(int number) { asked_to_end = number; }

const char *unpacked_package(const struct package *package, const char *cache_name) {
  static char path[PATH_MAX];
  join(path, cache_name, package->checksum);
  struct stat info;
  if (lstat(cache_name, &info) == 0) {
    check_cache(cache_name);
    if (look(package, path) == WHOLE) return path;
  }
  static const int SIGNALS[] = {SIGINT, SIGTERM, SIGHUP};
  struct sigaction before[3], during = {.sa_handler = end_by};
  for (int i = 0; i < 3; i++) {
    sigaction(SIGNALS[i], NULL, &before[i]);
    if (before[i].sa_handler != SIG_IGN) sigaction(SIGNALS[i], &during, NULL);
  }
  make_folders(cache_name);
  check_cache(cache_name);
  int cache = open(cache_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (cache < 0) fail("opening the cache %s: %s; " MOVE_CACHE, cache_name, strerror(errno));
  wait_for_turn(package, cache, path);
  if (look(package, path) != WHOLE) unpack(package, cache_name, cache, path);
  close(cache);
  for (int i = 0; i < 3; i++) sigaction(SIGNALS[i], &before[i], NULL);
  if (look(package, path) != WHOLE)
    fail("the cache %s does not keep what is written to it (its owner, rights or sizes differ); " MOVE_CACHE, cache_name);
  return path;
}
