/* The PostgreSQL filter: start-up, login, and what the owner says. */
#include "filters/pg_impl.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_STARTUP_PARAMS 64

void pg_fatal(struct pg_filter *f, enum gh_rc rc, const char *sqlstate, const char *message, const char *hint, const char *reason) {
    if (f->base.closed) return;
    /* Inside a row or COPY data that is on its way the client would read the error as data: it gets the end of the connection. */
    if (f->reply_stream == 0) pg_put_fatal(&f->base.out[FLT_CLIENT], sqlstate, message, hint);
    pg_client_not_run(f);
    pg_queue_end(f, true);
    flt_post_close(&f->base, rc, reason);
}

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
        pg_fatal(f, GH_LIMIT, "53200", "out of memory", NULL, "out of memory");
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

/* --- start-up ---------------------------------------------------------------------------------------------------------------- */

/* NegotiateProtocolVersion: we speak 3.0 and none of the _pq_ options. */
static void negotiate(struct pg_filter *f, uint32_t version, size_t noptions) {
    if ((version & 0xffff) == 0 && noptions == 0) return;
    struct buf *out = &f->base.out[FLT_CLIENT];
    size_t at = pg_begin(out, 'v');
    buf_be32(out, PG_PROTOCOL_3);
    buf_be32(out, (uint32_t)noptions);
    for (size_t i = 0; i < f->nstartup_kv; i++)
        if (strncmp(f->startup_kv[i].name, "_pq_.", 5) == 0) buf_cstr(out, f->startup_kv[i].name);
    pg_end(out, at);
}

/* The startup packet's names and values point into f->startup. False: malformed (a violation was said). */
static bool read_startup(struct pg_filter *f, struct cur c, size_t *noptions) {
    size_t n = 0;
    f->startup_kv = calloc(MAX_STARTUP_PARAMS, sizeof *f->startup_kv);
    for (;;) {
        const char *name, *value;
        size_t name_len, value_len;
        if (!cur_cstr(&c, &name, &name_len)) break;
        if (name_len == 0) {
            if (cur_left(&c) != 0 || f->user == NULL) break;
            f->nstartup_kv = n;
            return true;
        }
        if (!cur_cstr(&c, &value, &value_len) || f->startup_kv == NULL || n == MAX_STARTUP_PARAMS) break;
        for (size_t i = 0; i < n; i++)
            if (strcmp(f->startup_kv[i].name, name) == 0) goto bad;
        if ((f->user != NULL && strcmp(name, "user") == 0) || (f->database != NULL && strcmp(name, "database") == 0)) break;
        if (strcmp(name, "user") == 0)
            f->user = value;
        else if (strcmp(name, "database") == 0)
            f->database = value;
        else
            f->startup_kv[n++] = (struct flt_kv){name, value};
        if (strncmp(name, "_pq_.", 5) == 0) ++*noptions;
    }
bad:
    f->user = NULL;
    pg_violation(f, "startup packet that is malformed, names no user, repeats a parameter or holds too many");
    return false;
}

static void on_startup(struct pg_filter *f) {
    struct cur c = cur_of(buf_at(&f->msg), buf_used(&f->msg));
    uint32_t len, code, pid, secret;
    size_t noptions = 0;
    if (!cur_be32(&c, &len) || !cur_be32(&c, &code)) return;
    if (code == PG_CODE_CANCEL) {
        if (!cur_be32(&c, &pid) || !cur_be32(&c, &secret) || cur_left(&c) != 0) {
            flt_post_close(&f->base, GH_MALFORMED, "CancelRequest of a wrong length");
            return;
        }
        flt_post(&f->base, &(struct flt_event){.kind = FLT_EV_CANCEL, .cancel = {pid, secret}});
        flt_post_close(&f->base, GH_OK, "cancel request");
        return;
    }
    if (code == PG_CODE_SSL || code == PG_CODE_GSSENC) {
        pg_violation(f, "SSLRequest or GSSENCRequest inside TLS");
        return;
    }
    if (code >> 16 != 3) {
        pg_fatal(f, GH_UNSUPPORTED, "0A000", "unsupported frontend protocol: Gatehouse speaks version 3", NULL,
                 "unsupported protocol version");
        return;
    }
    /* The strings stay where they are: the packet becomes f->startup. */
    f->startup = f->msg;
    f->msg = BUF_INIT(f->startup.max);
    c = cur_of(buf_at(&f->startup) + 8, buf_used(&f->startup) - 8);
    if (!read_startup(f, c, &noptions)) return;
    negotiate(f, code, noptions);
    pg_put_auth(&f->base.out[FLT_CLIENT], PG_AUTH_CLEARTEXT);
    f->phase = PG_PASSWORD;
    f->need = 0;
}

static void on_password(struct pg_filter *f) {
    struct cur c = cur_of(buf_at(&f->msg) + 5, buf_used(&f->msg) - 5);
    const char *token;
    size_t len;
    if (!cur_cstr(&c, &token, &len) || cur_left(&c) != 0) {
        pg_violation(f, "password message whose text does not end with its only NUL");
        return;
    }
    f->phase = PG_LOGIN;
    struct flt_event ev = {.kind = FLT_EV_LOGIN,
                           .login = {.user = f->user,
                                     .database = f->database == NULL ? "" : f->database,
                                     .token = token,
                                     .token_len = len,
                                     .params = f->startup_kv,
                                     .nparams = f->nstartup_kv}};
    flt_post(&f->base, &ev);
}

/* The header of a startup packet or password message: its whole length, or a violation. */
static void plan_login(struct pg_filter *f) {
    bool startup = f->phase == PG_STARTUP;
    struct cur c = cur_of(buf_at(&f->msg), buf_used(&f->msg));
    uint8_t type = 'p';
    uint32_t n;
    if ((!startup && !cur_u8(&c, &type)) || !cur_be32(&c, &n)) return;
    size_t max = startup ? f->base.conf.limits.startup : f->base.conf.limits.token;
    if (type != 'p' || n < (startup ? 8u : 5u)) {
        pg_violation(f, startup ? "startup packet of an impossible length" : "a password message was expected");
    } else if (n > max) {
        pg_fatal(f, GH_LIMIT, startup ? "08P01" : "28000",
                 startup ? "startup packet is too long" : "the token is longer than this gate accepts", NULL,
                 startup ? "startup packet over limit" : "token over limit");
    } else {
        f->need = (startup ? 0u : 1u) + (size_t)n;
    }
}

static size_t feed_login(struct pg_filter *f, const uint8_t *data, size_t len) {
    size_t used = 0;
    while (used < len && !f->base.closed && (f->phase == PG_STARTUP || f->phase == PG_PASSWORD)) {
        size_t header = f->phase == PG_STARTUP ? 4 : 5;
        size_t want = f->need == 0 ? header : f->need, have = buf_used(&f->msg);
        size_t n = want - have < len - used ? want - have : len - used;
        buf_put(&f->msg, data + used, n);
        used += n;
        if (f->msg.failed) {
            pg_fatal(f, GH_LIMIT, "53200", "out of memory", NULL, "out of memory");
            break;
        }
        if (f->need == 0 && buf_used(&f->msg) == header) plan_login(f);
        if (f->base.closed || f->need == 0 || buf_used(&f->msg) < f->need) continue;
        f->need = 0;
        if (f->phase == PG_STARTUP)
            on_startup(f);
        else
            on_password(f);
    }
    return f->base.closed ? len : used;
}

static void wipe_token(struct pg_filter *f) {
    if (f->msg.data != NULL) gh_wipe(f->msg.data, f->msg.cap);
    buf_reset(&f->msg);
}

static void login_accept(struct flt *base, const struct flt_login_ok *ok) {
    struct pg_filter *f = pg_of(base);
    assert(f->phase == PG_LOGIN);
    wipe_token(f);
    f->key_pid = ok->pid;
    f->key_secret = ok->secret;
    pg_put_auth(&base->out[FLT_CLIENT], PG_AUTH_OK);
    if (ok->params == NULL) { /* only the server itself knows them */
        f->phase = PG_WELCOME;
        f->up = PG_UP_ASKED;
        flt_post(base, &(struct flt_event){.kind = FLT_EV_UPSTREAM});
        return;
    }
    for (size_t i = 0; i < ok->nparams; i++) pg_parameter(f, ok->params[i].name, ok->params[i].value);
    if (!base->closed) pg_welcome(f);
}

static void login_refuse(struct flt *base, const char *sqlstate, const char *message, const char *detail, const char *hint) {
    struct pg_filter *f = pg_of(base);
    assert(f->phase == PG_LOGIN);
    wipe_token(f);
    pg_put_error(&base->out[FLT_CLIENT],
                 &(struct pg_error_text){.severity = "FATAL", .sqlstate = sqlstate, .message = message, .detail = detail, .hint = hint});
    flt_post_close(base, GH_OK, "login refused");
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

static void keep_answer(struct pg_filter *f, const struct flt_answer *a) {
    f->answer = *a;
    f->forget_statements = copy_names(a->forget_statements, a->nforget_statements);
    f->forget_portals = copy_names(a->forget_portals, a->nforget_portals);
    f->fetched = copy_names(a->fetched, a->nfetched);
    if (f->fetched == NULL && a->nfetched > 0) {
        f->answer.nfetched = 0;
        pg_fatal(f, GH_LIMIT, "53200", "out of memory", NULL, "out of memory");
    }
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
        pg_fatal(f, GH_LIMIT, "53200", "out of memory", NULL, "out of memory");
        return;
    }
    memcpy(f->rewritten, a->rewritten, a->rewritten_len);
    f->rewritten[a->rewritten_len] = '\0';
}

static void answer(struct flt *base, uint64_t id, const struct flt_answer *a) {
    struct pg_filter *f = pg_of(base);
    if (base->closed) {
        if (a->ctx != NULL && base->conf.ctx_free != NULL) base->conf.ctx_free(a->ctx);
        return;
    }
    assert(f->step == PG_STEP_ASKED && id == f->asked_id);
    f->asked_id = 0;
    bool deeper =
        a->nfetched > 0 || a->nforget_portals > 0 || a->nforget_statements > 0 || a->forget_all_portals || a->forget_all_statements;
    if (a->allow && f->nested && deeper) { /* a FETCH from a portal that fetches itself, or changes names: nobody needs that */
        static const struct pg_error_text nested = {.sqlstate = "0A000",
                                                    .message = "FETCH cannot read a portal whose statement uses or changes other names",
                                                    .hint = "Run it with an Execute message."};
        pg_client_not_run(f);
        pg_post_result(f, &(struct pg_entry){.id = id}, "", true);
        f->step = PG_STEP_REFUSED;
        f->refusal_fatal = false;
        buf_reset(&f->refusal);
        pg_put_error(&f->refusal, &nested);
    } else if (a->allow && f->nested) { /* the portal that the message fetches from may run; the message's own answer is kept */
        f->step = PG_STEP_ALLOWED;
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
                                                          .hint = a->hint});
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
    for (size_t i = 0; i < 20; i++) snprintf(f->poison + 2 * i, 3, "%02x", digest[i]);
    return true;
}

static void upstream_open(struct flt *base, const struct flt_upstream *up) {
    struct pg_filter *f = pg_of(base);
    assert(f->up == PG_UP_ASKED);
    pg_auth_end(&f->auth);
    free_status(&f->reported, &f->nreported);
    buf_reset(&f->reply);
    f->reply_need = f->reply_stream = 0;
    f->auth_done = f->server_has_key = false;
    if (!make_poison(f, up->nonce) || !pg_auth_begin(&f->auth, up->user, up->password, up->nonce, up->allow_cleartext)) {
        pg_fatal(f, GH_LIMIT, "53200", "out of memory", NULL, "out of memory");
        return;
    }
    struct buf *out = &base->out[FLT_SERVER];
    buf_reset(out); /* what an earlier login that failed had still to say */
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
    f->up = PG_UP_LOGIN;
}

static void upstream_failed(struct flt *base, const char *sqlstate, const char *message, const char *hint, bool fatal) {
    struct pg_filter *f = pg_of(base);
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

static bool idle(const struct flt *base) {
    const struct pg_filter *f = (const struct pg_filter *)base;
    return f->phase == PG_READY && f->q_len == 0 && buf_used(&f->msg) == 0 && f->stream_left == 0 && !f->skip &&
           (f->up == PG_UP_NONE || f->status == 'I');
}

/* --- life -------------------------------------------------------------------------------------------------------------------- */

static size_t feed(struct flt *base, enum flt_side side, const uint8_t *data, size_t len) {
    struct pg_filter *f = pg_of(base);
    if (side == FLT_SERVER) return pg_server_feed(f, data, len);
    return f->phase == PG_READY ? pg_client_feed(f, data, len) : feed_login(f, data, len);
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
    wipe_token(f);
    buf_free(&f->msg);
    buf_free(&f->refusal);
    buf_free(&f->startup);
    buf_free(&f->reply);
    free(f->startup_kv);
    free(f->event_kv);
    pg_auth_end(&f->auth);
    free_status(&f->shown, &f->nshown);
    free_status(&f->reported, &f->nreported);
    pg_names_free(&f->portals);
    pg_names_free(&f->statements);
    flt_release(base);
    free(f);
}

struct flt *pg_filter_new(const struct flt_conf *conf) {
    static const struct flt_ops ops = {destroy,         feed,      eof,        login_accept, login_refuse, answer, upstream_open,
                                       upstream_failed, terminate, server_key, idle};
    struct pg_filter *f = calloc(1, sizeof *f);
    if (f == NULL) return NULL;
    flt_init(&f->base, &ops, conf);
    f->msg = BUF_INIT(f->base.conf.limits.statement + PARSE_ROOM);
    f->refusal = BUF_INIT(64u << 10);
    f->reply = BUF_INIT(f->base.conf.limits.reply + 16);
    f->portals.portals = true;
    f->status = 'I';
    return &f->base;
}
