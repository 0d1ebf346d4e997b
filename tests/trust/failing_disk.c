/* Lets the k-th call of one kind fail, on files below one folder; loaded with LD_PRELOAD, armed through ctypes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, SYNC = 2, RENAME = 4, CREATE = 8, REMOVE = 16, TRUNCATE = 32 };

static char folder[PATH_MAX];
static int kinds, number, failure, lasting;
static int seen;

/* The number of calls seen is what `fault_seen` returns; arming with number 0 only counts. */
void fault_arm(const char *below, int which, int k, int code, int stays) {
    snprintf(folder, sizeof folder, "%s/", below);
    kinds = which, number = k, failure = code, lasting = stays, seen = 0;
}

int fault_seen(void) { return seen; }

static int fails(int kind, const char *path) {
    if (!(kinds & kind) || strncmp(path, folder, strlen(folder)) != 0)
        return 0;
    seen++;
    if (!number || seen < number || (seen > number && !lasting))
        return 0;
    errno = failure;
    return 1;
}

static int fails_at(int kind, int handle) {
    char link[64], path[PATH_MAX];
    if (!(kinds & kind))
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return fails(kind, path);
}

#define NEXT(name) \
    static __typeof__(&name) next; \
    if (!next) \
        next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t write(int handle, const void *data, size_t size) {
    NEXT(write);
    if (!fails_at(WRITE, handle))
        return next(handle, data, size);
    /* A full disk takes what fits first. */
    if (size > 1 && failure == ENOSPC && next(handle, data, size / 2) < 0)
        return -1;
    errno = failure;
    return -1;
}

ssize_t pwrite64(int handle, const void *data, size_t size, off64_t at) {
    NEXT(pwrite64);
    return fails_at(WRITE, handle) ? -1 : next(handle, data, size, at);
}

ssize_t pwrite(int handle, const void *data, size_t size, off_t at) {
    NEXT(pwrite);
    return fails_at(WRITE, handle) ? -1 : next(handle, data, size, at);
}

ssize_t writev(int handle, const struct iovec *parts, int count) {
    NEXT(writev);
    return fails_at(WRITE, handle) ? -1 : next(handle, parts, count);
}

int fsync(int handle) {
    NEXT(fsync);
    return fails_at(SYNC, handle) ? -1 : next(handle);
}

int fdatasync(int handle) {
    NEXT(fdatasync);
    return fails_at(SYNC, handle) ? -1 : next(handle);
}

int rename(const char *from, const char *to) {
    NEXT(rename);
    return fails(RENAME, to) ? -1 : next(from, to);
}

int unlink(const char *path) {
    NEXT(unlink);
    return fails(REMOVE, path) ? -1 : next(path);
}

int ftruncate64(int handle, off64_t size) {
    NEXT(ftruncate64);
    return fails_at(TRUNCATE, handle) ? -1 : next(handle, size);
}

int ftruncate(int handle, off_t size) {
    NEXT(ftruncate);
    return fails_at(TRUNCATE, handle) ? -1 : next(handle, size);
}

int open64(const char *path, int flags, ...) {
    NEXT(open64);
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    return (flags & O_CREAT) && fails(CREATE, path) ? -1 : next(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    NEXT(open);
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    return (flags & O_CREAT) && fails(CREATE, path) ? -1 : next(path, flags, mode);
}

int openat64(int at, const char *path, int flags, ...) {
    NEXT(openat64);
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    return (flags & O_CREAT) && fails(CREATE, path) ? -1 : next(at, path, flags, mode);
}
