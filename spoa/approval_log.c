#include <config.h>

#include "spoa/approval_log.h"

#include "spoa/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HEAD 9u /* checksum and blank */

struct alog {
    char *path, *fresh, *damaged; /* the file; its next version; where a damaged one goes */
    int dir, lock, fd;            /* fd -1: not open */
    ino_t ino;
    off_t read; /* so far */
    bool keep;
    struct buf in;
};

static bool fail(const struct alog *l, const char *what, char *err, size_t size) {
    snprintf(err, size, "cannot %s %s: %s", what, l->path, strerror(errno));
    return false;
}

struct alog *alog_open(const char *dir, const char *name, bool keep, char *err, size_t size) {
    struct alog *l = calloc(1, sizeof *l);
    char *lock = NULL;
    if (l == NULL) {
        snprintf(err, size, "out of memory");
        return NULL;
    }
    l->dir = l->lock = l->fd = -1;
    l->in = BUF_INIT(ALOG_LINE_MAX + (1u << 20));
    l->keep = keep;
    if (asprintf(&l->path, "%s/%s.log", dir, name) < 0) l->path = NULL;
    if (asprintf(&l->fresh, "%s/%s.new", dir, name) < 0) l->fresh = NULL;
    if (asprintf(&l->damaged, "%s/%s.damaged", dir, name) < 0) l->damaged = NULL;
    if (asprintf(&lock, "%s/%s.lock", dir, name) < 0) lock = NULL;
    if (l->path != NULL && l->fresh != NULL && l->damaged != NULL && lock != NULL) {
        l->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        l->lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        free(lock);
        if (l->dir >= 0 && l->lock >= 0) return l;
        fail(l, "open the lock of", err, size);
    } else {
        free(lock);
        snprintf(err, size, "out of memory");
    }
    alog_close(l);
    return NULL;
}

static void drop_fd(struct alog *l) {
    if (l->fd >= 0) close(l->fd);
    l->fd = -1;
    l->read = 0;
    buf_reset(&l->in);
}

void alog_close(struct alog *l) {
    if (l == NULL) return;
    drop_fd(l);
    if (l->lock >= 0) close(l->lock);
    if (l->dir >= 0) close(l->dir);
    buf_free(&l->in);
    free(l->path);
    free(l->fresh);
    free(l->damaged);
    free(l);
}

bool alog_lock(struct alog *l, unsigned wait_ms, char *err, size_t size) {
    for (unsigned waited = 0; flock(l->lock, LOCK_EX | LOCK_NB) != 0; waited++) {
        if (errno != EWOULDBLOCK && errno != EINTR) return fail(l, "lock", err, size);
        if (waited >= wait_ms) {
            snprintf(err, size, "another gatehouse of this node holds %s for too long", l->path);
            return false;
        }
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return true;
}

void alog_unlock(struct alog *l) { flock(l->lock, LOCK_UN); }

/* The file that has the name now; it may have been replaced. *again: not the one that was read so far. */
static bool attach(struct alog *l, bool *again, char *err, size_t size) {
    struct stat st;
    *again = false;
    if (l->fd >= 0 && stat(l->path, &st) == 0 && st.st_ino == l->ino && st.st_size >= l->read) return true;
    drop_fd(l);
    *again = true;
    l->fd = open(l->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (l->fd < 0 || fstat(l->fd, &st) != 0) return fail(l, "open", err, size);
    if ((st.st_mode & 077) != 0) {
        drop_fd(l);
        snprintf(err, size, "%s can be read by others than its owner: who can write there can approve: chmod 600, or remove it", l->path);
        return false;
    }
    l->ino = st.st_ino;
    return true;
}

/* The first whole line of the buffer: its length with the newline; 0 when there is none. */
static size_t line_of(const struct buf *b) {
    const uint8_t *nl = memchr(buf_at(b), '\n', buf_used(b));
    return nl == NULL ? 0 : (size_t)(nl - buf_at(b)) + 1;
}

static bool line_good(const uint8_t *p, size_t len) {
    char want[HEAD + 1];
    if (len < HEAD + 1) return false;
    snprintf(want, sizeof want, "%08x ", (unsigned)jnl_crc32c(0, p + HEAD, len - HEAD - 1));
    return memcmp(p, want, HEAD) == 0;
}

enum taken { TAKEN, DAMAGED, NO_MEMORY };

static enum taken take_lines(struct alog *l, const struct alog_reader *r) {
    for (size_t n; (n = line_of(&l->in)) > 0; buf_drain(&l->in, n)) {
        const uint8_t *p = buf_at(&l->in);
        bool good = line_good(p, n);
        if (!good && !l->keep) return DAMAGED;
        if (!good)
            r->damaged(r->arg);
        else if (!r->record(r->arg, (const char *)p + HEAD, n - HEAD - 1))
            return NO_MEMORY;
        l->read += (off_t)n;
    }
    return buf_used(&l->in) < ALOG_LINE_MAX ? TAKEN : DAMAGED;
}

static bool no_memory(const struct alog *l, char *err, size_t size) {
    snprintf(err, size, "out of memory: %s could not be read to its end", l->path);
    return false;
}

static bool set_aside(struct alog *l, const struct alog_reader *r, bool *damaged, char *err, size_t size) {
    *damaged = true;
    r->forget(r->arg);
    drop_fd(l);
    return rename(l->path, l->damaged) == 0 || fail(l, "move aside", err, size);
}

static bool read_on(struct alog *l, const struct alog_reader *r, bool *damaged, char *err, size_t size) {
    bool again;
    *damaged = false;
    if (!attach(l, &again, err, size)) return false;
    if (again) r->forget(r->arg);
    for (;;) {
        uint8_t *room = buf_reserve(&l->in, 65536);
        if (room == NULL) return no_memory(l, err, size);
        ssize_t n = pread(l->fd, room, 65536, l->read + (off_t)buf_used(&l->in));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail(l, "read", err, size);
        if (n == 0) break;
        buf_commit(&l->in, (size_t)n);
        enum taken t = take_lines(l, r);
        if (t == TAKEN) continue;
        if (t == NO_MEMORY) return no_memory(l, err, size);
        if (!l->keep) return set_aside(l, r, damaged, err, size) && attach(l, &again, err, size);
        snprintf(err, size, "%s has a line that is longer than any that gatehouse writes: look at it, and remove that line", l->path);
        return false;
    }
    return buf_used(&l->in) == 0 || ftruncate(l->fd, l->read) == 0 || fail(l, "cut", err, size);
}

bool alog_read(struct alog *l, const struct alog_reader *r, bool *damaged, char *err, size_t size) {
    bool ok = read_on(l, r, damaged, err, size);
    buf_reset(&l->in); /* what was not taken is read again, and must not pass for a torn line */
    return ok;
}

void alog_again(struct alog *l) { drop_fd(l); }

void alog_line(struct buf *b, const char *json, size_t len) {
    char head[HEAD + 1];
    snprintf(head, sizeof head, "%08x ", (unsigned)jnl_crc32c(0, json, len));
    buf_put(b, head, HEAD);
    buf_put(b, json, len);
    buf_u8(b, '\n');
}

static bool write_all(int fd, const uint8_t *p, size_t len) {
    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        p += n;
        len -= (size_t)n;
    }
    return fdatasync(fd) == 0;
}

bool alog_append(struct alog *l, const struct buf *lines, char *err, size_t size) {
    if (lines->failed) {
        snprintf(err, size, lines->no_memory ? "out of memory for %s" : "a record for %s is too long", l->path);
        return false;
    }
    if (l->fd < 0) return no_memory(l, err, size);
    bool ok = write_all(l->fd, buf_at(lines), buf_used(lines)) || fail(l, "write to", err, size);
    if (ok)
        l->read += (off_t)buf_used(lines);
    else if (ftruncate(l->fd, l->read) != 0) /* a part may be there: the next reader cuts or refuses it */
        drop_fd(l);
    return ok;
}

bool alog_replace(struct alog *l, const struct buf *lines, char *err, size_t size) {
    struct stat st;
    if (lines->failed) {
        snprintf(err, size, "out of memory for %s", l->path);
        return false;
    }
    if (l->fd < 0) return no_memory(l, err, size); /* a line of it is not known */
    unlink(l->fresh);
    int fd = open(l->fresh, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && write_all(fd, buf_at(lines), buf_used(lines)) && fstat(fd, &st) == 0 && rename(l->fresh, l->path) == 0 &&
              fsync(l->dir) == 0;
    if (!ok) {
        fail(l, "replace", err, size);
        if (fd >= 0) close(fd);
        drop_fd(l); /* which of the two has the name is found out by the next reader */
        return false;
    }
    drop_fd(l);
    l->fd = fd;
    l->ino = st.st_ino;
    l->read = (off_t)buf_used(lines);
    return true;
}

uint64_t alog_bytes(const struct alog *l) { return (uint64_t)l->read; }
