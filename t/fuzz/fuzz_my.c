/* The whole MySQL filter (see filter_run.h). What goes to the server is a sequence of whole packets with the right numbers; its commands are those that the
 * filter passes, and every text among them was allowed or is one of the filter's own. */
#include "filters/my_wire.h"
#include "t/fuzz/filter_run.h"
#include "t/fuzz/sweep.h"
#include "t/fuzz/target.h"

#include <string.h>

static struct flt *create(void) {
    struct flt_conf conf = {.limits = {.statement = 2000, .reply = 3000, .statements = 5, .params = 40, .token = 200}, .ctx_free = free};
    return my_filter_new(&conf);
}

static void open_upstream(struct run *r) {
    static const struct flt_kv params[] = {{"time_zone", "UTC"}, {"default_transaction_read_only", "on"}};
    if (r->opened == 60) {
        flt_upstream_failed(r->f, "08001", "none", NULL, false);
        return;
    }
    flt_upstream_open(r->f, &(struct flt_upstream){.user = "u",
                                                   .password = "p",
                                                   .database = "d",
                                                   .allow_cleartext = true,
                                                   .params = params,
                                                   .nparams = 2,
                                                   .tls = r->opened % 2 == r->odd ? FLT_TLS_STARTTLS : FLT_TLS_NONE});
    r->opened++;
}

static void statement(struct run *r, const struct flt_event *ev) {
    struct flt_answer a = {.allow = !run_refused(ev->stmt.text, ev->stmt.len), .sqlstate = "42501", .message = "refused"};
    CHECK(ev->stmt.text[ev->stmt.len] == '\0');
    a.copy_in = strncmp(ev->stmt.text, "load", 4) == 0;
    a.veil = ev->stmt.len % 5 == 0 || ev->stmt.len % 11 == 4;
    a.veil_rows = ev->stmt.len % 2 == 0;
    a.limited = ev->stmt.len % 7 == 3;
    if (a.limited) a.max_rows = 1;
    if (a.allow && ev->stmt.len % 11 == 4 && ev->stmt.kind != FLT_STMT_EXECUTE) {
        a.rewritten = "do 7";
        a.rewritten_len = 4;
        a.secret = true;
    }
    if (a.allow) {
        nomem_pause();
        if (ev->stmt.kind == FLT_STMT_PREPARE) a.ctx = strdup("ctx");
        nomem_resume();
        if (ev->stmt.kind == FLT_STMT_EXECUTE) CHECK(strcmp(ev->stmt.ctx, "ctx") == 0);
        run_allow(r, a.rewritten != NULL ? a.rewritten : ev->stmt.text, a.rewritten != NULL ? a.rewritten_len : ev->stmt.len);
    }
    flt_answer(r->f, ev->stmt.id, &a);
}

static void hello(struct run *r, const struct flt_event *ev) {
    flt_login_ask(r->f, strlen(ev->login.user) % 8 == 7 ? FLT_ASK_NOTHING : FLT_ASK_PASSWORD, NULL);
}

static void login(struct run *r, const struct flt_event *ev) {
    run_mix(r, ev->login.token, ev->login.token_len);
    if (ev->login.too_long || ev->login.token_len == 3)
        flt_login_refuse(r->f, "28P01", "no", NULL, NULL);
    else
        flt_login_accept(r->f, &(struct flt_login_ok){0});
}

static void secured(struct run *r) { flt_upstream_secured(r->f, &(struct flt_secured){0}); }

static size_t message(struct run *r, const uint8_t *p, size_t n) {
    (void)r;
    struct cur c = cur_of(p, n);
    uint32_t len = 0;
    return cur_le24(&c, &len) ? MY_HEADER + (size_t)len : n;
}

static bool was_allowed(const struct run *r, const uint8_t *text, size_t len) {
    static const char *const ours[] = {"SET SESSION character_set_client = ", "SELECT @@version, "};
    for (size_t i = 0; i < 2; i++)
        if (len > strlen(ours[i]) && memcmp(text, ours[i], strlen(ours[i])) == 0) return true;
    return run_was_allowed(r, text, len);
}

/* With small limits no packet is split. Numbers above 0 belong to a login, or to the data of a file. */
static void check(const struct run *r, bool cut) {
    static const uint8_t passed[] = {
        MY_COM_INIT_DB,      MY_COM_QUERY,      MY_COM_FIELD_LIST,   MY_COM_STATISTICS,      MY_COM_PROCESS_INFO,
        MY_COM_PROCESS_KILL, MY_COM_PING,       MY_COM_STMT_PREPARE, MY_COM_STMT_EXECUTE,    MY_COM_STMT_SEND_LONG_DATA,
        MY_COM_STMT_CLOSE,   MY_COM_STMT_RESET, MY_COM_SET_OPTION,   MY_COM_RESET_CONNECTION};
    struct cur c = cur_of(buf_at(&r->out[FLT_SERVER]), buf_used(&r->out[FLT_SERVER]));
    while (cur_left(&c) > 0) {
        uint32_t n;
        uint8_t seq;
        const uint8_t *at;
        bool all = cur_le24(&c, &n) && cur_u8(&c, &seq) && n < MY_PACKET_MAX && cur_take(&c, n, &at);
        if (cut && !all) return;
        CHECK(all);
        if (seq != 0) continue;
        CHECK(n > 0 && memchr(passed, at[0], sizeof passed) != NULL);
        if (at[0] == MY_COM_QUERY || at[0] == MY_COM_STMT_PREPARE) CHECK(was_allowed(r, at + 1, n - 1));
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
                                          .no_memory = "out of memory"};
