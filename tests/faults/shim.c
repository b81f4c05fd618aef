/* shim.c -- a preloaded library that fails or kills at the n-th call that changes a file below a folder.
 *
 * cc -shared -fPIC -o shim.so shim.c -ldl
 * fault_arm(folder, n, action, error) begins to count; n = 0 only counts.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { KILL = 1, TORN = 2, ONCE = 3, EVER = 4, SHORT = 5 };

static char folder[4096];
static long calls, at;
static int action, failure, fired;
static char what[64];

void fault_arm(const char *below, long n, int kind, int error)
{
    snprintf(folder, sizeof folder, "%s/", below);
    calls = fired = 0;
    at = n, action = kind, failure = error;
}
long fault_calls(void) { return calls; }
int fault_fired(void) { return fired; }
const char *fault_name(void) { return what; }

static int is_ours(const char *path) { return path[0] != '/' || !strncmp(path, folder, strlen(folder)); }

static int is_ours_fd(int fd)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    return !strncmp(path, folder, strlen(folder));
}

static void die(void)
{
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

/* Whether this call is to fail (1) or to do half of it (2); it does not return where the process is to die now. */
static int hit(const char *name, int ours)
{
    if (!folder[0] || !ours) return 0;
    calls++;
    if (!at || (calls != at && !(action == EVER && calls > at))) return 0;
    if (!fired) snprintf(what, sizeof what, "%s", name);
    fired = 1;
    if (action == KILL) die();
    if (action == TORN || action == SHORT) return 2;
    errno = failure;
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define WRITES(name, parameters, arguments, half)                                                                      \
    ssize_t name parameters                                                                                            \
    {                                                                                                                  \
        const int how = hit(#name, is_ours_fd(fd));                                                                    \
        if (how == 1) return -1;                                                                                       \
        if (how == 2 && n > 1) {                                                                                       \
            const ssize_t done = REAL(name) half;                                                                      \
            if (action == TORN) die();                                                                                 \
            return done;                                                                                               \
        }                                                                                                              \
        if (how == 2 && action == TORN) die();                                                                         \
        return REAL(name) arguments;                                                                                   \
    }

WRITES(write, (int fd, const void *data, size_t n), (fd, data, n), (fd, data, n / 2))
WRITES(pwrite, (int fd, const void *data, size_t n, off_t to), (fd, data, n, to), (fd, data, n / 2, to))
WRITES(pwrite64, (int fd, const void *data, size_t n, off64_t to), (fd, data, n, to), (fd, data, n / 2, to))
WRITES(writev, (int fd, const struct iovec *data, int n), (fd, data, n), (fd, data, n / 2))
WRITES(pwritev, (int fd, const struct iovec *data, int n, off_t to), (fd, data, n, to), (fd, data, n / 2, to))

#define CALL(type, name, ours, parameters, arguments)                                                                  \
    type name parameters                                                                                               \
    {                                                                                                                  \
        const int how = hit(#name, ours);                                                                              \
        if (how == 1) return -1;                                                                                       \
        if (how == 2 && action == TORN) die();                                                                         \
        return REAL(name) arguments;                                                                                   \
    }

CALL(int, fsync, is_ours_fd(fd), (int fd), (fd))
CALL(int, fdatasync, is_ours_fd(fd), (int fd), (fd))
CALL(int, ftruncate, is_ours_fd(fd), (int fd, off_t n), (fd, n))
CALL(int, ftruncate64, is_ours_fd(fd), (int fd, off64_t n), (fd, n))
CALL(int, rename, is_ours(to), (const char *from, const char *to), (from, to))
CALL(int, renameat, is_ours(to), (int a, const char *from, int b, const char *to), (a, from, b, to))
CALL(int, link, is_ours(to), (const char *from, const char *to), (from, to))
CALL(int, linkat, is_ours(to), (int a, const char *from, int b, const char *to, int f), (a, from, b, to, f))
CALL(int, unlink, is_ours(path), (const char *path), (path))
CALL(int, unlinkat, is_ours(path), (int a, const char *path, int f), (a, path, f))
CALL(int, mkdir, is_ours(path), (const char *path, mode_t m), (path, m))
CALL(int, rmdir, is_ours(path), (const char *path), (path))
CALL(ssize_t, copy_file_range, is_ours_fd(b), (int a, off64_t *x, int b, off64_t *y, size_t n, unsigned f),
     (a, x, b, y, n, f))

#define OPENS(name, head, before)                                                                                      \
    int name head                                                                                                      \
    {                                                                                                                  \
        mode_t mode = 0;                                                                                               \
        if (flags & (O_CREAT | O_TMPFILE)) {                                                                           \
            va_list more;                                                                                              \
            va_start(more, flags);                                                                                     \
            mode = va_arg(more, mode_t);                                                                               \
            va_end(more);                                                                                              \
        }                                                                                                              \
        const int how = hit(#name, (flags & (O_CREAT | O_WRONLY | O_RDWR)) && is_ours(path));                          \
        if (how == 1) return -1;                                                                                       \
        if (how == 2 && action == TORN) die();                                                                         \
        return REAL(name) before;                                                                                      \
    }

OPENS(open, (const char *path, int flags, ...), (path, flags, mode))
OPENS(open64, (const char *path, int flags, ...), (path, flags, mode))
OPENS(openat, (int a, const char *path, int flags, ...), (a, path, flags, mode))
OPENS(openat64, (int a, const char *path, int flags, ...), (a, path, flags, mode))
