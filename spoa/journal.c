#include "spoa/journal.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct seg {
    uint64_t first; /* number of its first line */
    uint64_t bytes;
};

struct jnl {
    char *dir;
    struct jnl_conf conf;
    int dirfd, lockfd, hintfd;
    int fd;           /* the last segment, open for appending; -1: it must be opened again */
    struct seg *segs; /* oldest first; never empty after open */
    size_t nsegs, capsegs;
    uint64_t last_seq, shipped;
    bool look; /* a segment may have become one that nobody needs */
    bool torn; /* bytes after the last good line could not be cut yet */
    struct {
        int fd;         /* -1: not placed */
        size_t seg;     /* index in segs */
        uint64_t next;  /* number of the next line */
        uint64_t at;    /* its offset in the segment */
        struct buf buf; /* bytes of the file from `at` on */
        size_t taken;   /* bytes of buf that the last line used; dropped by the next call */
    } rd;
};

/* ---- checksum ---- */

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_hw(uint32_t crc, const uint8_t *p, size_t n) {
    uint64_t c = crc, v[4];
    for (; n >= sizeof v; n -= sizeof v, p += sizeof v) {
        memcpy(v, p, sizeof v);
        for (int i = 0; i < 4; i++) c = __builtin_ia32_crc32di(c, v[i]);
    }
    for (; n >= 8; n -= 8, p += 8) {
        memcpy(v, p, 8);
        c = __builtin_ia32_crc32di(c, *v);
    }
    for (; n > 0; n--, p++) c = __builtin_ia32_crc32qi((uint32_t)c, *p);
    return (uint32_t)c;
}
#endif

uint32_t jnl_crc32c(uint32_t crc, const void *data, size_t len) {
    const uint8_t *p = data;
    crc = ~crc;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) return ~crc_hw(crc, p, len);
#endif
    for (; len > 0; len--, p++) {
        crc ^= *p;
        for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (0x82f63b78u & (0u - (crc & 1)));
    }
    return ~crc;
}

/* ---- lines ---- */

#define CRC_DIGITS 8

static void crc_digits(char out[CRC_DIGITS], uint32_t crc) {
    const uint32_t big = htobe32(crc);
    gh_hex(out, &big, sizeof big);
}

size_t jnl_line_begin(struct buf *b, uint64_t seq) {
    size_t at = buf_used(b);
    static const char rest[] = " 00000000 ";
    char head[GH_U64_TEXT + sizeof rest];
    size_t n = gh_u64_text(head, seq);
    memcpy(head + n, rest, sizeof rest);
    buf_put(b, head, n + sizeof rest - 1);
    return at;
}

void jnl_line_end(struct buf *b, size_t at) {
    if (b->failed) return;
    uint8_t *line = b->data + b->off + at;
    size_t len = buf_used(b) - at, seq = (size_t)((uint8_t *)memchr(line, ' ', len) - line) + 1;
    uint32_t crc = jnl_crc32c(jnl_crc32c(0, line, seq), line + seq + CRC_DIGITS + 1, len - seq - CRC_DIGITS - 1);
    crc_digits((char *)line + seq, crc);
    buf_u8(b, '\n');
}

/* A line without its newline. False when it is not one that we wrote, with the number seq. */
static bool line_check(const char *s, size_t n, uint64_t seq, const char **json, size_t *len) {
    char head[GH_U64_TEXT + 1];
    size_t h = gh_u64_text(head, seq);
    head[h++] = ' ';
    if (n < h + CRC_DIGITS + 1 || memcmp(s, head, h) != 0 || s[h + CRC_DIGITS] != ' ') return false;
    *json = s + h + CRC_DIGITS + 1;
    *len = n - h - CRC_DIGITS - 1;
    char hex[CRC_DIGITS];
    crc_digits(hex, jnl_crc32c(jnl_crc32c(0, s, h), *json, *len));
    return memcmp(s + h, hex, CRC_DIGITS) == 0;
}

bool jnl_line_parse(const char *line, size_t len, uint64_t *seq, const char **json, size_t *n) {
    *seq = 0;
    for (size_t i = 0; i < len && i < 19 && line[i] >= '0' && line[i] <= '9'; i++) *seq = *seq * 10 + (uint64_t)(line[i] - '0');
    return *seq > 0 && line_check(line, len, *seq, json, n);
}

/* ---- segments ---- */

static void seg_name(char out[40], uint64_t first) { snprintf(out, 40, "journal-%016" PRIu64 ".log", first); }

static bool seg_add(struct jnl *j, struct seg s) {
    if (j->nsegs == j->capsegs) {
        size_t cap = j->capsegs == 0 ? 16 : j->capsegs * 2;
        struct seg *p = reallocarray(j->segs, cap, sizeof *p);
        if (p == NULL) return false;
        j->segs = p;
        j->capsegs = cap;
    }
    j->segs[j->nsegs++] = s;
    return true;
}

static int seg_order(const void *a, const void *b) {
    uint64_t x = ((const struct seg *)a)->first, y = ((const struct seg *)b)->first;
    return x < y ? -1 : x > y;
}

static int seg_open(const struct jnl *j, uint64_t first, int flags) {
    char name[40];
    seg_name(name, first);
    return openat(j->dirfd, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static bool segs_list(struct jnl *j, char *err, size_t errsize) {
    int fd = openat(j->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (d == NULL) {
        snprintf(err, errsize, "cannot list the journal's folder %s: %s", j->dir, strerror(errno));
        if (fd >= 0) close(fd);
        return false;
    }
    bool ok = true;
    for (struct dirent *e; ok && (e = readdir(d)) != NULL;) {
        uint64_t first;
        char name[40];
        struct stat st;
        if (sscanf(e->d_name, "journal-%16" SCNu64 ".log", &first) != 1) continue;
        seg_name(name, first);
        if (strcmp(name, e->d_name) != 0 || first == 0) continue;
        if (fstatat(j->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode)) {
            snprintf(err, errsize, "%s/%s is not a regular file; move it away", j->dir, name);
            ok = false;
        } else if (!seg_add(j, (struct seg){first, (uint64_t)st.st_size})) {
            snprintf(err, errsize, "out of memory");
            ok = false;
        }
    }
    closedir(d);
    if (ok && j->nsegs > 0) qsort(j->segs, j->nsegs, sizeof *j->segs, seg_order);
    return ok;
}

/* ---- reading ---- */

static void rd_close(struct jnl *j) {
    if (j->rd.fd >= 0) close(j->rd.fd);
    j->rd.fd = -1;
    buf_free(&j->rd.buf);
    j->rd.taken = 0;
}

static bool rd_open(struct jnl *j, size_t seg, char *err, size_t errsize) {
    rd_close(j);
    j->rd.fd = seg_open(j, j->segs[seg].first, O_RDONLY);
    if (j->rd.fd < 0) {
        snprintf(err, errsize, "cannot read %s/journal-%016" PRIu64 ".log: %s", j->dir, j->segs[seg].first, strerror(errno));
        return false;
    }
    j->rd.seg = seg;
    j->rd.next = j->segs[seg].first;
    j->rd.at = 0;
    return true;
}

enum rd { RD_LINE, RD_EOF, RD_TORN, RD_BAD, RD_ERROR };

/* The next line of the reader's segment, none of whose bytes beyond segs[].bytes are looked at. */
static enum rd rd_line(struct jnl *j, const char **json, size_t *len, size_t *line_bytes) {
    struct buf *b = &j->rd.buf;
    buf_drain(b, j->rd.taken);
    j->rd.at += j->rd.taken;
    j->rd.taken = 0;
    uint64_t left = j->segs[j->rd.seg].bytes - j->rd.at;
    for (size_t looked = 0;;) {
        size_t have = buf_used(b);
        const char *s = have == 0 ? "" : (const char *)buf_at(b);
        const char *nl = memchr(s + looked, '\n', have - looked);
        if (nl != NULL) {
            size_t n = (size_t)(nl - s);
            if (!line_check(s, n, j->rd.next, json, len)) return RD_BAD;
            *line_bytes = j->rd.taken = n + 1;
            j->rd.next++;
            return RD_LINE;
        }
        looked = have;
        if (have == left) return have == 0 ? RD_EOF : RD_TORN;
        size_t want = left - have < 65536 ? (size_t)(left - have) : have < 65536 ? 65536 : have;
        if (want > left - have) want = (size_t)(left - have);
        uint8_t *to = buf_reserve(b, want);
        if (to == NULL) return b->max - have < want ? RD_BAD : RD_ERROR;
        ssize_t got = pread(j->rd.fd, to, want, (off_t)(j->rd.at + have));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return RD_ERROR;
        if (got == 0) return RD_BAD; /* shorter than we know it to be */
        buf_commit(b, (size_t)got);
    }
}

static void say_bad(const struct jnl *j, char *err, size_t errsize) {
    snprintf(
        err, errsize,
        "the journal is damaged: %s/journal-%016" PRIu64 ".log, byte %" PRIu64 ", should hold event %" PRIu64
        ". Nothing was changed. Keep a copy of the folder as evidence, then restore the file from a backup, or move the folder away and "
        "start with an empty one and a new node name",
        j->dir, j->segs[j->rd.seg].first, j->rd.at, j->rd.next);
}

enum jnl_read jnl_next(struct jnl *j, uint64_t *seq, const char **json, size_t *len, size_t *line_bytes, char *err, size_t errsize) {
    for (;;) {
        *seq = j->rd.next;
        enum rd r = rd_line(j, json, len, line_bytes);
        if (r == RD_LINE) return JNL_LINE;
        if (r == RD_ERROR) {
            snprintf(err, errsize, "cannot read the journal in %s: %s", j->dir, strerror(errno));
            rd_close(j); /* so that a mended file is read afresh */
            return JNL_BAD;
        }
        if (r == RD_EOF && j->rd.seg + 1 == j->nsegs) return JNL_END;
        if (r != RD_EOF || j->segs[j->rd.seg + 1].first != j->rd.next) {
            say_bad(j, err, errsize);
            rd_close(j);
            return JNL_BAD;
        }
        if (!rd_open(j, j->rd.seg + 1, err, errsize)) return JNL_BAD;
    }
}

bool jnl_seek(struct jnl *j, uint64_t seq, char *err, size_t errsize) {
    if (j->rd.fd >= 0 && j->rd.next == seq) return true;
    if (seq < j->segs[0].first || seq > j->last_seq + 1) {
        snprintf(err, errsize, "event %" PRIu64 " is not in the journal in %s, which holds %" PRIu64 " to %" PRIu64, seq, j->dir,
                 j->segs[0].first, j->last_seq);
        return false;
    }
    size_t at = j->nsegs - 1;
    while (j->segs[at].first > seq) at--;
    if (!rd_open(j, at, err, errsize)) return false;
    while (j->rd.next < seq) {
        uint64_t n;
        const char *json;
        size_t len, bytes;
        enum jnl_read r = jnl_next(j, &n, &json, &len, &bytes, err, errsize);
        if (r == JNL_END) say_bad(j, err, errsize);
        if (r != JNL_LINE) {
            rd_close(j);
            return false;
        }
    }
    return true;
}

uint64_t jnl_unread_bytes(const struct jnl *j) {
    uint64_t sum = 0;
    size_t from = j->rd.fd >= 0 ? j->rd.seg : 0;
    for (size_t i = from; i < j->nsegs; i++) sum += j->segs[i].bytes;
    return j->rd.fd >= 0 ? sum - j->rd.at - j->rd.taken : sum;
}

/* ---- opening ---- */

/* jnl_held() holds it for a moment too. */
static bool lock(int fd) {
    for (int tries = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; tries++) {
        if (errno != EWOULDBLOCK || tries == 5) return false;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return true;
}

static bool dir_open(struct jnl *j, char *err, size_t errsize) {
    if (mkdir(j->dir, 0700) < 0 && errno != EEXIST) {
        snprintf(err, errsize, "cannot make the journal's folder %s: %s", j->dir, strerror(errno));
        return false;
    }
    struct stat st;
    j->dirfd = open(j->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (j->dirfd < 0 || fstat(j->dirfd, &st) < 0) {
        snprintf(err, errsize, "cannot open the journal's folder %s: %s", j->dir, strerror(errno));
        return false;
    }
    if (st.st_uid != geteuid() || (st.st_mode & 077) != 0) {
        snprintf(err, errsize, "the journal's folder %s must belong to the daemon's user and be closed to others: chown it and chmod 700",
                 j->dir);
        return false;
    }
    j->lockfd = openat(j->dirfd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (j->lockfd < 0 || !lock(j->lockfd)) {
        if (j->lockfd >= 0 && errno == EWOULDBLOCK)
            snprintf(err, errsize, "the journal in %s is in use by another daemon: stop that one, or give this one a folder of its own",
                     j->dir);
        else
            snprintf(err, errsize, "cannot lock the journal in %s: %s", j->dir, strerror(errno));
        return false;
    }
    return true;
}

static void hint_read(struct jnl *j) {
    char text[32] = "";
    j->hintfd = openat(j->dirfd, "shipped", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (j->hintfd < 0) return; /* only a hint */
    ssize_t n = pread(j->hintfd, text, sizeof text - 1, 0);
    if (n == 21 && text[20] == '\n') j->shipped = strtoull(text, NULL, 10);
}

/* Cuts what follows the last good line of the last segment; a crash in a write leaves a part of a line and no newline. */
static bool cut_tail(struct jnl *j, char *note, size_t notesize, char *err, size_t errsize) {
    struct seg *s = &j->segs[j->nsegs - 1];
    snprintf(note, notesize,
             "the journal %s/journal-%016" PRIu64 ".log ended in an unfinished line: %" PRIu64 " bytes after event %" PRIu64
             " were cut (nobody was told that they were recorded)",
             j->dir, s->first, s->bytes - j->rd.at, j->rd.next - 1);
    int fd = seg_open(j, s->first, O_WRONLY);
    if (fd < 0 || ftruncate(fd, (off_t)j->rd.at) < 0 || (j->conf.fsync && fdatasync(fd) < 0)) {
        snprintf(err, errsize, "cannot cut the unfinished line at the end of %s/journal-%016" PRIu64 ".log: %s", j->dir, s->first,
                 strerror(errno));
        if (fd >= 0) close(fd);
        return false;
    }
    close(fd);
    s->bytes = j->rd.at;
    return true;
}

/* Reads every segment that may hold something not shipped, and the last two in any case (the last one may be empty). */
static bool check_segments(struct jnl *j, char *note, size_t notesize, char *err, size_t errsize) {
    size_t at = j->nsegs > 1 ? j->nsegs - 2 : 0;
    while (at > 0 && j->segs[at].first > j->shipped + 1) at--;
    if (!rd_open(j, at, err, errsize)) return false;
    for (;;) {
        const char *json;
        size_t len, bytes;
        enum rd r = rd_line(j, &json, &len, &bytes);
        bool last = j->rd.seg + 1 == j->nsegs;
        if (r == RD_LINE) continue;
        if (r == RD_EOF && last) break;
        if (r == RD_TORN && last) {
            if (!cut_tail(j, note, notesize, err, errsize)) return false;
            break;
        }
        if (r == RD_EOF && j->segs[j->rd.seg + 1].first == j->rd.next) {
            if (!rd_open(j, j->rd.seg + 1, err, errsize)) return false;
            continue;
        }
        if (r == RD_ERROR)
            snprintf(err, errsize, "cannot read the journal in %s: %s", j->dir, strerror(errno));
        else
            say_bad(j, err, errsize);
        return false;
    }
    j->last_seq = j->rd.next - 1;
    rd_close(j);
    return true;
}

/* Starts the segment whose first line is last_seq + 1. */
static bool seg_start(struct jnl *j, char *err, size_t errsize) {
    uint64_t first = j->last_seq + 1;
    int fd = seg_open(j, first, O_WRONLY | O_APPEND | O_CREAT);
    if (fd < 0 || (j->conf.fsync && fsync(j->dirfd) < 0) || !seg_add(j, (struct seg){first, 0})) {
        snprintf(err, errsize, "cannot start a journal file in %s: %s", j->dir, strerror(errno));
        if (fd >= 0) close(fd);
        return false;
    }
    if (j->fd >= 0) close(j->fd);
    j->fd = fd;
    return true;
}

struct jnl *jnl_open(const struct jnl_conf *conf, char *note, size_t notesize, char *err, size_t errsize) {
    note[0] = '\0';
    struct jnl *j = calloc(1, sizeof *j);
    if (j == NULL || (j->dir = strdup(conf->dir)) == NULL) {
        free(j);
        snprintf(err, errsize, "out of memory");
        return NULL;
    }
    j->conf = *conf;
    j->conf.dir = j->dir;
    j->dirfd = j->lockfd = j->hintfd = j->fd = j->rd.fd = -1;
    j->rd.buf = BUF_INIT(JNL_MAX_LINE);
    if (!dir_open(j, err, errsize) || !segs_list(j, err, errsize)) goto fail;
    hint_read(j);
    if (j->nsegs == 0) {
        if (!seg_start(j, err, errsize)) goto fail;
    } else {
        if (!check_segments(j, note, notesize, err, errsize)) goto fail;
        j->fd = seg_open(j, j->segs[j->nsegs - 1].first, O_WRONLY | O_APPEND);
        if (j->fd < 0) {
            snprintf(err, errsize, "cannot write to the journal in %s: %s", j->dir, strerror(errno));
            goto fail;
        }
    }
    if (j->shipped > j->last_seq) j->shipped = 0; /* not this journal's hint */
    return j;
fail:
    jnl_close(j);
    return NULL;
}

enum jnl_held jnl_held(const char *dir) {
    char path[4096 + 8];
    if (snprintf(path, sizeof path, "%s/lock", dir) >= (int)sizeof path) return JNL_NONE;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return JNL_NONE;
    bool held = flock(fd, LOCK_SH | LOCK_NB) < 0; /* shared: two who look do not see each other */
    close(fd);
    return held ? JNL_HELD : JNL_FREE;
}

void jnl_close(struct jnl *j) {
    rd_close(j);
    int fds[] = {j->fd, j->hintfd, j->lockfd, j->dirfd};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0) close(fds[i]);
    free(j->segs);
    free(j->dir);
    free(j);
}

uint64_t jnl_first_seq(const struct jnl *j) { return j->segs[0].first; }
uint64_t jnl_tail_seq(const struct jnl *j) { return j->segs[j->nsegs > 1 ? j->nsegs - 2 : 0].first; }
uint64_t jnl_last_seq(const struct jnl *j) { return j->last_seq; }
uint64_t jnl_shipped_hint(const struct jnl *j) { return j->shipped; }

/* ---- writing ---- */

static bool write_all(int fd, const uint8_t *p, size_t n) {
    while (n > 0) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno == EINTR) continue;
        if (w <= 0) return false;
        p += w;
        n -= (size_t)w;
    }
    return true;
}

bool jnl_full(const struct jnl *j) {
    uint64_t bytes = j->segs[j->nsegs - 1].bytes;
    return bytes > 0 && bytes >= j->conf.segment_bytes;
}

bool jnl_write(struct jnl *j, const void *lines, size_t len, uint64_t last_seq, char *err, size_t errsize) {
    struct seg *s = &j->segs[j->nsegs - 1];
    if (j->torn) {
        if (ftruncate(j->fd, (off_t)s->bytes) < 0) {
            snprintf(err, errsize, "cannot cut a half-written line from the journal in %s: %s", j->dir, strerror(errno));
            return false;
        }
        j->torn = false;
    }
    if (jnl_full(j)) {
        if (!seg_start(j, err, errsize)) return false;
        jnl_shipped(j, j->shipped, true);
        s = &j->segs[j->nsegs - 1];
    }
    bool wrote = write_all(j->fd, lines, len);
    if (!wrote || (j->conf.fsync && fdatasync(j->fd) < 0)) {
        snprintf(err, errsize, "cannot write to the journal in %s: %s", j->dir, strerror(errno));
        j->torn = ftruncate(j->fd, (off_t)s->bytes) < 0;
        return false;
    }
    s->bytes += len;
    j->last_seq = last_seq;
    return true;
}

/* The last two segments stay: the last may be empty, and the one before then holds the last line. */
uint64_t jnl_bytes(const struct jnl *j) {
    uint64_t total = 0;
    for (size_t i = 0; i < j->nsegs; i++) total += j->segs[i].bytes;
    return total;
}

static bool too_old(const struct jnl *j, uint64_t first) {
    char name[40];
    struct stat st;
    seg_name(name, first);
    if (j->conf.retain_ms == 0 || fstatat(j->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) return false;
    time_t now = time(NULL);
    return now > st.st_mtime && (uint64_t)(now - st.st_mtime) * 1000 > j->conf.retain_ms;
}

size_t jnl_removable(struct jnl *j, bool look, bool *aged) {
    uint64_t total = jnl_bytes(j);
    size_t n = 0;
    *aged = false;
    if (!look && !j->look) return 0;
    j->look = false;
    while (n + 2 < j->nsegs && j->segs[n + 1].first <= j->shipped + 1) {
        bool over = total > j->conf.retain_bytes;
        if (!over && !too_old(j, j->segs[n].first)) break;
        if (j->rd.fd >= 0 && j->rd.seg <= n) break;
        *aged = *aged || !over;
        total -= j->segs[n++].bytes;
    }
    return n;
}

uint64_t jnl_file_end(const struct jnl *j, size_t n) { return j->segs[n].first - 1; }

void jnl_remove(struct jnl *j, size_t n) {
    size_t drop = 0;
    rd_close(j);
    for (char name[40]; drop < n; drop++) {
        seg_name(name, j->segs[drop].first);
        if (unlinkat(j->dirfd, name, 0) < 0 && errno != ENOENT) break;
    }
    j->nsegs -= drop;
    memmove(j->segs, j->segs + drop, j->nsegs * sizeof *j->segs);
}

void jnl_shipped(struct jnl *j, uint64_t seq, bool now) {
    bool left = j->nsegs > 1 && j->shipped + 1 < j->segs[j->nsegs - 1].first && seq + 1 >= j->segs[j->nsegs - 1].first;
    j->shipped = seq;
    if (!now && !left) return;
    char text[24];
    int n = snprintf(text, sizeof text, "%020" PRIu64 "\n", seq);
    if (j->hintfd >= 0 && pwrite(j->hintfd, text, (size_t)n, 0) != n) return;          /* only a hint; the next one may succeed */
    if (j->rd.fd >= 0 && (j->rd.next <= seq || j->rd.next > j->last_seq)) rd_close(j); /* a reader that is done holds no segment */
    j->look = true;
}
