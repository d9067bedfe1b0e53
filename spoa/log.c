#include "spoa/log.h"
#include "filters/bytes.h"
#include "spoa/mask.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A line is built on the stack and leaves in one write(), so that lines of different threads do not mix. What does not fit is cut and
 * the line says so: a peer may make a line long, never unbounded. */
#define LINE_MAX_BYTES  8192
#define VALUE_MAX_BYTES 2048
#define CUT_MARK        " cut=\"1\""

static _Atomic int log_level = LOG_INFO;
static _Atomic int log_fd = STDERR_FILENO;

struct line {
    char text[LINE_MAX_BYTES + sizeof CUT_MARK + 1]; /* the mark and the newline always fit */
    size_t len;
    bool cut;
};

void log_init(enum log_level level) {
    log_set_level(level);
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (fd < 0) return;
    int old = atomic_exchange(&log_fd, fd);
    if (old != STDERR_FILENO) close(old);
}

void log_set_level(enum log_level level) { atomic_store(&log_level, (int)level); }

static void put(struct line *l, const char *s, size_t n) {
    if (l->cut || n > LINE_MAX_BYTES - l->len) {
        l->cut = true;
        return;
    }
    memcpy(l->text + l->len, s, n);
    l->len += n;
}

static void put_str(struct line *l, const char *s) { put(l, s, strlen(s)); }

/* The length of the character at s when it may be shown as it is, else 0: invalid UTF-8, C1 controls, and the characters that
 * break or reorder a line on a terminal (U+200E, U+200F, U+2028 to U+202E, U+2066 to U+2069) are escaped. */
static size_t shown(const unsigned char *s, size_t left) {
    size_t n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (n > left || !gh_utf8_valid(s, n)) return 0;
    if (s[0] == 0xc2 && s[1] < 0xa0) return 0;
    if (s[0] == 0xe2 && s[1] == 0x80 && (s[2] == 0x8e || s[2] == 0x8f || (s[2] >= 0xa8 && s[2] <= 0xae))) return 0;
    if (s[0] == 0xe2 && s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9) return 0;
    return n;
}

static void put_escaped(struct line *l, unsigned char c) {
    char esc[5];
    const char *short_form = c == '\n' ? "\\n" : c == '\r' ? "\\r" : c == '\t' ? "\\t" : c == '"' ? "\\\"" : c == '\\' ? "\\\\" : NULL;
    if (short_form == NULL) {
        snprintf(esc, sizeof esc, "\\x%02x", c);
        short_form = esc;
    }
    put_str(l, short_form);
}

static void put_value(struct line *l, const char *value) {
    if (value == NULL) {
        put_str(l, "-");
        return;
    }
    char masked[VALUE_MAX_BYTES];
    size_t len = strnlen(value, VALUE_MAX_BYTES + 1), i = 0;
    bool longer = len > VALUE_MAX_BYTES;
    if (longer) len = VALUE_MAX_BYTES;
    if (mask_needed(value, len, true)) {
        memcpy(masked, value, len);
        len = mask_tokens(masked, len, true);
        value = masked;
    }
    const unsigned char *s = (const unsigned char *)value;
    put_str(l, "\"");
    while (i < len && !l->cut) {
        size_t n = s[i] >= 0x80 ? shown(s + i, len - i) : s[i] >= 0x20 && s[i] != 0x7f && s[i] != '"' && s[i] != '\\';
        if (n == 0)
            put_escaped(l, s[i]);
        else
            put(l, value + i, n);
        i += n == 0 ? 1 : n;
    }
    put_str(l, longer ? "...\"" : "\"");
}

static void write_line(int fd, const char *s, size_t n) {
    while (n > 0) {
        ssize_t w = write(fd, s, n);
        if (w < 0 && errno == EINTR) continue;
        if (w <= 0) return; /* nowhere left to complain */
        s += w;
        n -= (size_t)w;
    }
}

void log_event(enum log_level level, const char *event, ...) {
    static const char *const names[] = {"error", "warn", "info", "debug"};
    if ((int)level > atomic_load_explicit(&log_level, memory_order_relaxed)) return;
    int saved = errno;
    struct line l = {.len = 0};
    struct timespec now;
    struct tm tm;
    char stamp[64];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(stamp, sizeof stamp, "time=%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(stamp + n, sizeof stamp - n, ".%03ldZ", now.tv_nsec / 1000000);
    put_str(&l, stamp);
    put_str(&l, " level=");
    put_str(&l, names[level]);
    put_str(&l, " event=");
    put_str(&l, event);
    va_list ap;
    va_start(ap, event);
    for (const char *key; (key = va_arg(ap, const char *)) != NULL;) {
        const char *value = va_arg(ap, const char *);
        size_t before = l.len;
        put_str(&l, " ");
        put_str(&l, key);
        put_str(&l, "=");
        put_value(&l, value);
        if (l.cut) { /* whole pairs only, so that the line still parses */
            l.len = before;
            break;
        }
    }
    va_end(ap);
    if (l.cut) {
        memcpy(l.text + l.len, CUT_MARK, sizeof CUT_MARK - 1);
        l.len += sizeof CUT_MARK - 1;
    }
    l.text[l.len++] = '\n';
    write_line(atomic_load(&log_fd), l.text, l.len);
    errno = saved;
}

#define DUE_SECONDS 60
#define DUE_CAUSES  128 /* remembered; then the oldest is forgotten, and may be said again too soon */

bool log_due(const char *cause, unsigned *more) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct due {
        uint64_t hash;
        time_t at; /* CLOCK_MONOTONIC; 0: never */
        unsigned more;
    } dues[DUE_CAUSES];
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char *c = cause; *c != '\0'; c++) hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    time_t at = now.tv_sec + 1;
    pthread_mutex_lock(&lock);
    struct due *d = &dues[0];
    for (size_t i = 0; i < DUE_CAUSES; i++) {
        if (dues[i].at != 0 && dues[i].hash == hash) {
            d = &dues[i];
            break;
        }
        if (dues[i].at < d->at) d = &dues[i];
    }
    bool known = d->at != 0 && d->hash == hash, due = !known || at - d->at >= DUE_SECONDS;
    *more = known ? d->more : 0;
    if (due)
        *d = (struct due){.hash = hash, .at = at};
    else
        d->more++;
    pthread_mutex_unlock(&lock);
    return due;
}

const char *log_fmt(const char *fmt, ...) {
    static _Thread_local char ring[8][512];
    static _Thread_local unsigned next;
    char *out = ring[next++ % 8];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(out, sizeof ring[0], fmt, ap);
    va_end(ap);
    return out;
}
