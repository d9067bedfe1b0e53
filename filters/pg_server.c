/* The server's direction: its login, then answers held against the queue of what was forwarded. Rows and COPY data pass without being held. */
#include "filters/pg_impl.h"
#include "filters/pg_starttls.h"

#include "filters/pg_veil.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_REPORTED 128

/* The server broke the protocol, or did what we can not account for: nothing more of it is trusted. */
static void distrust(struct pg_filter *f, const char *reason) {
    pg_fatal(f, GH_MALFORMED, "08P01", "the database server sent something that Gatehouse did not expect; the session ends",
             "Reconnect. If it happens again, tell the operators of Gatehouse.", reason);
}

/* The message at hand, to the client. */
static void pass(struct pg_filter *f) { buf_put(&f->base.out[FLT_CLIENT], f->said.start, (size_t)(f->said.end - f->said.start)); }

/* The same of an error or notice, which is veiled when data is hidden from the client. */
static bool pass_message(struct pg_filter *f, char type, struct cur body) {
    struct buf *client = &f->base.out[FLT_CLIENT];
    const struct pg_entry *head = pg_queue_head(f);
    struct pg_where where = {0};
    bool bad = false;
    if (head != NULL) where = (struct pg_where){head->as_sent, head->pieces, head->npieces};
    if (!f->veil)
        pass(f);
    else if (!pg_veil(type, body, &where, client, &bad) && bad)
        distrust(f, "malformed ErrorResponse or NoticeResponse from the server");
    return !bad;
}

/* --- login ----------------------------------------------------------------------------------------------------------------- */

static void login_lost(struct pg_filter *f, const char *sqlstate, const char *text) {
    pg_auth_end(&f->auth);
    f->up = PG_UP_ASKED;
    snprintf(f->lost_text, sizeof f->lost_text, "%s", text);
    struct flt_event ev = {.kind = FLT_EV_UPSTREAM_LOST, .lost = {.text = f->lost_text}};
    memcpy(ev.lost.sqlstate, sqlstate, strnlen(sqlstate, 5));
    flt_post(&f->base, &ev);
}

/* The answer to SSLRequest: all that the server may say before TLS. Whatever is wrong with it ends this connection: there is no way on in plain text. */
static size_t feed_starttls(struct pg_filter *f, const uint8_t *data, size_t len) {
    struct gh_err err = {0};
    if (f->up == PG_UP_TLS)
        login_lost(f, "", "plain text from the server where TLS was due");
    else if (pg_ssl_answer(data, len, &err) == GH_OK)
        pg_begin_tls(f);
    else
        login_lost(f, "", err.reason);
    return len;
}

static bool report(struct pg_filter *f, const char *name, const char *value) {
    if (f->nreported == MAX_REPORTED) return false;
    struct pg_param_status *r = realloc(f->reported, (f->nreported + 1) * sizeof *r);
    if (r != NULL) {
        f->reported = r;
        r += f->nreported++;
        *r = (struct pg_param_status){strdup(name), strdup(value)};
    }
    if (r == NULL || r->name == NULL || r->value == NULL) pg_no_memory(f);
    return true;
}

static bool keeps_pins(const struct pg_filter *f, const char *name, const char *value) {
    for (size_t i = 0; i < f->base.conf.npins; i++)
        if (strcmp(f->base.conf.pins[i].name, name) == 0 && strcmp(f->base.conf.pins[i].value, value) != 0) return false;
    return true;
}

static bool read_parameter(struct cur body, const char **name, const char **value) {
    size_t a, b;
    return cur_cstr(&body, name, &a) && cur_cstr(&body, value, &b) && cur_left(&body) == 0;
}

static void upstream_ready(struct pg_filter *f) {
    free(f->event_kv);
    f->event_kv = calloc(f->nreported + 1, sizeof *f->event_kv);
    if (f->event_kv == NULL) {
        pg_no_memory(f);
        return;
    }
    for (size_t i = 0; i < f->nreported; i++) f->event_kv[i] = (struct flt_kv){f->reported[i].name, f->reported[i].value};
    pg_auth_end(&f->auth);
    f->up = PG_UP_READY;
    f->status = 'I';
    flt_post(&f->base, &(struct flt_event){.kind = FLT_EV_UPSTREAM_READY, .upstream = {f->event_kv, f->nreported}});
    for (size_t i = 0; i < f->nreported; i++) pg_parameter(f, f->reported[i].name, f->reported[i].value);
    if (f->phase == PG_WELCOME) pg_welcome(f);
}

static void on_login(struct pg_filter *f, char type, struct cur body) {
    struct gh_err err = {0};
    struct pg_error_fields e;
    const char *name, *value;
    switch (type) {
    case 'R':
        if (f->auth_done) break;
        if (pg_auth_step(&f->auth, body, &f->base.out[FLT_SERVER], &f->auth_done, &err) != GH_OK) login_lost(f, "08P01", err.reason);
        return;
    case 'E':
        if (!pg_read_error(body, &e)) break;
        login_lost(f, e.sqlstate, e.message);
        return;
    case 'S':
        if (!f->auth_done || !read_parameter(body, &name, &value)) break;
        if (!keeps_pins(f, name, value)) {
            login_lost(
                f, "08P01",
                "the server does not take a pinned setting (client_encoding, standard_conforming_strings), or its database is not in UTF8");
            return;
        }
        if (!report(f, name, value)) break;
        return;
    case 'K':
        if (!f->auth_done || !cur_be32(&body, &f->server_pid) || !cur_be32(&body, &f->server_secret)) break;
        f->server_has_key = cur_left(&body) == 0;
        return;
    case 'Z':
        if (!f->auth_done) break;
        upstream_ready(f);
        return;
    case 'N':
    case 'v': return;
    default: break;
    }
    login_lost(f, "08P01", "the server's login answer is out of order");
}

/* --- answers --------------------------------------------------------------------------------------------------------------- */

static bool head_is(struct pg_filter *f, unsigned mask) {
    struct pg_entry *e = pg_queue_head(f);
    return e != NULL && (mask >> e->what & 1u) != 0;
}
/* The Execute that copy_hold waits for is the last that was sent: an answer to one before it says nothing about it. */
static bool head_is_last(const struct pg_filter *f) { return f->q_len == 1; }
static void copy_over(struct pg_filter *f) {
    if (head_is_last(f)) f->copy_hold = f->copy_in = false;
}
#define IS(what) (1u << (what))
#define RUNS     (IS(PG_S_QUERY) | IS(PG_S_EXECUTE))

static void on_error(struct pg_filter *f, struct cur body) {
    struct pg_error_fields e;
    if (!pg_read_error(body, &e)) {
        distrust(f, "malformed ErrorResponse from the server");
        return;
    }
    struct pg_entry *head = pg_queue_head(f);
    bool fatal = strcmp(e.severity, "FATAL") == 0 || strcmp(e.severity, "PANIC") == 0;
    bool over = head != NULL && head->over != PG_OVER_NOT && !fatal;
    if (over) {
        pg_limit_error(f, head);
        snprintf(e.sqlstate, sizeof e.sqlstate, "%s", PG_OVER_STATE);
        head->over = PG_OVER_NOT;
    } else if (head != NULL && head->what == PG_S_POISON && !fatal) {
        buf_put(&f->base.out[FLT_CLIENT], head->error, head->error_len);
    } else if (!pass_message(f, 'E', body)) {
        return;
    }
    f->server_fatal = f->server_fatal || fatal;
    if (head == NULL || head->what == PG_S_SYNC) return; /* told out of turn, or a COMMIT at Sync that failed: ReadyForQuery follows */
    if (head->what == PG_S_QUERY) {
        memcpy(head->sqlstate, e.sqlstate, sizeof head->sqlstate);
        f->copy_in = false;
        return;
    }
    if (!pg_queue_fail(f, e.sqlstate)) f->skip = true;
}

static void on_ready(struct pg_filter *f, struct cur body) {
    uint8_t status;
    struct pg_entry *e = pg_queue_head(f);
    if (!cur_u8(&body, &status) || cur_left(&body) != 0 || strchr("ITE", status) == NULL || status == 0 ||
        !head_is(f, IS(PG_S_QUERY) | IS(PG_S_SYNC))) {
        distrust(f, "ReadyForQuery that nothing asked for");
        return;
    }
    f->status = (char)status;
    struct pg_entry was = *e;
    if (e->what == PG_S_QUERY) {
        if (e->over != PG_OVER_NOT) memcpy(e->sqlstate, PG_OVER_STATE, sizeof e->sqlstate);
        pg_post_result(f, e, e->sqlstate[0] == '\0' ? "00000" : e->sqlstate, false);
        bool well = e->sqlstate[0] == '\0';
        pg_forget_end(f, e, well ? PG_WENT_WELL : PG_FAILED);
        pg_ends_told(f, e, well);
        f->wait_query = f->copy_in = false;
        pg_names_forget(&f->statements, ""); /* a simple query drops the unnamed statement, and takes the unnamed portal for itself */
        if (!e->empty) pg_names_forget(&f->portals, "");
    }
    pg_queue_pop(f);
    if (status == 'I') pg_ends_all(f); /* portals end with their transaction */
    f->chained = false;
    if (was.over != PG_OVER_NOT)
        pg_limit_undo(f, &was);
    else
        pass(f);
}

static void execute_ended(struct pg_filter *f, bool complete) {
    struct pg_entry *e = pg_queue_head(f), was = *e;
    bool well = complete && was.over == PG_OVER_NOT;
    if (!well) pg_forget_end(f, e, PG_FAILED);
    pg_ends_told(f, e, well);
    pg_post_result(f, &was, was.over == PG_OVER_NOT ? "00000" : PG_OVER_STATE, false);
    pg_queue_done(f);
    if (was.over != PG_OVER_NOT) pg_limit_undo(f, &was);
}

static void on_complete(struct pg_filter *f, struct cur body) {
    const char *tag;
    size_t len;
    struct pg_entry *e = pg_queue_head(f);
    if (!cur_cstr(&body, &tag, &len) || cur_left(&body) != 0 || !head_is(f, RUNS)) {
        distrust(f, "CommandComplete that nothing asked for");
        return;
    }
    uint64_t rows = pg_tag_rows(tag, len);
    bool counted = strncmp(tag, "SELECT", 6) == 0 || strncmp(tag, "FETCH", 5) == 0 || strncmp(tag, "MOVE", 4) == 0;
    /* DataRows were counted as they passed; RETURNING sends rows and a count of the same rows. */
    if (!counted && rows > e->rows && e->over == PG_OVER_NOT) e->rows = rows;
    /* Too late to be stopped, and without rows that could be withheld: it is done, and so it is told. */
    if (e->what == PG_S_QUERY && e->over == PG_OVER_TIME && !counted && e->passed == 0 && !e->dropped) {
        e->over = PG_OVER_NOT;
        if (rows > e->rows) e->rows = rows;
    }
    if (e->over == PG_OVER_NOT) pass(f);
    copy_over(f);
    if (e->what == PG_S_EXECUTE) execute_ended(f, true);
}

/* A message that ends the head when that is one of mask; in a Query it only passes. */
static void on_step(struct pg_filter *f, unsigned mask, bool in_query) {
    if (head_is(f, mask)) {
        struct pg_entry *e = pg_queue_head(f);
        if (e->over == PG_OVER_NOT) pass(f);
        if (e->what == PG_S_EXECUTE) {
            copy_over(f);
            execute_ended(f, false);
        } else
            pg_queue_done(f);
    } else if (in_query && head_is(f, IS(PG_S_QUERY))) {
        pg_queue_head(f)->empty = true;
        pass(f);
    } else {
        distrust(f, "an answer that nothing asked for");
    }
}

static void on_reply(struct pg_filter *f, char type, struct cur body) {
    const char *name, *value;
    switch (type) {
    case 'E': on_error(f, body); return;
    case 'N': pass_message(f, 'N', body); return;
    case 'Z': on_ready(f, body); return;
    case 'C': on_complete(f, body); return;
    case '1': on_step(f, IS(PG_S_PARSE), false); return;
    case '2': on_step(f, IS(PG_S_BIND), false); return;
    case '3': on_step(f, IS(PG_S_CLOSE), false); return;
    case 'n': on_step(f, IS(PG_S_DESCRIBE_STATEMENT) | IS(PG_S_DESCRIBE_PORTAL), false); return;
    case 'I': on_step(f, IS(PG_S_EXECUTE), true); return;
    case 's': on_step(f, IS(PG_S_EXECUTE), false); return;
    case 'S':
        if (!read_parameter(body, &name, &value)) break;
        if (!keeps_pins(f, name, value)) {
            pg_fatal(f, GH_UNSUPPORTED, "55P02", "a setting that Gatehouse needs to be fixed was changed; the session ends",
                     "Do not change client_encoding, standard_conforming_strings or other pinned settings.",
                     "a pinned setting changed at the server");
            return;
        }
        pg_parameter(f, name, value);
        return;
    case 'G':
    case 'H':
        /* What was sent behind a COPY FROM STDIN that nobody saw coming would be read as its data. */
        if (!head_is(f, RUNS) || (type == 'G' && !head_is_last(f))) break;
        copy_over(f);
        f->copy_in = type == 'G';
        pass(f);
        return;
    case 'c':
        if (!head_is(f, RUNS)) break;
        if (pg_queue_head(f)->over == PG_OVER_NOT) pass(f);
        return;
    default: break;
    }
    distrust(f, "a message from the server that is unknown or out of order");
}

/* --- gathering ------------------------------------------------------------------------------------------------------------- */

enum fate { HOLD, STREAM, REFUSED };

/* What happens to a message whose header is known. Streaming messages are accounted for here: their bodies are not looked at. */
static enum fate fate_of(struct pg_filter *f, char type, uint32_t body) {
    struct pg_entry *e = pg_queue_head(f);
    if (f->up != PG_UP_READY) return HOLD;
    f->reply_drop = false;
    f->keeping = 0;
    switch (type) {
    case 'D':
    case 'd':
        if (!head_is(f, RUNS)) return REFUSED;
        if (e->limited && !pg_limit_fits(f, e, body)) {
            f->reply_drop = true;
            return STREAM;
        }
        e->rows += type == 'D';
        e->bytes += body;
        pg_keep(f, e, type, NULL, body);
        return STREAM;
    case 'T':
        if (head_is(f, IS(PG_S_QUERY))) {
            pg_keep(f, e, type, NULL, body);
            return STREAM;
        }
        if (!head_is(f, IS(PG_S_DESCRIBE_STATEMENT) | IS(PG_S_DESCRIBE_PORTAL))) return REFUSED;
        pg_queue_done(f);
        return STREAM;
    case 't': return head_is(f, IS(PG_S_DESCRIBE_STATEMENT)) ? STREAM : REFUSED;
    case 'N': return f->veil ? HOLD : STREAM;
    case 'A': return STREAM;
    default: return HOLD;
    }
}

/* Consecutive whole rows at data, counted and passed with one copy. Returns the bytes taken. */
static size_t pass_rows(struct pg_filter *f, const uint8_t *data, size_t len) {
    size_t at = 0, from = 0;
    struct pg_entry *e = pg_queue_head(f);
    if (f->up != PG_UP_READY || !head_is(f, RUNS)) return 0;
    while (len - at >= 5 && at < FLT_OUT_MARK && (data[at] == 'D' || data[at] == 'd')) {
        uint32_t n = (uint32_t)data[at + 1] << 24 | (uint32_t)data[at + 2] << 16 | (uint32_t)data[at + 3] << 8 | data[at + 4];
        if (n < 4 || n > len - at - 1) break;
        if (e->limited && !pg_limit_fits(f, e, n - 4)) {
            buf_put(&f->base.out[FLT_CLIENT], data + from, at - from);
            from = at += 1 + (size_t)n;
            continue;
        }
        e->rows += data[at] == 'D';
        e->bytes += n - 4;
        pg_keep(f, e, (char)data[at], data + at + 5, n - 4);
        at += 1 + (size_t)n;
    }
    buf_put(&f->base.out[FLT_CLIENT], data + from, at - from);
    return at;
}

#define HEADER 5u /* type and length */

/* True: it is to be held until it is whole, which is at reply_need bytes. */
static bool take_header(struct pg_filter *f, const uint8_t *header) {
    struct cur c = cur_of(header, HEADER);
    uint8_t type;
    uint32_t n;
    if (!cur_u8(&c, &type) || !cur_be32(&c, &n)) return false;
    if (n < 4 || n > PG_MAX_MESSAGE) {
        distrust(f, "a message length from the server that the protocol does not allow");
        return false;
    }
    switch (fate_of(f, (char)type, n - 4)) {
    case HOLD:
        f->reply_need = 1 + (size_t)n;
        if (n <= f->base.conf.limits.reply) return true;
        distrust(f, "a message from the server that is longer than Gatehouse holds");
        break;
    case STREAM:
        if (!f->reply_drop) buf_put(&f->base.out[FLT_CLIENT], header, HEADER);
        f->reply_stream = n - 4;
        break;
    case REFUSED: distrust(f, "rows or a description from the server that nothing asked for"); break;
    }
    return false;
}

static void take_message(struct pg_filter *f, const uint8_t *message) {
    f->said = cur_of(message, f->reply_need);
    struct cur body = cur_of(message + HEADER, f->reply_need - HEADER);
    if (f->up == PG_UP_READY)
        on_reply(f, (char)message[0], body);
    else
        on_login(f, (char)message[0], body);
    f->said = (struct cur){0};
    f->reply_need = 0;
}

/* More of a message that has come in part. */
static size_t gather(struct pg_filter *f, const uint8_t *data, size_t len) {
    size_t want = f->reply_need == 0 ? HEADER : f->reply_need, have = buf_used(&f->reply);
    size_t n = want - have < len ? want - have : len;
    buf_put(&f->reply, data, n);
    if (f->reply.failed) {
        pg_no_memory(f);
        return len;
    }
    have += n;
    bool held = f->reply_need > 0;
    if (!held && have == HEADER && !(held = take_header(f, buf_at(&f->reply)))) buf_reset(&f->reply);
    if (f->base.closed || !held || have < f->reply_need) return n;
    take_message(f, buf_at(&f->reply));
    buf_reset(&f->reply);
    return n;
}

/* The next message of the server's, or the beginning of one. What is there as a whole is not copied. */
static size_t take(struct pg_filter *f, const uint8_t *data, size_t len) {
    if (buf_used(&f->reply) > 0 || len < HEADER) return gather(f, data, len);
    if (!take_header(f, data)) return HEADER;
    if (f->reply_need > len) return gather(f, data, len);
    size_t n = f->reply_need;
    take_message(f, data);
    return n;
}

size_t pg_server_feed(struct pg_filter *f, const uint8_t *data, size_t len) {
    struct buf *client = &f->base.out[FLT_CLIENT];
    size_t used = 0;
    if (f->up == PG_UP_STARTTLS || f->up == PG_UP_TLS) return len == 0 || flt_events_waiting(&f->base) ? 0 : feed_starttls(f, data, len);
    while (used < len && !f->base.closed) {
        if (f->up != PG_UP_LOGIN && f->up != PG_UP_READY) return len; /* a login that was given up: the owner closes it */
        if (flt_events_waiting(&f->base) || buf_used(client) >= FLT_OUT_MARK) break;
        if (f->reply_stream > 0) {
            size_t n = f->reply_stream < len - used ? f->reply_stream : len - used;
            if (n > FLT_OUT_MARK) n = FLT_OUT_MARK;
            if (!f->reply_drop) buf_put(client, data + used, n);
            if (f->keeping > 0) pg_keep_more(f, data + used, n);
            f->reply_stream -= n;
            used += n;
            continue;
        }
        size_t rows = buf_used(&f->reply) == 0 ? pass_rows(f, data + used, len - used) : 0;
        used += rows;
        if (rows == 0) {
            used += take(f, data + used, len - used);
            pg_client_resume(f);
        }
    }
    return f->base.closed ? len : used;
}

void pg_server_eof(struct pg_filter *f) {
    if (f->up == PG_UP_STARTTLS || f->up == PG_UP_TLS) {
        login_lost(f, "08006", "the server closed the connection when it was asked for TLS");
    } else if (f->up == PG_UP_LOGIN) {
        login_lost(f, "08006", "the server closed the connection during the login");
    } else if (f->up == PG_UP_READY) {
        if (f->server_fatal) { /* it said so itself */
            pg_queue_end(f, true);
            flt_post_close(&f->base, GH_OK, "the server ended the session");
        } else {
            pg_fatal(f, GH_OK, "08006", "the connection to the database was lost",
                     "Reconnect and look whether the last transaction was committed.", "the server closed the connection");
        }
    }
}
