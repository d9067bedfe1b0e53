/* The whole PostgreSQL filter (see filter_run.h). What goes to the server is a sequence of well-formed messages, and every Query and Parse text among them was
 * allowed. */
#include "filters/pg_wire.h"
#include "t/fuzz/filter_run.h"
#include "t/fuzz/target.h"

#include <string.h>

static struct flt *create(void) {
    static const struct flt_kv pins[] = {{"client_encoding", "UTF8"}};
    struct flt_conf conf = {
        .limits = {.statement = 2000, .reply = 3000, .statements = 5, .portals = 5, .inflight = 9, .params = 40}, .pins = pins, .npins = 1};
    return pg_filter_new(&conf);
}

static void open_upstream(struct run *r) {
    r->starttls = r->opened % 2 == r->odd;
    r->opened++;
    flt_upstream_open(
        r->f,
        &(struct flt_upstream){
            .user = "u", .password = "p", .database = "d", .allow_cleartext = true, .tls = r->starttls ? FLT_TLS_STARTTLS : FLT_TLS_NONE});
}

static void hello(struct run *r, const struct flt_event *ev) {
    flt_login_ask(r->f,
                  strlen(ev->login.user) % 8 == 7   ? FLT_ASK_NOTHING
                  : strlen(ev->login.user) % 8 == 6 ? FLT_ASK_OAUTHBEARER
                                                    : FLT_ASK_PASSWORD,
                  "{}");
}

static void login(struct run *r, const struct flt_event *ev) {
    static const struct flt_kv params[] = {{"server_version", "15"}};
    if (ev->login.too_long || ev->login.discovery)
        flt_login_refuse(r->f, "28P01", "no", NULL, NULL);
    else
        flt_login_accept(r->f, &(struct flt_login_ok){ev->login.token_len % 2 == 0 ? params : NULL, 1, 1, 2});
}

static void statement(struct run *r, const struct flt_event *ev) {
    struct flt_answer a = {.allow = !run_refused(ev->stmt.text, ev->stmt.len), .sqlstate = "42501", .message = "refused"};
    if (a.allow && ev->stmt.len > 4 && strncmp(ev->stmt.text, "rewr", 4) == 0 && ev->stmt.kind != FLT_STMT_EXECUTE) {
        a.rewritten = "other";
        a.rewritten_len = 5;
    }
    a.copy_in = ev->stmt.len > 4 && strncmp(ev->stmt.text, "copy", 4) == 0;
    a.forget_all_statements = ev->stmt.len > 4 && strncmp(ev->stmt.text, "disc", 4) == 0;
    static const char *const dropped[] = {"s", ""}, *const closed[] = {"p", "q"};
    bool drops = ev->stmt.len > 4 && strncmp(ev->stmt.text, "dro", 3) == 0;
    a.forget_statements = dropped;
    a.forget_portals = closed;
    a.nforget_statements = drops ? ev->stmt.len % 3 : 0;
    a.nforget_portals = drops ? (ev->stmt.len + 1) % 3 : 0;
    a.forget_all_portals = drops && ev->stmt.len > 8;
    a.forgets_unread = drops && ev->stmt.len > 12;
    a.veil = ev->stmt.len > 4 && strncmp(ev->stmt.text, "veil", 4) == 0;
    a.limited = ev->stmt.len > 4 && strncmp(ev->stmt.text, "rows", 4) == 0;
    a.keep_rows = ev->stmt.len % 4;
    a.keep_bytes = 8 * (ev->stmt.len % 32);
    a.max_rows = 1;
    a.max_bytes = ev->stmt.len;
    static const struct flt_use portals[] = {{.name = "p"}, {.name = "", .made = FLT_MADE_SQL}};
    a.fetched = portals;
    a.nfetched = ev->stmt.len > 4 && strncmp(ev->stmt.text, "fet", 3) == 0 ? 1 + ev->stmt.len % 2 : 0;
    static const struct flt_use statements[] = {{.name = "s"}, {.name = "t", .made = FLT_MADE_OLD}};
    a.executed = statements;
    a.nexecuted = ev->stmt.len > 4 && strncmp(ev->stmt.text, "exe", 3) == 0 ? 1 + ev->stmt.len % 2 : 0;
    a.many = ev->stmt.len % 3 == 0;
    if (a.allow) run_allow(r, a.rewritten != NULL ? a.rewritten : ev->stmt.text, a.rewritten != NULL ? a.rewritten_len : ev->stmt.len);
    flt_answer(r->f, ev->stmt.id, &a);
}

static void secured(struct run *r) {
    flt_upstream_secured(r->f, &(struct flt_secured){.end_point = (const uint8_t *)"0123", .end_point_len = 4});
}

static size_t message(struct run *r, const uint8_t *p, size_t n) {
    if (r->starttls) { /* what is behind it comes out of TLS */
        r->starttls = false;
        return 1;
    }
    struct cur c = cur_of(p, n);
    uint32_t len = 0;
    return cur_skip(&c, 1) && cur_be32(&c, &len) && len >= 4 ? 1 + (size_t)len : n;
}

static void check(const struct run *r, bool cut) {
    struct cur c = cur_of(buf_at(&r->out[FLT_SERVER]), buf_used(&r->out[FLT_SERVER]));
    while (cur_left(&c) > 0) {
        uint8_t type = 0;
        uint32_t n;
        const uint8_t *at;
        size_t left = cur_left(&c);
        if (c.p[0] != 0) CHECK(cur_u8(&c, &type)); /* a start-up packet has no type */
        if (cut && (left < 5 || !cur_be32(&c, &n) || n < 4)) return;
        CHECK(cut || (left >= 4 && cur_be32(&c, &n) && n >= 4));
        if (n - 4 > cur_left(&c)) { /* only what streams may be cut off by the end of the session */
            CHECK(cut || type == 'd' || type == 'B' || type == 'f');
            return;
        }
        CHECK(cur_take(&c, n - 4, &at));
        CHECK(type == 0 || strchr("QPBEDCHSXdcfp", type) != NULL);
        if (type != 'Q' && type != 'P') continue;
        struct cur body = cur_of(at, n - 4);
        const char *text;
        size_t len;
        CHECK(type == 'Q' || cur_cstr(&body, &text, &len));
        CHECK(cur_cstr(&body, &text, &len));
        CHECK(run_was_allowed(r, text, len));
    }
}

const struct run_protocol run_protocol = {.create = create,
                                          .open = open_upstream,
                                          .hello = hello,
                                          .login = login,
                                          .statement = statement,
                                          .secured = secured,
                                          .message = message,
                                          .check = check,
                                          .no_memory = "C53200"};
