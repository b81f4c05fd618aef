/* shim.c -- a preloaded library that fails or kills at the n-th call that changes a file below a folder.
 *
 * cc -shared -fPIC -o shim.so shim.c -ldl
 * fault_arm(folder, n, action, error) begins to count; n = 0 only counts. A program that does not know of it is armed
 * by FAULT_FOLDER and FAULT="n action error rank", on that rank alone.
 * fault_record(fd) writes what is done from then on to a file, fault_trace(fd) the names of all files that are opened.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { KILL = 1, TORN = 2, ONCE = 3, EVER = 4, SHORT = 5 };

static char folder[4096];
static long calls, at;
static int action, failure, fired;
static int record = -1, trace = -1;
static char what[4200];

void fault_arm(const char *below, long n, int kind, int error)
{
    snprintf(folder, sizeof folder, "%s/", below);
    calls = fired = 0;
    at = n, action = kind, failure = error;
}
long fault_calls(void) { return calls; }
int fault_fired(void) { return fired; }
const char *fault_name(void) { return what; }

void fault_record(int fd) { record = fd; }
void fault_trace(int fd) { trace = fd; }

__attribute__((constructor)) static void begin(void)
{
    const char *below = getenv("FAULT_FOLDER"), *fault = getenv("FAULT"), *rank = getenv("PMI_RANK");
    long n;
    int kind, error, chosen;
    if (!below || !fault || sscanf(fault, "%ld %d %d %d", &n, &kind, &error, &chosen) != 4) return;
    if (rank && atoi(rank) == chosen) fault_arm(below, n, kind, error);
}

static int is_ours(const char *path) { return path[0] != '/' || !strncmp(path, folder, strlen(folder)); }

static const char *name_of(int fd)
{
    static _Thread_local char path[4096];
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 2);
    path[n < 0 ? 0 : n] = 0;
    struct stat found;
    if (n > 0 && !fstat(fd, &found) && S_ISDIR(found.st_mode)) strcat(path, "/");
    return path;
}

static int is_ours_fd(int fd)
{
    const char *path = name_of(fd);
    return path[0] && !strncmp(path, folder, strlen(folder));
}

/* Write down what was done: lengths, an offset, the call, one or two names and what was written. */
static void note(const char *call, const char *path, const char *to, int64_t offset, const void *data, int64_t n)
{
    if (record < 0) return;
    const int64_t head[5] = {strlen(call), strlen(path), strlen(to), offset, n};
    const int64_t sizes[5] = {sizeof head, head[0], head[1], head[2], data ? n : 0};
    const struct iovec parts[5] = {{(void *)head, sizes[0]},
                                   {(void *)call, sizes[1]},
                                   {(void *)path, sizes[2]},
                                   {(void *)to, sizes[3]},
                                   {(void *)data, sizes[4]}};
    const int64_t all = sizes[0] + sizes[1] + sizes[2] + sizes[3] + sizes[4];
    if (syscall(SYS_writev, record, parts, 5) != all) abort(); /* at once: other threads do so too */
}

static void die(void)
{
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

/* Whether this call is to fail (1) or to do half of it (2); it does not return where the process is to die now. */
static int hit(const char *name, const char *path, int ours)
{
    if (!folder[0] || !ours) return 0;
    const long n = __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
    if (!at || (n != at && !(action == EVER && n > at))) return 0;
    if (!fired) snprintf(what, sizeof what, "%s %s", name, path);
    fired = 1;
    if (action == KILL) die();
    if (action == TORN || action == SHORT) return 2;
    errno = failure;
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int64_t place(int fd) { return syscall(SYS_lseek, fd, 0, SEEK_CUR); }

static void note_vector(int fd, const struct iovec *data, int n, int64_t to, int64_t done)
{
    for (int i = 0; i < n && done > 0; i++) {
        const int64_t part = done < (int64_t)data[i].iov_len ? done : (int64_t)data[i].iov_len;
        note("write", name_of(fd), "", to, data[i].iov_base, part);
        to += part, done -= part;
    }
}

#define WRITES(name, parameters, arguments, half, where, written)                                                      \
    ssize_t name parameters                                                                                            \
    {                                                                                                                  \
        const int ours = is_ours_fd(fd), how = hit(#name, name_of(fd), ours);                                          \
        if (how == 1) return -1;                                                                                       \
        if (how == 2 && n > 1) {                                                                                       \
            const ssize_t done = REAL(name) half;                                                                      \
            if (action == TORN) die();                                                                                 \
            return done;                                                                                               \
        }                                                                                                              \
        if (how == 2 && action == TORN) die();                                                                         \
        const int64_t at = record < 0 ? 0 : where;                                                                     \
        const ssize_t done = REAL(name) arguments;                                                                     \
        if (ours && record >= 0 && done > 0) written;                                                                  \
        return done;                                                                                                   \
    }

#define NOTE note("write", name_of(fd), "", at, data, done)
#define NOTES note_vector(fd, data, n, at, done)
WRITES(write, (int fd, const void *data, size_t n), (fd, data, n), (fd, data, n / 2), place(fd), NOTE)
WRITES(pwrite, (int fd, const void *data, size_t n, off_t to), (fd, data, n, to), (fd, data, n / 2, to), to, NOTE)
WRITES(pwrite64, (int fd, const void *data, size_t n, off64_t to), (fd, data, n, to), (fd, data, n / 2, to), to, NOTE)
WRITES(writev, (int fd, const struct iovec *data, int n), (fd, data, n), (fd, data, n / 2), place(fd), NOTES)
WRITES(pwritev, (int fd, const struct iovec *data, int n, off_t to), (fd, data, n, to), (fd, data, n / 2, to), to,
       NOTES)

#define CALL(type, name, kind, path, to, n, ours, parameters, arguments)                                               \
    type name parameters                                                                                               \
    {                                                                                                                  \
        const int mine = ours, how = hit(#name, path, mine);                                                           \
        if (how == 1) return -1;                                                                                       \
        if (how == 2 && action == TORN) die();                                                                         \
        const type done = REAL(name) arguments;                                                                        \
        if (mine && !done) note(kind, path, to, 0, NULL, n);                                                           \
        return done;                                                                                                   \
    }

CALL(int, fsync, "sync", name_of(fd), "", 0, is_ours_fd(fd), (int fd), (fd))
CALL(int, fdatasync, "sync", name_of(fd), "", 0, is_ours_fd(fd), (int fd), (fd))
CALL(int, ftruncate, "cut", name_of(fd), "", n, is_ours_fd(fd), (int fd, off_t n), (fd, n))
CALL(int, ftruncate64, "cut", name_of(fd), "", n, is_ours_fd(fd), (int fd, off64_t n), (fd, n))
CALL(int, rename, "rename", from, to, 0, is_ours(to), (const char *from, const char *to), (from, to))
CALL(int, renameat, "rename", from, to, 0, is_ours(to), (int a, const char *from, int b, const char *to),
     (a, from, b, to))
CALL(int, link, "link", from, to, 0, is_ours(to), (const char *from, const char *to), (from, to))
CALL(int, linkat, "link", from, to, 0, is_ours(to), (int a, const char *from, int b, const char *to, int f),
     (a, from, b, to, f))
CALL(int, unlink, "unlink", path, "", 0, is_ours(path), (const char *path), (path))
CALL(int, unlinkat, "unlink", path, "", 0, is_ours(path), (int a, const char *path, int f), (a, path, f))
CALL(int, mkdir, "mkdir", path, "", 0, is_ours(path), (const char *path, mode_t m), (path, m))
CALL(int, rmdir, "rmdir", path, "", 0, is_ours(path), (const char *path), (path))

ssize_t copy_file_range(int a, off64_t *x, int b, off64_t *y, size_t n, unsigned f)
{
    const int ours = is_ours_fd(b), how = hit("copy_file_range", name_of(b), ours);
    if (how == 1) return -1;
    if (how == 2 && action == TORN) die();
    const int64_t from = x ? *x : place(a), to = y ? *y : place(b);
    const ssize_t done = REAL(copy_file_range)(a, x, b, y, how == 2 && n > 1 ? n / 2 : n, f);
    if (ours && record >= 0 && done > 0) {
        void *data = malloc(done);
        if (!data || pread(a, data, done, from) != done) abort();
        note("write", name_of(b), "", to, data, done);
        free(data);
    }
    return done;
}

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
        if (trace >= 0) dprintf(trace, "%s\n", path);                                                                  \
        const int changes = (flags & (O_CREAT | O_WRONLY | O_RDWR)) && is_ours(path), how = hit(#name, path, changes); \
        if (how == 1) return -1;                                                                                       \
        if (how == 2 && action == TORN) die();                                                                         \
        const int fd = REAL(name) before;                                                                              \
        if (changes && folder[0] && fd >= 0) note(flags & O_TRUNC ? "empty" : "open", path, "", 0, NULL, 0);           \
        return fd;                                                                                                     \
    }

OPENS(open, (const char *path, int flags, ...), (path, flags, mode))
OPENS(open64, (const char *path, int flags, ...), (path, flags, mode))
OPENS(openat, (int a, const char *path, int flags, ...), (a, path, flags, mode))
OPENS(openat64, (int a, const char *path, int flags, ...), (a, path, flags, mode))
