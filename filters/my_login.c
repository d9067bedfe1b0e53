/* The client's login: HandshakeResponse41, then the token. Whatever method a client begins with, what counts is the token in clear, which TLS protects:
 * as mysql_clear_password in the response itself, or by caching_sha2_password's full authentication, which nearly all clients can do. The scrambles that
 * they send before are looked at by nobody. */
#include "filters/my_impl.h"

#include <string.h>

#define SHA2_FULL 4 /* "perform full authentication" */
/* To a server whose version begins with 5.5.5, as MariaDB's do, it cannot be told that full authentication is due; mysql_clear_password it knows always. */
#define CONNECTOR_J "MySQL Connector/J"

/* Collations by the character set that they belong to, as far as clients may ask for it ("Character Set"; information_schema.collations of both servers). In
 * others a quote or a backslash may be part of another character. */
static const char *charset_of(uint8_t collation) {
    static const uint8_t latin1[] = {5, 8, 15, 31, 47, 48, 49, 94};
    bool utf8 = collation == 33 || collation == 83 || (collation >= 192 && collation <= 215) || collation == 223 || collation == 76;
    bool utf8mb4 = collation == 0 || collation == 45 || collation == 46 || (collation >= 224 && collation <= 247) || collation == 255;
    if (utf8 || utf8mb4) return "utf8mb4";
    if (collation == 11 || collation == 65) return "ascii";
    for (size_t i = 0; i < sizeof latin1; i++)
        if (latin1[i] == collation) return "latin1";
    return NULL;
}

void my_login_wipe(struct my_filter *f) {
    if (f->token.data != NULL) gh_wipe(f->token.data, f->token.cap);
    buf_free(&f->token);
}

static void refuse(struct my_filter *f, const char *sqlstate, const char *message, const char *hint) {
    my_fatal(f, GH_UNSUPPORTED, sqlstate, message, hint, "login refused");
}

static void post(struct my_filter *f, enum flt_ev_kind kind) {
    struct flt_event ev = {.kind = kind,
                           .login = {.user = f->user,
                                     .database = f->database,
                                     .token = kind == FLT_EV_LOGIN && buf_used(&f->token) > 0 ? (const char *)buf_at(&f->token) : "",
                                     .token_len = kind == FLT_EV_LOGIN && buf_used(&f->token) > 0 ? buf_used(&f->token) - 1 : 0,
                                     .too_long = kind == FLT_EV_LOGIN && f->too_long,
                                     .params = f->kv,
                                     .nparams = f->nkv}};
    f->phase = kind == FLT_EV_HELLO ? MY_HELLO : MY_LOGIN;
    flt_post(&f->base, &ev);
}

/* The token with its NUL; what a client sends behind a NUL is none of it. */
static void keep_token(struct my_filter *f, const uint8_t *data, size_t len) {
    const uint8_t *nul = len == 0 ? NULL : memchr(data, 0, len);
    if (nul != NULL) len = (size_t)(nul - data);
    f->too_long = len >= f->token.max;
    if (f->too_long || len == 0) return;
    buf_put(&f->token, data, len);
    buf_u8(&f->token, 0);
}

/* program_name among the connection's attributes, for the record; others are dropped. */
static bool read_attributes(struct my_filter *f, struct cur attrs) {
    const uint8_t *name, *value;
    size_t nlen, vlen;
    while (cur_left(&attrs) > 0) {
        if (!my_lenenc_str(&attrs, &name, &nlen) || !my_lenenc_str(&attrs, &value, &vlen)) return false;
        if (nlen == 12 && memcmp(name, "_client_name", 12) == 0 && vlen == sizeof CONNECTOR_J - 1 && memcmp(value, CONNECTOR_J, vlen) == 0)
            f->connector_j = true;
        bool ours = nlen == 12 && memcmp(name, "program_name", 12) == 0;
        if (!ours || f->nkv > 0 || vlen == 0 || vlen > 200 || !gh_utf8_valid(value, vlen)) continue;
        buf_put(&f->hello, value, vlen);
        buf_u8(&f->hello, 0);
        f->kv[f->nkv++].name = "application_name"; /* its value's place is known when nothing is added any more */
    }
    return true;
}

struct response {
    const char *user, *database, *plugin;
    size_t user_len, database_len, plugin_len;
    const uint8_t *auth;
    size_t auth_len;
    struct cur attrs;
    uint8_t collation;
};

static bool read_response(struct my_filter *f, struct cur c, struct response *r) {
    uint32_t caps, max;
    uint8_t n;
    uint64_t len;
    memset(r, 0, sizeof *r);
    r->attrs = cur_of(NULL, 0);
    r->database = r->plugin = "";
    if (!cur_le32(&c, &caps) || !cur_le32(&c, &max) || !cur_u8(&c, &r->collation) || !cur_skip(&c, 23)) return false;
    f->caps = caps & MY_OFFER;
    if ((f->caps & MY_CAP_PROTOCOL_41) == 0 || !cur_cstr(&c, &r->user, &r->user_len)) return false;
    if ((f->caps & MY_CAP_LENENC_AUTH) != 0) {
        if (!my_lenenc_str(&c, &r->auth, &r->auth_len)) return false;
    } else {
        if (!cur_u8(&c, &n) || !cur_take(&c, n, &r->auth)) return false;
        r->auth_len = n;
    }
    if ((f->caps & MY_CAP_CONNECT_WITH_DB) != 0 && !cur_cstr(&c, &r->database, &r->database_len)) return false;
    if ((f->caps & MY_CAP_PLUGIN_AUTH) != 0 && !cur_cstr(&c, &r->plugin, &r->plugin_len)) return false;
    if ((f->caps & MY_CAP_CONNECT_ATTRS) == 0 || cur_left(&c) == 0) return true;
    return my_lenenc(&c, &len) && len <= cur_left(&c) && cur_sub(&c, (size_t)len, &r->attrs);
}

static void on_response(struct my_filter *f) {
    struct response r;
    if (!read_response(f, cur_of(buf_at(&f->msg), buf_used(&f->msg)), &r)) {
        refuse(f, "08P01", "the login packet cannot be read", "Connect with a client of MySQL 4.1 or later, inside TLS.");
        return;
    }
    const char *charset = charset_of(r.collation);
    if (charset == NULL) {
        refuse(f, "22023", "the character set that the client asks for is not supported",
               "Connect with utf8mb4 (--default-character-set=utf8mb4).");
        return;
    }
    f->charset = strdup(charset);
    if (f->charset == NULL) {
        my_no_memory(f);
        return;
    }
    f->ascii = f->ascii_first = strcmp(f->charset, "utf8mb4") != 0;
    f->multi = (f->caps & MY_CAP_MULTI_STATEMENTS) != 0;
    f->sha2 = strcmp(r.plugin, my_plugin_name(MY_PLUGIN_SHA2)) == 0;
    f->clear = strcmp(r.plugin, my_plugin_name(MY_PLUGIN_CLEAR)) == 0;
    f->empty = r.auth_len == 0 || (r.auth_len == 1 && r.auth[0] == 0);
    if ((f->caps & MY_CAP_PLUGIN_AUTH) == 0) {
        refuse(f, "28000", "this client is too old: it cannot be asked for a token",
               "Use a client that knows caching_sha2_password (MySQL 5.7, MariaDB 10.2 or later).");
        return;
    }
    buf_put(&f->hello, r.user, r.user_len + 1);
    buf_put(&f->hello, r.database, r.database_len + 1);
    if (!read_attributes(f, r.attrs)) {
        refuse(f, "08P01", "the connection attributes cannot be read", NULL);
        return;
    }
    if (f->clear) keep_token(f, r.auth, r.auth_len);
    if (f->hello.failed || f->token.failed) {
        my_no_memory(f);
        return;
    }
    f->user = (const char *)buf_at(&f->hello);
    f->database = f->user + strlen(f->user) + 1;
    if (f->nkv > 0) f->kv[0].value = f->database + strlen(f->database) + 1;
    post(f, FLT_EV_HELLO);
}

static void ask_for_all(struct my_filter *f) {
    static const uint8_t full[] = {1, SHA2_FULL};
    my_put_packet(&f->base.out[FLT_CLIENT], &f->out_seq, full, sizeof full);
    f->in.seq = f->out_seq;
    f->phase = MY_FULL;
}

/* The change of the method to another; data: what goes with the name. */
static void change_to(struct my_filter *f, const char *plugin, const void *data, size_t len, enum my_phase next) {
    struct buf b = BUF_INIT(128);
    buf_u8(&b, 0xfe);
    buf_cstr(&b, plugin);
    buf_put(&b, data, len);
    my_say(f, &b);
    buf_free(&b);
    f->in.seq = f->out_seq;
    f->phase = next;
}

void my_login_ask(struct flt *base, enum flt_ask ask, const char *where) {
    static const char zeros[MY_NONCE + 1] = "no scramble counts..";
    struct my_filter *f = my_of(base);
    (void)where; /* OAUTHBEARER is not of this protocol: a token is asked for */
    if (ask == FLT_ASK_NOTHING || f->clear) {
        if (ask == FLT_ASK_NOTHING && f->clear) my_login_wipe(f);
        post(f, FLT_EV_LOGIN);
    } else if (f->connector_j && !f->empty) {
        change_to(f, my_plugin_name(MY_PLUGIN_CLEAR), NULL, 0, MY_FULL);
    } else if (f->sha2 && !f->empty) {
        ask_for_all(f);
    } else if (f->sha2) {
        post(f, FLT_EV_LOGIN); /* whoever has an empty password expects OK or an error now */
    } else {
        change_to(f, my_plugin_name(MY_PLUGIN_SHA2), zeros, sizeof zeros, MY_SWITCH);
    }
}

void my_login_packet(struct my_filter *f) {
    const uint8_t *at = buf_at(&f->msg);
    size_t len = buf_used(&f->msg);
    f->out_seq = f->in.seq;
    if (f->phase == MY_HANDSHAKE) {
        on_response(f);
    } else if (f->phase == MY_SWITCH) {
        f->empty = len == 0 || (len == 1 && at[0] == 0);
        if (f->empty)
            post(f, FLT_EV_LOGIN);
        else
            ask_for_all(f);
    } else {
        if (f->discard)
            f->too_long = true;
        else
            keep_token(f, at, len);
        if (f->token.failed)
            my_no_memory(f);
        else
            post(f, FLT_EV_LOGIN);
    }
    if (f->msg.data != NULL) gh_wipe(f->msg.data, f->msg.cap);
    buf_reset(&f->msg);
    f->discard = false;
}

void my_login_accept(struct flt *base, const struct flt_login_ok *ok) {
    struct my_filter *f = my_of(base);
    (void)ok; /* the greeting has said which connection it is */
    my_login_wipe(f);
    f->phase = MY_READY;
    my_say_ok(f);
    f->in.seq = 0;
}

void my_login_refuse(struct flt *base, const char *sqlstate, const char *message, const char *detail, const char *hint) {
    struct my_filter *f = my_of(base);
    my_login_wipe(f);
    my_say_error(f, sqlstate, message, detail, hint);
    flt_post_close(base, GH_OK, "login refused");
}
