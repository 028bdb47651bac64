/* A disk that can be told to fail, for tests: loaded before libc (LD_PRELOAD).
 *
 * FAULTY_FOLDER   files below it are on the disk that fails
 * FAULTY_CONTROL  a file that says how: "fsync", "full" or "readonly", and
 *                 " once" behind it for a single failure; "slow": each sync
 *                 takes 1.5 s; none: no failure
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* Whether the control file begins with this word; "once" uses it up. */
static int told(const char *word) {
    const char *control = getenv("FAULTY_CONTROL");
    char text[64] = "";
    if (!control) return 0;
    int fd = syscall(SYS_openat, AT_FDCWD, control, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t n = syscall(SYS_read, fd, text, sizeof text - 1);
    syscall(SYS_close, fd);
    if (n <= 0 || strncmp(text, word, strlen(word)) != 0) return 0;
    if (strstr(text, "once")) syscall(SYS_unlinkat, AT_FDCWD, control, 0);
    return 1;
}

static int is_below(const char *path) {
    const char *folder = getenv("FAULTY_FOLDER");
    return folder && strncmp(path, folder, strlen(folder)) == 0;
}

static int is_on_disk(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    return is_below(path);
}

static int refuse(int error) {
    errno = error;
    return -1;
}

#define NEXT(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))
#define SYNCING(fd) \
    if (is_on_disk(fd) && told("slow")) usleep(1500000); \
    if (is_on_disk(fd) && told("fsync")) return refuse(EIO); \
    if (is_on_disk(fd) && told("readonly")) return refuse(EROFS);
#define WRITING(fd) \
    if (is_on_disk(fd) && told("full")) return refuse(ENOSPC); \
    if (is_on_disk(fd) && told("readonly")) return refuse(EROFS);

int fsync(int fd) { SYNCING(fd) return NEXT(fsync)(fd); }
int fdatasync(int fd) { SYNCING(fd) return NEXT(fdatasync)(fd); }
ssize_t write(int fd, const void *b, size_t n) { WRITING(fd) return NEXT(write)(fd, b, n); }
ssize_t writev(int fd, const struct iovec *v, int n) { WRITING(fd) return NEXT(writev)(fd, v, n); }
ssize_t pwrite(int fd, const void *b, size_t n, off_t o) { WRITING(fd) return NEXT(pwrite)(fd, b, n, o); }
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t o) { WRITING(fd) return NEXT(pwrite64)(fd, b, n, o); }

static int refuses_opening(const char *path, int flags) {
    if (!is_below(path)) return 0;
    if ((flags & O_CREAT) && access(path, F_OK) != 0 && told("full")) { errno = ENOSPC; return 1; }
    if ((flags & (O_CREAT | O_WRONLY | O_RDWR)) && told("readonly")) { errno = EROFS; return 1; }
    return 0;
}
#define OPENING(name, path) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { va_list a; va_start(a, flags); mode = va_arg(a, mode_t); va_end(a); } \
    if (refuses_opening(path, flags)) return -1;
int open(const char *p, int flags, ...) { OPENING(open, p) return NEXT(open)(p, flags, mode); }
int open64(const char *p, int flags, ...) { OPENING(open64, p) return NEXT(open64)(p, flags, mode); }

int unlink(const char *p) {
    if (is_below(p) && told("readonly")) return refuse(EROFS);
    return NEXT(unlink)(p);
}
int rename(const char *from, const char *to) {
    if (is_below(to) && told("readonly")) return refuse(EROFS);
    return NEXT(rename)(from, to);
}
