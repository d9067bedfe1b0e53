#include "config.h"

#include "ctl/screen.h"

#include "filters/bytes.h"
#include "spoa/visible.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <termios.h>
#include <unistd.h>

#define OUT_MAX   ((size_t)4 << 20)
#define LINES_MAX 1000000u
#define ESC_MS    50 /* a lone escape is a key when nothing comes behind it for so long */
#define PASTE_MAX 65536u

struct screen {
    struct termios before;
    struct buf out;
    unsigned rows, columns;
    int err, said; /* standard error as it was; where it goes meanwhile */
    char line[1024];
};

static volatile sig_atomic_t resized, ended;

static void on_resize(int sig) {
    (void)sig;
    resized = 1;
}
static void on_end(int sig) {
    (void)sig;
    ended = 1;
}

/* --- the picture --- */

unsigned screen_rows(const struct screen *s) { return s->rows; }
unsigned screen_columns(const struct screen *s) { return s->columns; }

static void measure(struct screen *s) {
    struct winsize w;
    bool ok = ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_row > 0 && w.ws_col > 0;
    s->rows = ok ? w.ws_row : 24;
    s->columns = ok ? w.ws_col : 80;
}

void screen_row(struct screen *s, unsigned row, enum screen_style style, const char *text) {
    static const char *const styles[] = {"\x1b[0m", "\x1b[0;1m", "\x1b[0;2m", "\x1b[0;7m", "\x1b[0;1;33m"};
    char at[32];
    struct buf b = BUF_INIT(65536);
    if (row == 0 || row > s->rows) return;
    visible_line(&b, text, strlen(text), b.max);
    snprintf(at, sizeof at, "\x1b[%u;1H", row);
    buf_str(&s->out, at);
    buf_str(&s->out, styles[style]);
    size_t n = fold_fitting((const char *)buf_at(&b), buf_used(&b), s->columns);
    buf_put(&s->out, buf_at(&b), n);
    unsigned used = fold_width((const char *)buf_at(&b), n);
    if (style == SCREEN_INVERSE)
        for (; used < s->columns; used++) buf_str(&s->out, " ");
    else if (used < s->columns)
        buf_str(&s->out, "\x1b[K");
    buf_str(&s->out, "\x1b[0m");
    buf_free(&b);
}

static void put(const struct buf *b) {
    const uint8_t *p = buf_at(b);
    for (size_t left = buf_used(b); left > 0;) {
        ssize_t n = write(STDOUT_FILENO, p, left);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;
        p += n;
        left -= (size_t)n;
    }
}

void screen_show(struct screen *s, unsigned row, unsigned column) {
    char at[48];
    if (row > 0) {
        snprintf(at, sizeof at, "\x1b[%u;%uH\x1b[?25h", row, column < s->columns ? column : s->columns);
        buf_str(&s->out, at);
    } else
        buf_str(&s->out, "\x1b[?25l");
    if (!s->out.failed) put(&s->out);
    buf_reset(&s->out);
}

/* --- lines --- */

struct adding {
    struct screen_lines *l;
    enum screen_style style;
};

static void add_line(void *arg, const char *before, const char *text, size_t len) {
    const struct adding *a = arg;
    struct screen_lines *l = a->l;
    if (l->n == l->cap && l->n < LINES_MAX) {
        size_t cap = l->cap == 0 ? 64 : l->cap * 2;
        struct screen_line *list = reallocarray(l->list, cap, sizeof *list);
        if (list != NULL) {
            l->list = list;
            l->cap = cap;
        }
    }
    char *line = NULL;
    if (l->n == l->cap || asprintf(&line, "%s%.*s", before, (int)len, text) < 0) {
        l->failed = true;
        return;
    }
    l->list[l->n++] = (struct screen_line){line, a->style};
}

void screen_add(const struct screen *s, struct screen_lines *l, enum screen_style style, struct fold f, const char *text) {
    struct adding a = {l, style};
    f.columns = s->columns;
    if (!fold_text(&f, text, add_line, &a)) l->failed = true;
}

void screen_lines_free(struct screen_lines *l) {
    for (size_t i = 0; i < l->n; i++) free(l->list[i].text);
    free(l->list);
    *l = (struct screen_lines){0};
}

/* --- keys --- */

/* A byte; -1 when none comes in time, -2 at the end. */
static int byte_in(int timeout_ms) {
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    uint8_t c;
    if (ended) return -2;
    int n = poll(&p, 1, timeout_ms);
    if (n < 0) return errno == EINTR ? -1 : -2;
    if (n == 0) return -1;
    return read(STDIN_FILENO, &c, 1) == 1 ? c : -2;
}

static void add_text(struct screen_key *k, size_t *at, int c) {
    if (*at < sizeof k->text - 1) k->text[(*at)++] = c == '\n' || c == '\r' || c == '\t' ? ' ' : (char)c;
}

/* Cut where a character ends; what is no UTF-8 is nothing. */
static void end_text(struct screen_key *k, size_t at) {
    while (at > 0 && !gh_utf8_valid(k->text, at)) at--;
    k->text[at] = '\0';
    k->key = at > 0 ? KEY_TEXT : KEY_NONE;
}

/* What is pasted comes between ESC [ 200 ~ and ESC [ 201 ~: text, whatever is in it, and never keys. */
static void pasted(struct screen_key *k) {
    static const char stop[] = "\x1b[201~";
    size_t at = 0, match = 0;
    for (size_t n = 0; n < PASTE_MAX && match < sizeof stop - 1; n++) {
        int c = byte_in(1000);
        if (c < 0) break;
        if (c == stop[match]) {
            match++;
            continue;
        }
        match = c == stop[0];
        if (match == 0 && c >= 0x20) add_text(k, &at, c);
        if (c == '\n' || c == '\r' || c == '\t') add_text(k, &at, c);
    }
    end_text(k, at);
}

static void escape(struct screen_key *k) {
    char seq[16];
    size_t n = 0;
    int c = byte_in(ESC_MS);
    k->key = KEY_ESC;
    if (c != '[' && c != 'O') return;
    while (n < sizeof seq - 1 && (c = byte_in(ESC_MS)) >= 0) {
        seq[n++] = (char)c;
        if (c >= 0x40 && c <= 0x7e) break;
    }
    seq[n] = '\0';
    static const struct {
        const char *seq;
        int key;
    } keys[] = {{"A", KEY_UP},    {"B", KEY_DOWN}, {"H", KEY_HOME},     {"F", KEY_END},
                {"1~", KEY_HOME}, {"4~", KEY_END}, {"5~", KEY_PAGE_UP}, {"6~", KEY_PAGE_DOWN}};
    k->key = KEY_NONE;
    if (strcmp(seq, "200~") == 0) pasted(k);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(seq, keys[i].seq) == 0) k->key = keys[i].key;
}

void screen_key(struct screen *s, int timeout_ms, struct screen_key *out) {
    *out = (struct screen_key){0};
    int c = byte_in(timeout_ms);
    if (resized) {
        resized = 0;
        measure(s);
        buf_str(&s->out, "\x1b[2J");
        if (c == -1) c = -3;
    }
    if (c == -2 || c == 3)
        out->key = KEY_QUIT;
    else if (c == -3)
        out->key = KEY_RESIZE;
    else if (c == 27)
        escape(out);
    else if (c == '\n')
        out->key = KEY_ENTER;
    else if (c == 8)
        out->key = KEY_BACK;
    else if (c >= 0x80) {
        size_t at = 0;
        for (int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1; c >= 0x80 && at <= 4; more--) {
            add_text(out, &at, c);
            if (more == 0) break;
            c = byte_in(ESC_MS);
        }
        end_text(out, at);
    } else if (c > 0)
        out->key = c;
}

const char *screen_said(struct screen *s) {
    fflush(stderr);
    off_t n = lseek(s->said, 0, SEEK_CUR);
    s->line[0] = '\0';
    if (n <= 0) return s->line;
    ssize_t got = pread(s->said, s->line, sizeof s->line - 1, 0);
    s->line[got > 0 ? got : 0] = '\0';
    s->line[strcspn(s->line, "\n")] = '\0';
    if (ftruncate(s->said, 0) != 0 || lseek(s->said, 0, SEEK_SET) != 0) s->line[0] = '\0';
    static const char name[] = "gatehousectl: ";
    return strncmp(s->line, name, sizeof name - 1) == 0 ? s->line + sizeof name - 1 : s->line;
}

/* --- life --- */

static void handle(int sig, void (*fn)(int)) { sigaction(sig, &(struct sigaction){.sa_handler = fn}, NULL); }

struct screen *screen_open(void) {
    const char *term = getenv("TERM");
    struct termios raw;
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || term == NULL || term[0] == '\0' || strcmp(term, "dumb") == 0) return NULL;
    struct screen *s = calloc(1, sizeof *s);
    if (s == NULL) return NULL;
    s->out = BUF_INIT(OUT_MAX);
    s->said = memfd_create("gatehousectl", MFD_CLOEXEC);
    s->err = dup(STDERR_FILENO);
    if (s->said < 0 || s->err < 0 || tcgetattr(STDIN_FILENO, &s->before) != 0) {
        if (s->said >= 0) close(s->said);
        if (s->err >= 0) close(s->err);
        free(s);
        return NULL;
    }
    fold_locale();
    fflush(stdout);
    dup2(s->said, STDERR_FILENO);
    raw = s->before;
    raw.c_iflag &= (tcflag_t) ~(IXON | ICRNL | INLCR | ISTRIP | BRKINT);
    raw.c_lflag &= (tcflag_t) ~(ICANON | ECHO | ISIG | IEXTEN);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    handle(SIGWINCH, on_resize);
    handle(SIGTERM, on_end);
    handle(SIGHUP, on_end);
    handle(SIGINT, on_end);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
    measure(s);
    buf_str(&s->out, "\x1b[?1049h\x1b[?2004h\x1b[2J");
    return s;
}

void screen_close(struct screen *s) {
    static const char back[] = "\x1b[0m\x1b[?2004l\x1b[?25h\x1b[?1049l";
    if (s == NULL) return;
    buf_reset(&s->out);
    buf_str(&s->out, back);
    put(&s->out);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &s->before);
    fflush(stderr);
    dup2(s->err, STDERR_FILENO);
    close(s->err);
    close(s->said);
    buf_free(&s->out);
    free(s);
}
