#include <config.h>

#include "spoa/httpd.h"

#include "spoa/door.h"
#include "spoa/log.h"
#include "spoa/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define STACK_BYTES (256u << 10)
#define BACKLOG     64
#define SWEEP_MS    500
#define LINGER_READ 4096

#define HTTPD_FIELDS_MAX 16384u /* of what pages add to the header */

/* --- the request --- */

static bool line_is_http1(const uint8_t *p, size_t n) { return n == 8 && memcmp(p, "HTTP/1.", 7) == 0 && p[7] >= '0' && p[7] <= '9'; }

enum gh_rc httpd_parse(const void *head, size_t len, size_t max, struct httpd_request *out) {
    const uint8_t *text = head, *end = memmem(head, len, "\r\n\r\n", 4);
    if (end == NULL) return len >= max ? GH_LIMIT : GH_NEED_MORE;
    if ((size_t)(end - text) > max - 4) return GH_LIMIT;
    const uint8_t *eol = memmem(text, (size_t)(end - text) + 2, "\r\n", 2);
    const uint8_t *target = memchr(text, ' ', (size_t)(eol - text));
    if (target == NULL || target == text) return GH_MALFORMED;
    size_t method = (size_t)(target - text);
    target++;
    const uint8_t *version = memchr(target, ' ', (size_t)(eol - target));
    if (version == NULL || *target != '/' || !line_is_http1(version + 1, (size_t)(eol - version) - 1)) return GH_MALFORMED;
    for (const uint8_t *p = text; p < version; p++)
        if (*p != ' ' && (*p <= 0x20 || *p >= 0x7f)) return GH_MALFORMED;
    const uint8_t *query = memchr(target, '?', (size_t)(version - target));
    *out = (struct httpd_request){.method = method == 3 && memcmp(text, "GET", 3) == 0    ? HTTPD_GET
                                            : method == 4 && memcmp(text, "HEAD", 4) == 0 ? HTTPD_HEAD
                                            : method == 4 && memcmp(text, "POST", 4) == 0 ? HTTPD_POST
                                                                                          : HTTPD_OTHER,
                                  .path = (const char *)target,
                                  .path_len = (size_t)((query != NULL ? query : version) - target),
                                  .query = query != NULL ? (const char *)query + 1 : "",
                                  .query_len = query != NULL ? (size_t)(version - query) - 1 : 0,
                                  .fields = (const char *)eol + 2,
                                  .fields_len = eol < end ? (size_t)(end - eol) : 0,
                                  .head_len = (size_t)(end - text) + 4};
    return GH_OK;
}

/* Fields of this name (RFC 9112, section 5: no blank before the colon, and folded lines are not understood); the last one's value. */
static size_t find_field(const struct httpd_request *r, const char *name, const char **value, size_t *len) {
    const char *p = r->fields, *end = p + r->fields_len;
    size_t n = strlen(name), found = 0;
    while (p < end) {
        const char *eol = memmem(p, (size_t)(end - p), "\r\n", 2);
        if (eol == NULL) eol = end;
        if ((size_t)(eol - p) > n && p[n] == ':' && strncasecmp(p, name, n) == 0) {
            const char *v = p + n + 1, *last = eol;
            while (v < last && (*v == ' ' || *v == '\t')) v++;
            while (last > v && (last[-1] == ' ' || last[-1] == '\t')) last--;
            *value = v;
            *len = (size_t)(last - v);
            found++;
        }
        p = eol + 2;
    }
    return found;
}

bool httpd_field(const struct httpd_request *r, const char *name, const char **value, size_t *len) {
    return find_field(r, name, value, len) == 1;
}

bool httpd_has_field(const struct httpd_request *r, const char *name) {
    const char *v;
    size_t len;
    return find_field(r, name, &v, &len) > 0;
}

enum gh_rc httpd_body_len(const struct httpd_request *r, size_t *len) {
    const char *v;
    size_t n;
    *len = 0;
    if (find_field(r, "transfer-encoding", &v, &n) > 0 || !httpd_field(r, "content-length", &v, &n) || n == 0) return GH_MALFORMED;
    for (size_t i = 0; i < n; i++) {
        if (v[i] < '0' || v[i] > '9') return GH_MALFORMED;
        if (*len > HTTPD_POST_MAX) return GH_LIMIT;
        *len = *len * 10 + (size_t)(v[i] - '0');
    }
    return *len > HTTPD_POST_MAX ? GH_LIMIT : GH_OK;
}

bool httpd_param(const struct httpd_request *r, const char *name, const char **value, size_t *len) {
    const char *p = r->query, *end = p + r->query_len;
    size_t n = strlen(name);
    while (p < end) {
        const char *next = memchr(p, '&', (size_t)(end - p));
        if (next == NULL) next = end;
        if ((size_t)(next - p) > n && p[n] == '=' && memcmp(p, name, n) == 0) {
            *value = p + n + 1;
            *len = (size_t)(next - *value);
            return true;
        }
        p = next + 1;
    }
    return false;
}

static int hex(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The decoded length, or SIZE_MAX. */
static size_t form_decode(const char *p, size_t len, char *out, size_t size) {
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        int high = 0, low = 0;
        if (p[i] == '%' && (len - i < 3 || (high = hex(p[i + 1])) < 0 || (low = hex(p[i + 2])) < 0)) return SIZE_MAX;
        if (n >= size - 1) return SIZE_MAX;
        out[n++] = p[i] == '%' ? (char)(high * 16 + low) : p[i] == '+' ? ' ' : p[i];
        if (p[i] == '%') i += 2;
    }
    out[n] = '\0';
    return gh_utf8_valid(out, n) ? n : SIZE_MAX;
}

/* A value between marks; how many there are. */
static size_t find_value(const char *p, size_t len, const char *name, char mark, const char **value, size_t *value_len) {
    const char *end = p + len;
    size_t n = strlen(name), found = 0;
    while (p < end) {
        const char *next = memchr(p, mark, (size_t)(end - p));
        if (next == NULL) next = end;
        while (mark == ';' && p < next && *p == ' ') p++;
        if ((size_t)(next - p) > n && p[n] == '=' && memcmp(p, name, n) == 0) {
            *value = p + n + 1;
            *value_len = (size_t)(next - *value);
            found++;
        }
        p = next + 1;
    }
    return found;
}

bool httpd_form(const char *text, size_t len, const char *name, char *out, size_t size) {
    const char *value;
    size_t n;
    out[0] = '\0';
    if (find_value(text, len, name, '&', &value, &n) == 1 && form_decode(value, n, out, size) != SIZE_MAX) return true;
    out[0] = '\0';
    return false;
}

bool httpd_cookie(const struct httpd_request *r, const char *name, char *out, size_t size) {
    const char *line, *value;
    size_t len, n;
    out[0] = '\0';
    if (!httpd_field(r, "cookie", &line, &len) || find_value(line, len, name, ';', &value, &n) != 1 || n >= size) return false;
    memcpy(out, value, n);
    out[n] = '\0';
    return true;
}

/* --- the answer --- */

void httpd_answer_json(struct httpd_answer *a, int status, json_t *o) {
    char *text = o == NULL ? NULL : json_dumps(o, JSON_COMPACT);
    json_decref(o);
    a->status = status;
    a->type = "application/json";
    if (text == NULL)
        a->body.failed = true;
    else {
        buf_str(&a->body, text);
        buf_str(&a->body, "\n");
    }
    free(text);
}

/* --- the listener --- */

static int listen_tcp(const struct conf_metrics *m, bool *retry, char *err, size_t size) {
    int one = 1, fd = socket(m->addr.ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        bind(fd, (const struct sockaddr *)&m->addr.ss, m->addr.len) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    *retry = errno == EADDRINUSE;
    const char *todo = errno == EADDRINUSE      ? "another process has this port: choose another one in metrics.listen"
                       : errno == EADDRNOTAVAIL ? "this machine has no such address: correct metrics.listen"
                                                : "correct metrics.listen";
    snprintf(err, size, "metrics: cannot listen on %s: %s: %s", m->where, strerror(errno), todo);
    if (fd >= 0) close(fd);
    return -1;
}

int httpd_listen(const struct conf_metrics *m, bool force, bool *retry, char *err, size_t size) {
    *retry = m->door.socket != NULL && !force && door_busy(m->door.socket);
    return m->door.socket != NULL ? door_listen(&m->door, SOCK_STREAM, force, err, size) : listen_tcp(m, retry, err, size);
}

bool httpd_listens_at(int fd, const struct conf_metrics *m) {
    struct sockaddr_storage ss = {0};
    struct sockaddr_un un = {0};
    socklen_t len = sizeof ss, size = sizeof(int);
    int on = 0;
    if (m->where == NULL || getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &size) != 0 || on == 0) return false;
    if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0) return false;
    if (m->door.socket == NULL) return len == m->addr.len && memcmp(&ss, &m->addr.ss, len) == 0;
    if (ss.ss_family != AF_UNIX || len > sizeof un) return false;
    memcpy(&un, &ss, len);
    return strncmp(un.sun_path, m->door.socket, sizeof un.sun_path) == 0;
}

/* --- connections --- */

struct conn {
    struct conn *next, **link;
    struct httpd *h;
    struct event *ev; /* of what it waits for */
    int fd;
    bool answered, lingering, waiting;
    uint32_t uid;
    uint64_t serial;
    struct buf in, out;
    uint64_t deadline_ms;
};

struct httpd {
    struct httpd_conf conf;
    struct worker *thread; /* the owner's */
    struct worker *w;      /* the same, the thread's */
    _Atomic int fd;        /* read by httpd_fd() */
    bool retired;
    struct wmsg retire;
    struct event *accept, *sweep;
    struct conn *conns;
    size_t nconns;
    uint64_t last_serial;
};

static size_t most(const struct httpd *h) { return h->conf.connections != 0 ? h->conf.connections : HTTPD_CONNECTIONS; }

static void conn_free(struct conn *c) {
    *c->link = c->next;
    if (c->next != NULL) c->next->link = c->link;
    if (c->ev != NULL) event_free(c->ev);
    buf_free(&c->in);
    buf_free(&c->out);
    close(c->fd);
    if (c->h->nconns-- == most(c->h) && c->h->accept != NULL) event_add(c->h->accept, NULL);
    free(c);
}

static const char *status_text(int status) {
    switch (status) {
    case 200: return "OK";
    case 303: return "See Other";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    case 421: return "Misdirected Request";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 503: return "Service Unavailable";
    default: return "Internal Server Error";
    }
}

static void answer(struct conn *c, const struct httpd_request *r, struct httpd_answer *a) {
    char head[512];
    if (a->body.failed || a->fields.failed) {
        buf_free(&a->fields);
        buf_free(&a->body);
        a->body = BUF_INIT(64);
        a->status = 500;
        a->type = "text/plain; charset=utf-8";
        buf_str(&a->body, "out of memory\n");
    }
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\nCache-Control: no-store\r\n%s",
                     a->status, status_text(a->status), a->type, buf_used(&a->body), a->status == 405 ? "Allow: GET, HEAD\r\n" : "");
    buf_put(&c->out, head, (size_t)n);
    buf_put(&c->out, buf_at(&a->fields), buf_used(&a->fields));
    buf_str(&c->out, "\r\n");
    if (r == NULL || r->method != HTTPD_HEAD) buf_put(&c->out, buf_at(&a->body), buf_used(&a->body));
    c->answered = true;
}

static void say(struct conn *c, int status, const char *text) {
    struct httpd_answer a = {.status = status, .type = "text/plain; charset=utf-8", .body = BUF_INIT(256)};
    buf_str(&a.body, text);
    answer(c, NULL, &a);
    buf_free(&a.body);
}

static void respond(struct conn *c, enum gh_rc rc, struct httpd_request *r) {
    if (rc == GH_LIMIT)
        say(c, 431, "The head of the request is too long.\n");
    else if (rc != GH_OK)
        say(c, 400, "This is not an HTTP/1 request.\n");
    else if (r->method == HTTPD_OTHER || (r->method == HTTPD_POST && !c->h->conf.post))
        say(c, 405, c->h->conf.post ? "Only GET, HEAD and POST.\n" : "Only GET and HEAD.\n");
    else {
        struct httpd_answer a = {.status = 404, .type = "text/plain; charset=utf-8", .body = BUF_INIT(HTTPD_BODY_MAX)};
        r->uid = c->uid;
        r->server = c->h;
        r->serial = c->serial;
        a.fields = BUF_INIT(HTTPD_FIELDS_MAX);
        c->h->conf.page(c->h->conf.arg, r, &a);
        if (a.later) {
            c->waiting = true;
            c->deadline_ms = worker_now_ms() + c->h->conf.later_ms;
        } else
            answer(c, r, &a);
        gh_wipe(a.fields.data, a.fields.data == NULL ? 0 : a.fields.cap); /* a cookie */
        buf_free(&a.fields);
        buf_free(&a.body);
    }
    gh_wipe(c->in.data, c->in.data == NULL ? 0 : c->in.cap); /* a token was there, perhaps */
}

/* GH_NEED_MORE until the body is there as well; true: answered already. */
static bool body_refused(struct conn *c, struct httpd_request *r, enum gh_rc *rc) {
    size_t need;
    if (*rc != GH_OK || r->method != HTTPD_POST || !c->h->conf.post) return false;
    enum gh_rc length = httpd_body_len(r, &need);
    if (length != GH_OK) {
        say(c, length == GH_LIMIT ? 413 : 400, "POST needs one Content-Length of at most 65536 bytes.\n");
        return true;
    }
    if (buf_used(&c->in) - r->head_len < need) *rc = GH_NEED_MORE;
    r->body = (const char *)buf_at(&c->in) + r->head_len;
    r->body_len = need;
    return false;
}

static void on_ready(evutil_socket_t fd, short what, void *arg);

static bool wait_for(struct conn *c, short what) {
    if (c->ev != NULL) event_free(c->ev);
    c->ev = event_new(worker_base(c->h->w), c->fd, what, on_ready, c);
    return c->ev != NULL && event_add(c->ev, NULL) == 0;
}

/* False when the connection is over. */
static bool flush(struct conn *c) {
    while (buf_used(&c->out) > 0) {
        ssize_t n = send(c->fd, buf_at(&c->out), buf_used(&c->out), MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return (errno == EAGAIN || errno == EWOULDBLOCK) && wait_for(c, EV_WRITE);
        buf_drain(&c->out, (size_t)n);
    }
    if (c->out.failed) return false;
    /* A close with unread input could take the answer from the peer. */
    c->lingering = true;
    shutdown(c->fd, SHUT_WR);
    return wait_for(c, EV_READ);
}

static bool read_more(struct conn *c) {
    size_t head_max = c->h->conf.post ? HTTPD_TOKEN_HEAD : HTTPD_HEAD_MAX;
    size_t left = c->in.max - buf_used(&c->in), size = c->lingering ? LINGER_READ : left < LINGER_READ ? left : LINGER_READ;
    uint8_t thrown[LINGER_READ], *room = c->lingering ? thrown : buf_reserve(&c->in, size);
    struct httpd_request r;
    if (room == NULL) return false;
    ssize_t n = recv(c->fd, room, size, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return wait_for(c, EV_READ);
    if (n <= 0) return false;
    if (c->lingering) return wait_for(c, EV_READ);
    buf_commit(&c->in, (size_t)n);
    enum gh_rc rc = httpd_parse(buf_at(&c->in), buf_used(&c->in), head_max, &r);
    bool refused = body_refused(c, &r, &rc);
    if (rc == GH_NEED_MORE) return wait_for(c, EV_READ);
    if (!refused) respond(c, rc, &r);
    return c->waiting || flush(c);
}

static void on_ready(evutil_socket_t fd, short what, void *arg) {
    struct conn *c = arg;
    (void)fd;
    (void)what;
    if (!(c->answered && !c->lingering ? flush(c) : read_more(c))) conn_free(c);
}

void httpd_resume(struct httpd *h, uint64_t serial, struct httpd_answer *a) {
    struct conn *c = h->conns;
    while (c != NULL && (!c->waiting || c->serial != serial)) c = c->next;
    if (c == NULL) return;
    c->waiting = false;
    c->deadline_ms = worker_now_ms() + HTTPD_TIME_MS;
    answer(c, NULL, a);
    if (!flush(c)) conn_free(c);
}

static uint32_t peer_uid(int fd) {
    struct ucred cred;
    socklen_t size = sizeof cred;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) == 0 ? cred.uid : UINT32_MAX;
}

static void on_accept(evutil_socket_t listener, short what, void *arg) {
    struct httpd *h = arg;
    (void)what;
    while (h->nconns < most(h)) {
        int fd = accept4((int)listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            /* Out of descriptors: the sweep listens again, so that the loop does not spin. */
            if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR && errno != ECONNABORTED) event_del(h->accept);
            return;
        }
        const struct conf_door *door = &h->conf.m->door;
        if (door->npeers > 0 && !door_peer_ok(door, h->conf.name, fd)) {
            close(fd);
            continue;
        }
        struct conn *c = calloc(1, sizeof *c);
        if (c == NULL) {
            close(fd);
            return;
        }
        *c = (struct conn){.next = h->conns,
                           .link = &h->conns,
                           .h = h,
                           .fd = fd,
                           .uid = peer_uid(fd),
                           .serial = ++h->last_serial,
                           .in = BUF_INIT(h->conf.post ? HTTPD_TOKEN_HEAD + HTTPD_POST_MAX : HTTPD_HEAD_MAX),
                           .out = BUF_INIT(HTTPD_BODY_MAX + HTTPD_FIELDS_MAX + 1024),
                           .deadline_ms = worker_now_ms() + HTTPD_TIME_MS};
        if (c->next != NULL) c->next->link = &c->next;
        h->conns = c;
        h->nconns++;
        if (!wait_for(c, EV_READ)) conn_free(c);
    }
    event_del(h->accept); /* until one of them is over */
}

static bool watch(struct httpd *h) {
    h->accept = event_new(worker_base(h->w), h->fd, EV_READ | EV_PERSIST, on_accept, h);
    return h->accept != NULL && event_add(h->accept, NULL) == 0;
}

static void on_sweep(evutil_socket_t fd, short what, void *arg) {
    struct httpd *h = arg;
    uint64_t now = worker_now_ms();
    char err[512];
    bool retry;
    (void)fd;
    (void)what;
    for (struct conn *c = h->conns, *next; c != NULL; c = next) {
        next = c->next;
        if (now >= c->deadline_ms) conn_free(c);
    }
    if (h->retired) return;
    if (h->fd < 0) h->fd = httpd_listen(h->conf.m, false, &retry, err, sizeof err);
    if (h->fd >= 0 && h->accept == NULL) {
        watch(h);
        log_event(LOG_INFO, log_fmt("%s.listening", h->conf.name), "address", h->conf.m->where, NULL);
    } else if (h->accept != NULL && h->nconns < most(h))
        event_add(h->accept, NULL);
}

/* --- the thread --- */

static void start(struct worker *w) {
    struct httpd *h = worker_data(w);
    struct timeval sweep = {0, SWEEP_MS * 1000};
    h->w = w;
    h->sweep = event_new(worker_base(w), -1, EV_PERSIST, on_sweep, h);
    if (h->sweep == NULL || event_add(h->sweep, &sweep) != 0 || (h->fd >= 0 && !watch(h)))
        log_event(LOG_ERROR, log_fmt("%s.start", h->conf.name), "reason", "out of memory: nothing is served here until the next start",
                  NULL);
}

static void end(struct worker *w) {
    struct httpd *h = worker_data(w);
    while (h->conns != NULL) conn_free(h->conns);
    if (h->accept != NULL) event_free(h->accept);
    if (h->sweep != NULL) event_free(h->sweep);
}

struct httpd *httpd_start(const struct httpd_conf *conf, int fd) {
    struct httpd *h = calloc(1, sizeof *h);
    if (h != NULL) {
        *h = (struct httpd){.conf = *conf, .fd = fd};
        if (worker_start(&h->thread, &(struct worker_conf){.stack = STACK_BYTES, .start = start, .end = end, .data = h})) return h;
    }
    if (fd >= 0) close(fd);
    free(h);
    return NULL;
}

struct worker *httpd_worker(const struct httpd *h) {
    return h->w;
}

int httpd_fd(struct httpd *h) { return h == NULL ? -1 : atomic_load(&h->fd); }

static void run_retire(struct worker *w, struct wmsg *m) {
    struct httpd *h = worker_data(w);
    (void)m;
    h->retired = true;
    if (h->accept != NULL) event_free(h->accept);
    h->accept = NULL;
    if (h->fd >= 0) close(h->fd);
    h->fd = -1;
}

void httpd_retire(struct httpd *h) {
    if (h == NULL || h->retire.run != NULL) return;
    h->retire.run = run_retire;
    worker_post(h->thread, &h->retire);
}

void httpd_stop(struct httpd *h) {
    if (h == NULL) return;
    worker_stop(h->thread);
    worker_join(h->thread);
    worker_free(h->thread);
    if (h->fd >= 0) close(h->fd);
    free(h);
}
