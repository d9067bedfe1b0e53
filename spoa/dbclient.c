/* A client in a socket pair: this file is at one end and speaks the protocol as any client does, filter and pump are at the other, and whatever it asks
 * is allowed. So there is one way to log in to a database, and not a second one that lags behind. */
#include "spoa/dbclient.h"

#include "filters/my_wire.h"
#include "filters/pg_wire.h"
#include "spoa/advice.h"
#include "spoa/dial.h"
#include "spoa/upstream.h"
#include "spoa/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SCRATCH     65536u
#define MESSAGE_MAX (17u << 20) /* of a row, with a line of the catalog in it */

struct dbclient {
    struct dbclient_conf conf;
    struct pump pump; /* its client is us */
    struct dial *dial;
    struct upstream_cred cred;
    struct event *rd, *end_ev, *deadline;
    int fd; /* our end */
    struct buf in;
    bool over;
    uint64_t columns; /* MySQL: of the result that comes, still to be skipped */
    bool rows;        /* MySQL: its rows come */
    struct dbclient_end end;
    uint8_t scratch[SCRATCH];
};

static void client_free(struct dbclient *c) {
    struct event *events[] = {c->rd, c->end_ev, c->deadline};
    dial_cancel(c->dial);
    if (c->pump.filter != NULL) {
        pump_abort(&c->pump);
        flt_free(c->pump.filter);
    }
    upstream_cred_drop(&c->cred);
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        if (events[i] != NULL) event_free(events[i]);
    if (c->fd >= 0) close(c->fd);
    buf_free(&c->in);
    free(c);
}

/* Keeps the first reason, and ends in a turn of its own: callers up the stack still hold the client. */
static void finish(struct dbclient *c, bool ok, const char *sqlstate, const char *why, const char *todo) {
    if (c->over) return;
    c->over = true;
    c->end = (struct dbclient_end){.ok = ok, .todo = todo};
    snprintf(c->end.sqlstate, sizeof c->end.sqlstate, "%s", sqlstate);
    snprintf(c->end.why, sizeof c->end.why, "%s", why);
    event_active(c->end_ev, EV_TIMEOUT, 1);
}
static void failed(struct dbclient *c, const char *sqlstate, const char *why) {
    finish(c, false, sqlstate, why, advice_database(sqlstate, why));
}

static void on_end(evutil_socket_t fd, short what, void *arg) {
    struct dbclient *c = arg;
    dbclient_done_fn done = c->conf.done;
    void *owner = c->conf.arg;
    const struct dbclient_end end = c->end;
    (void)fd;
    (void)what;
    client_free(c);
    done(owner, &end);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    failed(arg, "", "the database did not answer in time");
}

/* --- the client's end --- */

static void say(struct dbclient *c, struct buf *out) {
    /* At most a few KB into an empty pipe: whole, or something is wrong. */
    if (out->failed || send(c->fd, buf_at(out), buf_used(out), MSG_NOSIGNAL) != (ssize_t)buf_used(out)) failed(c, "", "out of memory");
    buf_free(out);
}

static bool is_mysql(const struct dbclient *c) { return c->conf.db->engine == CONF_MYSQL; }

static void say_packet(struct dbclient *c, uint8_t seq, struct buf *payload) {
    struct buf out = BUF_INIT(1u << 20);
    my_put_packet(&out, &seq, buf_at(payload), buf_used(payload));
    out.failed = out.failed || payload->failed;
    buf_free(payload);
    say(c, &out);
}

static void say_text(struct dbclient *c, char type, const char *text) {
    struct buf out = BUF_INIT(1u << 20);
    if (is_mysql(c)) {
        buf_u8(&out, MY_COM_QUERY);
        buf_str(&out, text);
        say_packet(c, 0, &out);
        return;
    }
    size_t at = pg_begin(&out, type);
    buf_cstr(&out, text);
    pg_end(&out, at);
    say(c, &out);
}

static void say_hello_my(struct dbclient *c) {
    static const uint8_t zeros[23];
    struct buf out = BUF_INIT(256);
    buf_le32(&out, MY_CAP_PROTOCOL_41 | MY_CAP_SECURE_CONNECTION | MY_CAP_PLUGIN_AUTH | MY_CAP_DEPRECATE_EOF | MY_CAP_LONG_PASSWORD);
    buf_le32(&out, MESSAGE_MAX);
    buf_u8(&out, 45);
    buf_put(&out, zeros, sizeof zeros);
    buf_cstr(&out, "gatehouse");
    buf_u8(&out, 0);
    buf_cstr(&out, "mysql_clear_password");
    say_packet(c, 2, &out);
}

static void say_hello(struct dbclient *c) {
    struct buf out = BUF_INIT(4096);
    if (is_mysql(c)) {
        say_hello_my(c);
        return;
    }
    size_t at = pg_begin(&out, 0);
    buf_be32(&out, PG_PROTOCOL_3);
    buf_cstr(&out, "user");
    buf_cstr(&out, "gatehouse");
    buf_u8(&out, 0);
    pg_end(&out, at);
    say(c, &out);
}

static void on_ready(struct dbclient *c) {
    const char *sql = c->conf.next(c->conf.arg);
    if (sql != NULL)
        say_text(c, 'Q', sql);
    else
        finish(c, true, "", "", NULL);
}

static void on_row(struct dbclient *c, struct cur body) {
    uint16_t n;
    uint32_t len;
    const uint8_t *text;
    if (!cur_be16(&body, &n) || n != 1 || !cur_be32(&body, &len) || !cur_take(&body, len, &text))
        failed(c, "", "a row that is not one text");
    else if (!c->conf.row(c->conf.arg, (const char *)text, len))
        failed(c, "", "the catalog of this database is larger than can be held");
}

static void on_message(struct dbclient *c, char type, struct cur body) {
    struct pg_error_fields e;
    switch (type) {
    case 'D': on_row(c, body); break;
    case 'Z': on_ready(c); break;
    case 'E': failed(c, pg_read_error(body, &e) ? e.sqlstate : "", pg_read_error(body, &e) ? e.message : "an error without a text"); break;
    default: break;
    }
}

static void on_packet(struct dbclient *c, struct cur body) {
    struct my_err e;
    const uint8_t *text;
    size_t len;
    uint8_t first = cur_left(&body) > 0 ? body.p[0] : 0;
    if (first == 0xff)
        failed(c, my_read_err(body, &e) ? e.sqlstate : "", my_read_err(body, &e) ? e.message : "an error without a text");
    else if (c->columns > 0)
        c->rows = --c->columns == 0;
    else if (c->rows && first == 0xfe) {
        c->rows = false;
        on_ready(c);
    } else if (c->rows) {
        if (!my_lenenc_str(&body, &text, &len) || cur_left(&body) != 0)
            failed(c, "", "a row that is not one text");
        else if (!c->conf.row(c->conf.arg, (const char *)text, len))
            failed(c, "", "the answer of this database is larger than can be held");
    } else if (first == 0)
        on_ready(c);
    else if (!my_lenenc(&body, &c->columns))
        failed(c, "", "an answer that cannot be read");
}

static void take_my(struct dbclient *c) {
    while (!c->over) {
        struct cur cur = cur_of(buf_at(&c->in), buf_used(&c->in)), body;
        uint32_t n;
        uint8_t seq;
        if (!cur_le24(&cur, &n) || !cur_u8(&cur, &seq)) return;
        if (n == MY_PACKET_MAX) {
            failed(c, "", "a message that is too long");
            return;
        }
        if (n > cur_left(&cur) || !cur_sub(&cur, n, &body)) return;
        on_packet(c, body);
        buf_drain(&c->in, MY_HEADER + (size_t)n);
    }
}

/* Whole messages out of what has come. */
static void take(struct dbclient *c) {
    if (is_mysql(c)) {
        take_my(c);
        return;
    }
    while (!c->over) {
        struct cur cur = cur_of(buf_at(&c->in), buf_used(&c->in)), body;
        uint8_t type;
        uint32_t n;
        if (!cur_u8(&cur, &type) || !cur_be32(&cur, &n)) return;
        if (n < 4 || n > MESSAGE_MAX) {
            failed(c, "", "a message that is too long");
            return;
        }
        if (n - 4 > cur_left(&cur) || !cur_sub(&cur, n - 4, &body)) return;
        on_message(c, (char)type, body);
        buf_drain(&c->in, 1 + (size_t)n);
    }
}

static void on_read(evutil_socket_t fd, short what, void *arg) {
    struct dbclient *c = arg;
    (void)what;
    uint8_t *room = buf_reserve(&c->in, SCRATCH);
    ssize_t n = room == NULL ? -1 : recv((int)fd, room, SCRATCH, 0);
    if (n < 0 && room != NULL && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        failed(c, "", room == NULL ? "out of memory" : "the connection to the database was lost");
        event_del(c->rd);
        return;
    }
    buf_commit(&c->in, (size_t)n);
    take(c);
}

/* --- the server's end --- */

static void on_dialed(void *arg, int fd, const struct conf_addr *addr, int err) {
    struct dbclient *c = arg;
    const struct conf_database *db = c->conf.db;
    /* Reads nothing but catalogs, under names that nobody else can have put there. */
    static const struct flt_kv settings[] = {
        {"client_encoding", "UTF8"},       {"standard_conforming_strings", "on"},   {"search_path", "\"\""},
        {"application_name", "gatehouse"}, {"default_transaction_read_only", "on"}, {"statement_timeout", "60s"}};
    struct flt_upstream up;
    bool random = upstream_login(db, c->conf.login != NULL ? c->conf.login : conf_login(db, NULL, 0), &c->cred, &up);
    up.params = settings;
    up.nparams = is_mysql(c) ? 0 : sizeof settings / sizeof *settings;
    (void)addr;
    c->dial = NULL;
    if (fd < 0)
        finish(c, false, "", strerror(err), advice_connect(err));
    else if (!random) {
        close(fd);
        failed(c, "", "no random bytes");
    } else if (!pump_attach(&c->pump, FLT_SERVER, fd))
        failed(c, "", "out of memory");
    else
        flt_upstream_open(c->pump.filter, &up);
    pump_run(&c->pump);
}

static void no_tls(struct dbclient *c, const char *why) {
    finish(c, false, "", why, advice_tls(why));
    pump_detach_server(&c->pump);
    flt_upstream_failed(c->pump.filter, "08001", "no TLS", NULL, false);
}

static void on_tls(void *owner, const char *why) {
    struct dbclient *c = owner;
    if (why != NULL)
        no_tls(c, why);
    else
        upstream_secured(&c->pump);
}

static void on_lost(struct dbclient *c, const struct flt_event *ev) {
    const char *tls = pump_tls_error(&c->pump);
    if (tls[0] != '\0')
        finish(c, false, "", tls, advice_tls(tls));
    else
        failed(c, ev->lost.sqlstate, ev->lost.text);
    pump_detach_server(&c->pump);
    flt_upstream_failed(c->pump.filter, "08006", "no login", NULL, false);
}

static void on_event(void *owner, const struct flt_event *ev) {
    struct dbclient *c = owner;
    struct flt *f = c->pump.filter;
    const struct conf_database *db = c->conf.db;
    switch (ev->kind) {
    case FLT_EV_HELLO: flt_login_ask(f, FLT_ASK_NOTHING, NULL); break;
    case FLT_EV_LOGIN: flt_login_accept(f, &(struct flt_login_ok){.params = (struct flt_kv[]){{"server_version", "15"}}}); break;
    case FLT_EV_STATEMENT: flt_answer(f, ev->stmt.id, &(struct flt_answer){.allow = true}); break;
    case FLT_EV_UPSTREAM:
        c->dial = dial_start(c->conf.base, db->addrs, db->naddrs, c->conf.conf->limits.upstream_connect_ms, on_dialed, c);
        if (c->dial == NULL) failed(c, "", "out of memory");
        break;
    case FLT_EV_UPSTREAM_TLS: {
        const char *why = upstream_tls(&c->pump, db->tls);
        if (why != NULL) no_tls(c, why);
        break;
    }
    case FLT_EV_UPSTREAM_LOST: on_lost(c, ev); break;
    case FLT_EV_OVER: flt_over(f); break;
    case FLT_EV_UPSTREAM_READY:
    case FLT_EV_RESULT:
    case FLT_EV_CANCEL:
    case FLT_EV_CLOSE: break; /* on_closed() comes */
    }
}

static void on_closed(void *owner) { failed(owner, "", "the connection to the database was lost"); }

static bool open_pair(struct dbclient *c) {
    static const struct flt_kv pins[] = {{"client_encoding", "UTF8"}, {"standard_conforming_strings", "on"}, {"server_encoding", "UTF8"}};
    const struct flt_conf conf = {.pins = pins, .npins = sizeof pins / sizeof *pins};
    int sv[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv) != 0) return false;
    c->fd = sv[1];
    struct flt *filter = is_mysql(c) ? my_filter_new(&conf) : pg_filter_new(&conf);
    if (filter == NULL) {
        close(sv[0]);
        return false;
    }
    c->pump = (struct pump){.base = c->conf.base,
                            .filter = filter,
                            .scratch = c->scratch,
                            .scratch_size = sizeof c->scratch,
                            .mark = 256u << 10,
                            .owner = c,
                            .on_event = on_event,
                            .on_tls = on_tls,
                            .on_closed = on_closed};
    pump_init(&c->pump);
    return pump_attach(&c->pump, FLT_CLIENT, sv[0]);
}

struct dbclient *dbclient_start(const struct dbclient_conf *conf) {
    struct timeval deadline = {(time_t)(conf->timeout_ms / 1000), (suseconds_t)(conf->timeout_ms % 1000 * 1000)};
    struct dbclient *c = calloc(1, sizeof *c);
    if (c == NULL) return NULL;
    c->conf = *conf;
    c->fd = -1;
    c->in = BUF_INIT(MESSAGE_MAX + 2 * SCRATCH);
    c->end_ev = event_new(conf->base, -1, 0, on_end, c);
    c->deadline = event_new(conf->base, -1, 0, on_deadline, c);
    if (c->end_ev == NULL || c->deadline == NULL || event_add(c->deadline, &deadline) != 0 || !open_pair(c) ||
        (c->rd = event_new(conf->base, c->fd, EV_READ | EV_PERSIST, on_read, c)) == NULL || event_add(c->rd, NULL) != 0) {
        dbclient_cancel(c);
        return NULL;
    }
    say_hello(c);
    pump_run(&c->pump);
    return c;
}

void dbclient_cancel(struct dbclient *c) {
    if (c == NULL) return;
    c->over = true; /* pump_abort() tells on_closed() */
    client_free(c);
}
