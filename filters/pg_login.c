/* The client's side of the login: the startup packet, then a password, a bearer token by SASL, or nothing. */
#include "filters/pg_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_STARTUP_PARAMS 64
#define MECHANISM          "OAUTHBEARER"
#define KVSEP              1
#define SASL_EXTRA         256u /* what stands around the token in a SASLInitialResponse */

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

/* The startup packet's names and values point into f->startup. False: malformed, or without memory (which was said). */
static bool read_startup(struct pg_filter *f, struct cur c, size_t *noptions) {
    size_t n = 0;
    f->startup_kv = calloc(MAX_STARTUP_PARAMS, sizeof *f->startup_kv);
    if (f->startup_kv == NULL) {
        pg_no_memory(f);
        return false;
    }
    for (;;) {
        const char *name, *value;
        size_t name_len, value_len;
        if (!cur_cstr(&c, &name, &name_len)) break;
        if (name_len == 0) {
            if (cur_left(&c) != 0 || f->user == NULL) break;
            f->nstartup_kv = n;
            return true;
        }
        if (!cur_cstr(&c, &value, &value_len) || n == MAX_STARTUP_PARAMS) break;
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

/* What the client showed. */
struct shown {
    const char *token;
    size_t len;
    bool too_long, discovery;
};

static void post(struct pg_filter *f, enum flt_ev_kind kind, const struct shown *shown) {
    flt_post(&f->base, &(struct flt_event){.kind = kind,
                                           .login = {.user = f->user,
                                                     .database = f->database == NULL ? "" : f->database,
                                                     .token = shown->token,
                                                     .token_len = shown->len,
                                                     .too_long = shown->too_long,
                                                     .discovery = shown->discovery,
                                                     .params = f->startup_kv,
                                                     .nparams = f->nstartup_kv}});
}

static void post_login(struct pg_filter *f, const struct shown *shown) {
    f->phase = PG_LOGIN;
    f->too_long = shown->too_long;
    post(f, FLT_EV_LOGIN, shown);
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
    f->phase = PG_HELLO;
    f->need = 0;
    post(f, FLT_EV_HELLO, &(struct shown){.token = ""});
}

void pg_login_ask(struct flt *base, enum flt_ask ask, const char *where) {
    struct pg_filter *f = pg_of(base);
    struct buf *out = &base->out[FLT_CLIENT];
    assert(f->phase == PG_HELLO);
    switch (ask) {
    case FLT_ASK_NOTHING: post_login(f, &(struct shown){.token = ""}); return;
    case FLT_ASK_PASSWORD:
        pg_put_auth(out, PG_AUTH_CLEARTEXT);
        f->phase = PG_PASSWORD;
        return;
    case FLT_ASK_OAUTHBEARER: break;
    }
    f->where = strdup(where);
    if (f->where == NULL) {
        pg_no_memory(f);
        return;
    }
    size_t at = pg_begin(out, 'R');
    buf_be32(out, PG_AUTH_SASL);
    buf_cstr(out, MECHANISM);
    buf_u8(out, 0);
    pg_end(out, at);
    f->phase = PG_SASL;
}

/* --- what the client shows ----------------------------------------------------------------------------------------------------- */

static void on_password(struct pg_filter *f, struct cur c) {
    const char *token;
    size_t len;
    if (!cur_cstr(&c, &token, &len) || cur_left(&c) != 0)
        pg_violation(f, "password message whose text does not end with its only NUL");
    else
        post_login(f, &(struct shown){.token = token, .len = len});
}

/* The next key=value and its separator (RFC 7628, section 3.1); false when there is none. */
static bool next_pair(struct cur *c, struct cur *key, struct cur *value) {
    const uint8_t *end = cur_left(c) == 0 ? NULL : memchr(c->p, KVSEP, cur_left(c));
    const uint8_t *equals = end == NULL ? NULL : memchr(c->p, '=', (size_t)(end - c->p));
    if (equals == NULL || equals == c->p) return false;
    *key = cur_of(c->p, (size_t)(equals - c->p));
    *value = cur_of(equals + 1, (size_t)(end - equals - 1));
    c->p = end + 1;
    return true;
}

/* The value of auth, the only key that matters, from a client's initial response. False: malformed. */
static bool read_bearer(struct cur c, struct cur *auth) {
    static const char none[] = "n,,", cannot[] = "y,,"; /* no channel binding, and no other identity to act for */
    struct cur gs2, key, value;
    uint8_t sep;
    bool found = false;
    if (!cur_sub(&c, 3, &gs2) || (memcmp(gs2.p, none, 3) != 0 && memcmp(gs2.p, cannot, 3) != 0) || !cur_u8(&c, &sep) || sep != KVSEP)
        return false;
    while (cur_left(&c) > 1) {
        if (!next_pair(&c, &key, &value)) return false;
        if (cur_left(&key) != 4 || memcmp(key.p, "auth", 4) != 0) continue;
        if (found) return false;
        found = true;
        *auth = value;
    }
    return found && cur_u8(&c, &sep) && sep == KVSEP;
}

/* SASLInitialResponse. What is well formed but no bearer token is left to the owner to refuse like any bad one. */
static void on_sasl(struct pg_filter *f, struct cur c) {
    static const char scheme[] = "bearer ";
    const char *mechanism;
    size_t len;
    uint32_t n;
    struct cur auth = cur_of(NULL, 0);
    if (!cur_cstr(&c, &mechanism, &len) || !cur_be32(&c, &n) || n != cur_left(&c) || strcmp(mechanism, MECHANISM) != 0 ||
        !read_bearer(c, &auth)) {
        pg_violation(f, "SASL response that is not one of OAUTHBEARER");
        return;
    }
    if (cur_left(&auth) == 0) {
        post_login(f, &(struct shown){.token = "", .discovery = true});
        return;
    }
    /* The separator behind the value becomes its NUL; the message is not read again. */
    char *token = (char *)f->msg.data + (auth.p - f->msg.data);
    token[cur_left(&auth)] = '\0';
    bool bearer = cur_left(&auth) >= sizeof scheme - 1 && strncasecmp(token, scheme, sizeof scheme - 1) == 0;
    size_t skip = bearer ? sizeof scheme - 1 : 0;
    while (bearer && token[skip] == ' ') skip++;
    post_login(f, &(struct shown){.token = bearer ? token + skip : "", .len = bearer ? cur_left(&auth) - skip : 0});
}

static void on_sasl_bye(struct pg_filter *f, struct cur c) {
    uint8_t byte;
    if (!cur_u8(&c, &byte) || byte != KVSEP || cur_left(&c) != 0) {
        pg_violation(f, "SASL response that is not the last one of OAUTHBEARER");
        return;
    }
    buf_put(&f->base.out[FLT_CLIENT], buf_at(&f->refusal), buf_used(&f->refusal));
    flt_post_close(&f->base, GH_OK, "login refused");
}

/* The header of a message before the login: its whole length, or a violation. */
static void plan_login(struct pg_filter *f) {
    bool startup = f->phase == PG_STARTUP;
    struct cur c = cur_of(buf_at(&f->msg), buf_used(&f->msg));
    uint8_t type = 'p';
    uint32_t n;
    if ((!startup && !cur_u8(&c, &type)) || !cur_be32(&c, &n)) return;
    size_t max = startup ? f->base.conf.limits.startup : f->base.conf.limits.token + (f->phase == PG_SASL ? SASL_EXTRA : 0);
    if (f->phase == PG_SASL_BYE) max = 64;
    if (type != 'p' || n < (startup ? 8u : 5u)) {
        pg_violation(f, startup ? "startup packet of an impossible length" : "a password or SASL message was expected");
    } else if (n > max && (startup || f->phase == PG_SASL_BYE)) {
        pg_fatal(f, GH_LIMIT, "08P01", startup ? "startup packet is too long" : "SASL response that is too long", NULL,
                 startup ? "startup packet over limit" : "last SASL response over limit");
    } else if (n > max) { /* a bad credential like any other: the owner refuses it, whatever follows stays unread */
        post_login(f, &(struct shown){.token = "", .too_long = true});
    } else {
        f->need = (startup ? 0u : 1u) + (size_t)n;
    }
}

static void on_message(struct pg_filter *f) {
    struct cur c = cur_of(buf_at(&f->msg), buf_used(&f->msg));
    struct cur body = f->phase == PG_STARTUP ? c : cur_of(c.p + 5, cur_left(&c) - 5);
    switch (f->phase) {
    case PG_STARTUP: on_startup(f); break;
    case PG_PASSWORD: on_password(f, body); break;
    case PG_SASL: on_sasl(f, body); break;
    case PG_SASL_BYE: on_sasl_bye(f, body); break;
    default: break;
    }
}

size_t pg_login_feed(struct pg_filter *f, const uint8_t *data, size_t len) {
    size_t used = 0;
    while (used < len && !f->base.closed &&
           (f->phase == PG_STARTUP || f->phase == PG_PASSWORD || f->phase == PG_SASL || f->phase == PG_SASL_BYE)) {
        size_t header = f->phase == PG_STARTUP ? 4 : 5;
        size_t want = f->need == 0 ? header : f->need, have = buf_used(&f->msg);
        size_t n = want - have < len - used ? want - have : len - used;
        buf_put(&f->msg, data + used, n);
        used += n;
        if (f->msg.failed) {
            pg_no_memory(f);
            break;
        }
        if (f->need == 0 && buf_used(&f->msg) == header) plan_login(f);
        if (f->base.closed || f->need == 0 || buf_used(&f->msg) < f->need) continue;
        f->need = 0;
        on_message(f);
    }
    return f->base.closed ? len : used;
}

void pg_login_wipe(struct pg_filter *f) {
    if (f->msg.data != NULL) gh_wipe(f->msg.data, f->msg.cap);
    buf_reset(&f->msg);
}

/* --- the owner's answer -------------------------------------------------------------------------------------------------------- */

void pg_login_accept(struct flt *base, const struct flt_login_ok *ok) {
    struct pg_filter *f = pg_of(base);
    assert(f->phase == PG_LOGIN && !f->too_long);
    pg_login_wipe(f);
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

void pg_login_refuse(struct flt *base, const char *sqlstate, const char *message, const char *detail, const char *hint) {
    struct pg_filter *f = pg_of(base);
    struct buf *out = &base->out[FLT_CLIENT];
    assert(f->phase == PG_LOGIN || f->phase == PG_HELLO);
    bool sasl = f->where != NULL && !f->too_long; /* what is too long was not read: no answer of the client's could be found behind it */
    pg_login_wipe(f);
    pg_put_error(sasl ? &f->refusal : out,
                 &(struct pg_error_text){.severity = "FATAL", .sqlstate = sqlstate, .message = message, .detail = detail, .hint = hint});
    if (!sasl) {
        flt_post_close(base, GH_OK, "login refused");
        return;
    }
    size_t at = pg_begin(out, 'R');
    buf_be32(out, PG_AUTH_SASL_CONT);
    buf_str(out, f->where);
    pg_end(out, at);
    f->phase = PG_SASL_BYE;
}
