/* The PostgreSQL filter: its life, and what the owner says. */
#include "filters/pg_impl.h"
#include "filters/pg_starttls.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOLD_MESSAGES 8u /* may_hold(): more goes at once */
#define HOLD_BYTES    16384u

void pg_fatal(struct pg_filter *f, enum gh_rc rc, const char *sqlstate, const char *message, const char *hint, const char *reason) {
    if (f->base.closed) return;
    /* Inside a row or COPY data that is on its way the client would read the error as data: it gets the end of the connection. */
    if (f->reply_stream == 0) pg_put_fatal(&f->base.out[FLT_CLIENT], sqlstate, message, hint);
    pg_client_not_run(f);
    pg_queue_end(f, true);
    flt_post_close(&f->base, rc, reason);
}

void pg_no_memory(struct pg_filter *f) { pg_fatal(f, GH_LIMIT, "53200", "out of memory", NULL, "out of memory"); }

void pg_violation(struct pg_filter *f, const char *reason) {
    pg_fatal(f, GH_MALFORMED, "08P01", reason, "The session ends: what follows could not be read reliably.", reason);
}

/* --- ParameterStatus as the client knows it ---------------------------------------------------------------------------------- */

void pg_parameter(struct pg_filter *f, const char *name, const char *value) {
    struct pg_param_status *p = NULL;
    for (size_t i = 0; i < f->nshown && p == NULL; i++)
        if (strcmp(f->shown[i].name, name) == 0) p = &f->shown[i];
    if (p != NULL && strcmp(p->value, value) == 0) return;
    char *copy = strdup(value);
    if (p == NULL) {
        struct pg_param_status *grown = f->nshown >= 256 ? NULL : realloc(f->shown, (f->nshown + 1) * sizeof *grown);
        char *key = strdup(name);
        if (grown == NULL || key == NULL) {
            free(key);
            free(copy);
            if (grown != NULL) f->shown = grown;
            pg_fatal(f, GH_LIMIT, "53200", "out of memory, or too many parameters", NULL, "too many ParameterStatus names");
            return;
        }
        f->shown = grown;
        p = &grown[f->nshown++];
        *p = (struct pg_param_status){.name = key};
    }
    free(p->value);
    p->value = copy;
    if (copy == NULL) {
        p->value = NULL;
        f->nshown--;
        free(p->name);
        *p = f->shown[f->nshown];
        pg_no_memory(f);
        return;
    }
    if (f->phase == PG_READY) pg_put_parameter(&f->base.out[FLT_CLIENT], name, value);
}

void pg_welcome(struct pg_filter *f) {
    struct buf *out = &f->base.out[FLT_CLIENT];
    for (size_t i = 0; i < f->nshown; i++) pg_put_parameter(out, f->shown[i].name, f->shown[i].value);
    size_t at = pg_begin(out, 'K');
    buf_be32(out, f->key_pid);
    buf_be32(out, f->key_secret);
    pg_end(out, at);
    pg_put_ready(out, 'I');
    f->phase = PG_READY;
}

/* --- answers ----------------------------------------------------------------------------------------------------------------- */

static char **copy_names(const char *const *names, size_t n) {
    char **copy = n == 0 ? NULL : calloc(n, sizeof *copy);
    for (size_t i = 0; copy != NULL && i < n; i++) {
        copy[i] = strdup(names[i]);
        if (copy[i] == NULL) {
            while (i > 0) free(copy[--i]);
            free(copy);
            return NULL;
        }
    }
    return copy;
}

/* As copy_names(); the names are its own. */
static struct flt_use *copy_uses(const struct flt_use *uses, size_t n) {
    struct flt_use *copy = n == 0 ? NULL : calloc(n, sizeof *copy);
    for (size_t i = 0; copy != NULL && i < n; i++) {
        copy[i] = uses[i];
        copy[i].name = strdup(uses[i].name);
        if (copy[i].name == NULL) {
            pg_free_uses(&copy, i);
            return NULL;
        }
    }
    return copy;
}

static void keep_answer(struct pg_filter *f, const struct flt_answer *a) {
    f->answer = *a;
    f->answered = true;
    f->forget_statements = copy_names(a->forget_statements, a->nforget_statements);
    f->forget_portals = copy_names(a->forget_portals, a->nforget_portals);
    f->fetched = copy_uses(a->fetched, a->nfetched);
    f->executed = copy_uses(a->executed, a->nexecuted);
    f->savepoint = a->savepoint != NULL ? strdup(a->savepoint) : NULL; /* without memory: one that is not known */
    bool short_of = (f->fetched == NULL && a->nfetched > 0) || (f->executed == NULL && a->nexecuted > 0);
    if (f->fetched == NULL) f->answer.nfetched = 0;
    if (f->executed == NULL) f->answer.nexecuted = 0;
    if (short_of) pg_no_memory(f);
    if (f->forget_statements == NULL && a->nforget_statements > 0) {
        f->answer.nforget_statements = 0;
        f->answer.forget_all_statements = true; /* without memory: forget more rather than less */
    }
    if (f->forget_portals == NULL && a->nforget_portals > 0) {
        f->answer.nforget_portals = 0;
        f->answer.forget_all_portals = true;
    }
    if (a->rewritten == NULL) return;
    f->rewritten = malloc(a->rewritten_len + 1);
    if (f->rewritten == NULL) {
        pg_no_memory(f);
        return;
    }
    memcpy(f->rewritten, a->rewritten, a->rewritten_len);
    f->rewritten[a->rewritten_len] = '\0';
    f->pieces = a->npieces > 0 && a->npieces <= GH_PIECES ? calloc(a->npieces, sizeof *f->pieces) : NULL;
    if (f->pieces == NULL)
        f->answer.npieces = 0; /* positions are left out */
    else
        memcpy(f->pieces, a->pieces, a->npieces * sizeof *f->pieces);
}

/* The less of two limits, of which 0 is none. */
static uint64_t less(uint64_t a, uint64_t b) { return a == 0 || (b != 0 && b < a) ? b : a; }

static void keep_limits(struct pg_filter *f, const struct flt_answer *portal) {
    f->answer.limited = f->answer.limited || portal->limited;
    f->answer.undoes = f->answer.undoes || portal->undoes;
    f->answer.max_rows = less(f->answer.max_rows, portal->max_rows);
    f->answer.max_bytes = less(f->answer.max_bytes, portal->max_bytes);
    if (portal->keep_bytes > f->answer.keep_bytes) f->answer.keep_bytes = portal->keep_bytes;
    if (portal->keep_rows > f->answer.keep_rows) f->answer.keep_rows = portal->keep_rows;
}

/* What stands behind the name would be allowed, and not in this way. */
static void refuse_nested(struct pg_filter *f, uint64_t id, const struct pg_error_text *text) {
    pg_client_not_run(f);
    pg_post_result(f, &(struct pg_entry){.id = id}, "", true);
    f->step = PG_STEP_REFUSED;
    f->refusal_fatal = false;
    buf_reset(&f->refusal);
    pg_put_error(&f->refusal, text);
}

static void answer(struct flt *base, uint64_t id, const struct flt_answer *a) {
    struct pg_filter *f = pg_of(base);
    if (base->closed) {
        if (a->ctx != NULL && base->conf.ctx_free != NULL) base->conf.ctx_free(a->ctx);
        return;
    }
    assert(f->step == PG_STEP_ASKED && id == f->asked_id && (!a->secret || !a->allow || a->rewritten != NULL));
    f->asked_id = 0;
    f->veil = a->veil || (f->veil && (!a->allow || f->q_len > 0));
    f->secret = f->secret || a->secret;
    bool deeper = a->nfetched > 0 || a->nexecuted > 0 || a->nforget_portals > 0 || a->nforget_statements > 0 || a->forget_all_portals ||
                  a->forget_all_statements || a->portals != FLT_PORTALS_STAY;
    if (a->allow && f->nested && deeper) { /* a FETCH from a portal that fetches itself, or changes names: nobody needs that */
        refuse_nested(
            f, id,
            &(struct pg_error_text){.sqlstate = "0A000",
                                    .message = "FETCH and EXECUTE cannot run a portal or statement that uses or changes other names",
                                    .hint = "Run it with an Execute message."});
    } else if (a->allow && f->nested && a->limited && f->answer.many) {
        refuse_nested(f, id,
                      &(struct pg_error_text){
                          .sqlstate = "0A000",
                          .message = "several statements in one text cannot run: the policy limits the result of one that it runs by name",
                          .hint = "Send them one by one."});
    } else if (a->allow && f->nested) { /* the portal that the message fetches from may run; the message's own answer is kept */
        f->step = PG_STEP_ALLOWED;
        keep_limits(f, a);
    } else if (a->allow) {
        f->step = PG_STEP_ALLOWED;
        keep_answer(f, a);
    } else {
        if (f->nested) pg_post_result(f, &(struct pg_entry){.id = f->msg_id}, "", true);
        f->step = PG_STEP_REFUSED;
        f->refusal_fatal = a->fatal;
        buf_reset(&f->refusal);
        pg_put_error(&f->refusal, &(struct pg_error_text){.severity = a->fatal ? "FATAL" : "ERROR",
                                                          .sqlstate = a->sqlstate,
                                                          .message = a->message,
                                                          .detail = a->detail,
                                                          .hint = a->hint,
                                                          .position = a->position});
        if (a->ctx != NULL && base->conf.ctx_free != NULL) base->conf.ctx_free(a->ctx);
    }
    pg_client_resume(f);
}

/* --- upstream ---------------------------------------------------------------------------------------------------------------- */

static void free_status(struct pg_param_status **list, size_t *n) {
    for (size_t i = 0; i < *n; i++) {
        free((*list)[i].name);
        free((*list)[i].value);
    }
    free(*list);
    *list = NULL;
    *n = 0;
}

/* A portal's name that only this session's filter can know, made of the nonce that no client sees. */
static bool make_poison(struct pg_filter *f, const uint8_t nonce[24]) {
    uint8_t in[24 + 6], digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    memcpy(in, "poison", 6);
    memcpy(in + 6, nonce, 24);
    if (EVP_Digest(in, sizeof in, digest, &n, EVP_sha256(), NULL) != 1 || n < 20) return false;
    gh_hex(f->poison, digest, 20);
    f->poison[40] = '\0';
    return true;
}

static void say_hello(struct pg_filter *f) {
    buf_put(&f->base.out[FLT_SERVER], buf_at(&f->hello), buf_used(&f->hello));
    buf_free(&f->hello);
    f->up = PG_UP_LOGIN;
}

void pg_begin_tls(struct pg_filter *f) {
    f->up = PG_UP_TLS;
    flt_post(&f->base, &(struct flt_event){.kind = FLT_EV_UPSTREAM_TLS});
}

static void upstream_open(struct flt *base, const struct flt_upstream *up) {
    struct pg_filter *f = pg_of(base);
    assert(f->up == PG_UP_ASKED);
    pg_auth_end(&f->auth);
    free_status(&f->reported, &f->nreported);
    buf_reset(&f->reply);
    f->reply_need = f->reply_stream = 0;
    f->auth_done = f->server_has_key = false;
    buf_reset(&base->out[FLT_SERVER]); /* what an earlier login that failed had still to say */
    struct buf *out = &f->hello;
    buf_reset(out);
    size_t at = pg_begin(out, 0);
    buf_be32(out, PG_PROTOCOL_3);
    buf_cstr(out, "user");
    buf_cstr(out, up->user);
    buf_cstr(out, "database");
    buf_cstr(out, up->database);
    for (size_t i = 0; i < up->nparams; i++) {
        buf_cstr(out, up->params[i].name);
        buf_cstr(out, up->params[i].value);
    }
    buf_u8(out, 0);
    pg_end(out, at);
    if (out->failed || !make_poison(f, up->nonce) || !pg_auth_begin(&f->auth, up)) {
        pg_no_memory(f);
        return;
    }
    if (up->tls == FLT_TLS_NONE) {
        say_hello(f);
    } else if (up->tls == FLT_TLS_STARTTLS) {
        pg_put_ssl_request(&base->out[FLT_SERVER]);
        f->up = PG_UP_STARTTLS;
    } else
        pg_begin_tls(f);
}

static void upstream_secured(struct flt *base, const struct flt_secured *s) {
    struct pg_filter *f = pg_of(base);
    assert(f->up == PG_UP_TLS);
    pg_auth_secured(&f->auth, s);
    say_hello(f);
}

static void upstream_failed(struct flt *base, const char *sqlstate, const char *message, const char *hint, bool fatal) {
    struct pg_filter *f = pg_of(base);
    pg_auth_end(&f->auth);
    buf_free(&f->hello);
    f->up = PG_UP_NONE;
    if (fatal || f->phase == PG_WELCOME) {
        pg_fatal(f, GH_OK, sqlstate, message, hint, "the upstream cannot be had");
        return;
    }
    pg_client_refuse_held(f, sqlstate, message, hint);
}

static void terminate(struct flt *base, const char *sqlstate, const char *message, const char *hint) {
    pg_fatal(pg_of(base), GH_OK, sqlstate, message, hint, "ended by Gatehouse");
}

static bool server_key(const struct flt *base, uint32_t *pid, uint32_t *secret) {
    const struct pg_filter *f = (const struct pg_filter *)base;
    *pid = f->server_pid;
    *secret = f->server_secret;
    return f->up == PG_UP_READY && f->server_has_key;
}

/* The message at hand is wiped already where it held a secret. */
static void spare(struct flt *base) {
    struct pg_filter *f = (struct pg_filter *)base;
    if (f->asked_id == 0) buf_spare(&f->msg);
    buf_spare(&f->reply);
}

static bool idle(const struct flt *base) {
    const struct pg_filter *f = (const struct pg_filter *)base;
    return f->phase == PG_READY && f->q_len == 0 && buf_used(&f->msg) == 0 && f->stream_left == 0 && !f->skip &&
           (f->up == PG_UP_NONE || f->status == 'I');
}

static void over(struct flt *base) {
    struct pg_filter *f = pg_of(base);
    f->over_hold = false;
    pg_client_resume(f);
}

static bool overrun(struct flt *base) { return pg_limit_overrun(pg_of(base)); }

/* Binds, and what goes with them, of the pipeline whose Execute is asked about. */
static bool may_hold(const struct flt *base) {
    const struct pg_filter *f = (const struct pg_filter *)base;
    if (f->step != PG_STEP_ASKED || f->flushed || f->barrier > 0 || f->q_len > HOLD_MESSAGES ||
        buf_used(&base->out[FLT_SERVER]) > HOLD_BYTES)
        return false;
    for (size_t i = 0; i < f->q_len; i++) {
        enum pg_sent what = f->queue[(f->q_head + i) % f->q_cap].what;
        if (what == PG_S_QUERY || what == PG_S_EXECUTE || what == PG_S_SYNC || what == PG_S_POISON) return false;
    }
    return true;
}

static bool in_transaction(const struct flt *base) {
    const struct pg_filter *f = (const struct pg_filter *)base;
    return f->up == PG_UP_READY && (f->status != 'I' || f->unit_open || pg_queue_open(f));
}

/* --- life -------------------------------------------------------------------------------------------------------------------- */

static size_t feed(struct flt *base, enum flt_side side, const uint8_t *data, size_t len) {
    struct pg_filter *f = pg_of(base);
    if (side == FLT_SERVER) return pg_server_feed(f, data, len);
    return f->phase == PG_READY ? pg_client_feed(f, data, len) : pg_login_feed(f, data, len);
}

static void eof(struct flt *base, enum flt_side side) {
    struct pg_filter *f = pg_of(base);
    if (side == FLT_SERVER) {
        pg_server_eof(f);
        return;
    }
    pg_client_not_run(f);
    pg_queue_end(f, true);
    flt_post_close(base, GH_OK, "client closed the connection");
}

static void destroy(struct flt *base) {
    struct pg_filter *f = pg_of(base);
    while (f->q_len > 0) pg_queue_pop(f);
    free(f->queue);
    pg_wipe_message(f);
    pg_login_wipe(f);
    free(f->where);
    buf_free(&f->msg);
    buf_free(&f->refusal);
    buf_free(&f->startup);
    buf_free(&f->reply);
    buf_free(&f->kept);
    buf_free(&f->hello);
    free(f->startup_kv);
    free(f->event_kv);
    pg_auth_end(&f->auth);
    free_status(&f->shown, &f->nshown);
    free_status(&f->reported, &f->nreported);
    pg_ends_free(f);
    pg_names_free(&f->portals);
    pg_names_free(&f->statements);
    flt_release(base);
    free(f);
}

static enum flt_name name_known(const struct flt *base, bool portal, const char *name) {
    struct pg_filter *f = pg_of((struct flt *)(uintptr_t)base);
    const struct pg_name *n = pg_names_get(portal ? &f->portals : &f->statements, name);
    if (n == NULL) return FLT_NAME_NONE;
    return n->live != NULL || n->npend > 0 ? FLT_NAME_MESSAGE : FLT_NAME_DOUBT;
}

struct flt *pg_filter_new(const struct flt_conf *conf) {
    static const struct flt_ops ops = {.free = destroy,
                                       .feed = feed,
                                       .eof = eof,
                                       .login_ask = pg_login_ask,
                                       .login_accept = pg_login_accept,
                                       .login_refuse = pg_login_refuse,
                                       .answer = answer,
                                       .upstream_open = upstream_open,
                                       .upstream_secured = upstream_secured,
                                       .upstream_failed = upstream_failed,
                                       .terminate = terminate,
                                       .server_key = server_key,
                                       .idle = idle,
                                       .name = name_known,
                                       .spare = spare,
                                       .over = over,
                                       .overrun = overrun,
                                       .in_transaction = in_transaction,
                                       .may_hold = may_hold};
    struct pg_filter *f = calloc(1, sizeof *f);
    if (f == NULL) return NULL;
    flt_init(&f->base, &ops, conf);
    f->msg = BUF_INIT(f->base.conf.limits.statement + PARSE_ROOM);
    f->refusal = BUF_INIT(64u << 10);
    f->hello = BUF_INIT(256u << 10);
    f->reply = BUF_INIT(f->base.conf.limits.reply + 16);
    f->portals.portals = true;
    f->status = 'I';
    return &f->base;
}
