/* What a program asks of the system, written down or refused: preloaded before a command (LD_PRELOAD) by shim.py.

   SHIM_UNDER=FOLDER        what is meant: files below it
   SHIM_LOG=FILE            write down there every change to them, and every sync, in order, with the data
   SHIM_FULL_AFTER=BYTES    the disk is full after so many bytes: ENOSPC, after a part of them; what is cut off a file
                            makes room again
   SHIM_READ_ONLY=1         nothing there can be made, changed or deleted: EROFS
   SHIM_LOCKS=ERRNO         no lock can be had: flock and fcntl fail with this number; 0: they say that they succeed
   SHIM_CLOCK=SEED          the clock on the wall jumps by years, back and forth, from call to call

   One lock is held over a call and its line in the log, so that the log has the true order. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))real(#name))

static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static const char *under, *log_file, *locks, *clock_seed;
static int read_only, log_handle = -1;
static long long room = -1;
static size_t under_length;

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

__attribute__((constructor)) static void begin(void) {
    under = getenv("SHIM_UNDER");
    under_length = under ? strlen(under) : 0;
    log_file = getenv("SHIM_LOG");
    locks = getenv("SHIM_LOCKS");
    clock_seed = getenv("SHIM_CLOCK");
    read_only = getenv("SHIM_READ_ONLY") != NULL;
    if (getenv("SHIM_FULL_AFTER")) room = atoll(getenv("SHIM_FULL_AFTER"));
    if (log_file) log_handle = syscall(SYS_openat, AT_FDCWD, log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

static int meant(const char *path) {
    return under && !strncmp(path, under, under_length) && (path[under_length] == '/' || !path[under_length]);
}

/* The whole path of a file that a call names, whether it is there or not. */
static int whole(int folder, const char *path, char *found) {
    char at[PATH_MAX] = "", link[64];
    if (path[0] != '/') {
        if (folder == AT_FDCWD) { if (!getcwd(at, sizeof at)) return 0; }
        else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
            ssize_t length = readlink(link, at, sizeof at - 1);
            if (length < 0) return 0;
            at[length] = 0;
        }
        strcat(at, "/");
    }
    if (strlen(at) + strlen(path) >= PATH_MAX) return 0;
    strcpy(found, at);
    strcat(found, path);
    return meant(found);
}

static int of(int handle, char *found) {
    char link[64];
    if (!under) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t length = readlink(link, found, PATH_MAX - 1);
    if (length < 0) return 0;
    found[length] = 0;
    return meant(found);
}

/* Whether a file has lost its name while it is open: nobody finds it after a crash. */
static int nameless(const char *path) {
    const char *end = strrchr(path, ' ');
    return end && !strcmp(end, " (deleted)");
}

/* A line of the log: kind, two paths, a place in the file, data. */
static void note(char kind, const char *path, const char *other, int64_t at, const void *data, size_t size) {
    if (log_handle < 0 || nameless(path)) return;
    int saved = errno;
    uint32_t lengths[2] = {strlen(path), other ? strlen(other) : 0};
    uint64_t amount = size;
    struct iovec parts[] = {{&kind, 1}, {lengths, sizeof lengths}, {&at, 8}, {&amount, 8}, {(void *)path, lengths[0]},
                            {(void *)other, lengths[1]}, {(void *)data, size}};
    syscall(SYS_writev, log_handle, parts, 7);
    errno = saved;
}

/* How many of some bytes the disk has room for; -1 and ENOSPC for none. */
static ssize_t fits(size_t size) {
    if (room < 0) return size;
    if (room == 0 && size) { errno = ENOSPC; return -1; }
    if ((long long)size > room) size = room;
    room -= size;
    return size;
}

#define REFUSED(condition) if (read_only && (condition)) { errno = EROFS; return -1; }

static ssize_t put(int handle, const void *data, size_t size, int64_t at, int here) {
    char path[PATH_MAX];
    ssize_t (*call)(int, const void *, size_t) = REAL(write);
    ssize_t (*there)(int, const void *, size_t, off_t) = REAL(pwrite);
    if (handle == log_handle || !of(handle, path)) return here ? call(handle, data, size) : there(handle, data, size, at);
    pthread_mutex_lock(&lock);
    ssize_t done = fits(size);
    if (done >= 0) {
        if (here) {
            struct stat status;
            int append = fcntl(handle, F_GETFL) & O_APPEND;
            at = append && !fstat(handle, &status) ? status.st_size : lseek(handle, 0, SEEK_CUR);
            done = call(handle, data, done);
        } else done = there(handle, data, done, at);
        if (done > 0) note('w', path, NULL, at, data, done);
    }
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t write(int handle, const void *data, size_t size) { return put(handle, data, size, 0, 1); }
ssize_t pwrite(int handle, const void *data, size_t size, off_t at) { return put(handle, data, size, at, 0); }
ssize_t pwrite64(int handle, const void *data, size_t size, off64_t at) { return put(handle, data, size, at, 0); }

ssize_t writev(int handle, const struct iovec *parts, int count) {
    char path[PATH_MAX];
    if (!of(handle, path)) return REAL(writev)(handle, parts, count);
    ssize_t total = 0;
    for (int number = 0; number < count; number++) {
        ssize_t done = write(handle, parts[number].iov_base, parts[number].iov_len);
        if (done < 0) return total ? total : done;
        total += done;
        if ((size_t)done < parts[number].iov_len) break;
    }
    return total;
}

/* Copies within the kernel would go past the log: who asks for one is told to copy by hand. */
ssize_t sendfile(int out, int in, off_t *at, size_t size) {
    char path[PATH_MAX];
    if (!of(out, path)) return REAL(sendfile)(out, in, at, size);
    errno = EINVAL;
    return -1;
}
ssize_t sendfile64(int out, int in, off64_t *at, size_t size) { return sendfile(out, in, at, size); }
ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t size, unsigned flags) {
    errno = ENOSYS;
    return -1;
}

static int made(int folder, const char *path, int flags, mode_t mode) {
    char name[PATH_MAX];
    int changes = (flags & (O_CREAT | O_TRUNC)) || (flags & O_ACCMODE) != O_RDONLY;
    if (!under || !changes || !whole(folder, path, name)) return syscall(SYS_openat, folder, path, flags, mode);
    REFUSED(1)
    pthread_mutex_lock(&lock);
    struct stat status;
    int there = !syscall(SYS_newfstatat, folder, path, &status, 0);
    int handle = -1;
    if (!there && room == 0) errno = ENOSPC;
    else handle = syscall(SYS_openat, folder, path, flags, mode);
    if (handle >= 0 && (flags & O_CREAT) && !there) note('c', name, NULL, 0, NULL, 0);
    else if (handle >= 0 && (flags & O_TRUNC)) note('t', name, NULL, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return handle;
}

#define MODE mode_t mode = 0; if (flags & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }
int open(const char *path, int flags, ...) { MODE return made(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return made(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE return made(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE return made(folder, path, flags | O_LARGEFILE, mode); }

/* A call that changes names: done, and written down where it was done. */
#define CHANGES(kind, one, two, call) { \
    char name[PATH_MAX], other[PATH_MAX] = ""; \
    int first = whole(AT_FDCWD, one, name), second = whole(AT_FDCWD, two, other); \
    REFUSED(first || second) \
    pthread_mutex_lock(&lock); \
    int done = (call); \
    if (!done && (first || second)) note(kind, name, other, 0, NULL, 0); \
    pthread_mutex_unlock(&lock); \
    return done; }

int rename(const char *from, const char *to) CHANGES('r', from, to, syscall(SYS_rename, from, to))
int unlink(const char *path) CHANGES('u', path, "/", syscall(SYS_unlink, path))
int rmdir(const char *path) CHANGES('u', path, "/", syscall(SYS_rmdir, path))
int link(const char *from, const char *to) CHANGES('l', from, to, syscall(SYS_link, from, to))
int mkdir(const char *path, mode_t mode) {
    if (room == 0) { char name[PATH_MAX]; if (whole(AT_FDCWD, path, name)) { errno = ENOSPC; return -1; } }
    CHANGES('m', path, "/", syscall(SYS_mkdir, path, mode))
}
int renameat(int a, const char *from, int b, const char *to) {
    return a == AT_FDCWD && b == AT_FDCWD ? rename(from, to) : REAL(renameat)(a, from, b, to);
}
int unlinkat(int folder, const char *path, int flags) {
    char name[PATH_MAX];
    int first = whole(folder, path, name);
    REFUSED(first)
    pthread_mutex_lock(&lock);
    int done = syscall(SYS_unlinkat, folder, path, flags);
    if (!done && first) note('u', name, NULL, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return done;
}

static int cut(int handle, off64_t size) {
    char path[PATH_MAX];
    int first = of(handle, path);
    REFUSED(first)
    pthread_mutex_lock(&lock);
    struct stat status;
    off64_t before = fstat(handle, &status) ? 0 : status.st_size;
    int done = syscall(SYS_ftruncate, handle, size);
    if (!done && first && room >= 0 && before > size) room += before - size;
    if (!done && first) note('t', path, NULL, size, NULL, 0);
    pthread_mutex_unlock(&lock);
    return done;
}
int ftruncate(int handle, off_t size) { return cut(handle, size); }
int ftruncate64(int handle, off64_t size) { return cut(handle, size); }
int posix_fallocate(int handle, off_t at, off_t size) { return EOPNOTSUPP; }
int posix_fallocate64(int handle, off64_t at, off64_t size) { return EOPNOTSUPP; }

static int synced(int handle, long number) {
    char path[PATH_MAX];
    int first = of(handle, path);
    pthread_mutex_lock(&lock);
    int done = syscall(number, handle);
    if (!done && first) note('s', path, NULL, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return done;
}
int fsync(int handle) { return synced(handle, SYS_fsync); }
int fdatasync(int handle) { return synced(handle, SYS_fdatasync); }

int flock(int handle, int operation) {
    if (!locks) return syscall(SYS_flock, handle, operation);
    errno = atoi(locks);
    return errno ? -1 : 0;
}

static int controlled(int handle, int command, void *argument) {
    int locking = command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK || command == F_OFD_SETLKW;
    if (locks && locking && ((struct flock *)argument)->l_type != F_UNLCK) {
        errno = atoi(locks);
        return errno ? -1 : 0;
    }
    return syscall(SYS_fcntl, handle, command, argument);
}
#define ARGUMENT va_list more; va_start(more, command); void *argument = va_arg(more, void *); va_end(more);
int fcntl(int handle, int command, ...) { ARGUMENT return controlled(handle, command, argument); }
int fcntl64(int handle, int command, ...) { ARGUMENT return controlled(handle, command, argument); }

/* Up to five years away, another place each time. */
static long jump(void) {
    static unsigned calls;
    unsigned value = (atoi(clock_seed) + ++calls) * 2654435761u;
    return (long)(value % (10u * 31536000u)) - 5L * 31536000;
}
int clock_gettime(clockid_t clock, struct timespec *time) {
    int done = syscall(SYS_clock_gettime, clock, time);
    if (!done && clock_seed && clock == CLOCK_REALTIME) time->tv_sec += jump();
    return done;
}
int gettimeofday(struct timeval *time, void *zone) {
    struct timespec now;
    int done = clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return done;
}
time_t time(time_t *found) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (found) *found = now.tv_sec;
    return now.tv_sec;
}
