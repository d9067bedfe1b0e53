/* Lines that a daemon reads back from its own files, and texts that it writes there. Input: a letter, and
 *   j: a line of the journal, without its newline; J: an event, which becomes such a line;
 *   o: the text of an order (what its node has signed); n: an address or a network of a block;
 *   s: a byte of how it is read (as in fuzz_my_parse.c; 32: by PostgreSQL, 64: by nobody), and a statement, whose secrets are hidden.
 * Checked besides memory errors: what is written is read back alike, and a line of which a bit is changed is none; an order that is read is written as it was; a network
 * has itself and its own address, and nothing of the other family; of accounts no literal is shown behind BY. */
#include "policy/facts_my.h"
#include "policy/my_lex.h"
#include "policy/my_words.h"
#include "spoa/journal.h"
#include "spoa/order_int.h"
#include "spoa/secret_sql.h"
#include "t/fuzz/sweep.h"
#include "t/fuzz/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void check_line(const char *line, size_t len) {
    uint64_t seq;
    const char *json;
    size_t n;
    if (!jnl_line_parse(line, len, &seq, &json, &n)) return;
    CHECK(seq > 0 && json >= line && n <= len - (size_t)(json - line));
}

static void write_line(const char *event, size_t len) {
    struct buf b = BUF_INIT(1 << 20);
    uint64_t seq, number = 1 + len * 7919;
    const char *json;
    size_t n;
    if (memchr(event, '\n', len) != NULL) return;
    size_t at = jnl_line_begin(&b, number);
    buf_put(&b, event, len);
    jnl_line_end(&b, at);
    char *line = (char *)b.data;
    size_t used = buf_used(&b);
    CHECK(!b.failed && used > 0 && line[used - 1] == '\n');
    bool read = jnl_line_parse(line, used - 1, &seq, &json, &n);
    CHECK(!read || (seq == number && n == len && memcmp(json, event, len) == 0));
    CHECK(read || len == 0);
    size_t step = 1 + used / 97;
    for (size_t i = 0; i + 1 < used; i += step) {
        line[i] = (char)(line[i] ^ 1 << len % 8);
        CHECK(!jnl_line_parse(line, used - 1, &seq, &json, &n));
        line[i] = (char)(line[i] ^ 1 << len % 8);
    }
    buf_free(&b);
}

static void check_order(const char *text, size_t len) {
    const char *node = NULL, *again_node = NULL;
    struct ord_entry *e = ord_parse(text, len, "signature", &node);
    if (e == NULL) return;
    CHECK(node != NULL && e->seq > e->prev && e->time_ms > 0 && strncmp(e->text, text, len) == 0);
    json_t *line;
    char *written = ord_line(e);
    CHECK(written != NULL && (line = json_loads(written, 0, NULL)) != NULL);
    const char *said = json_string_value(json_object_get(line, "signed"));
    CHECK(said != NULL);
    struct ord_entry *again = ord_parse(said, strlen(said), "signature", &again_node);
    CHECK(again != NULL && again->seq == e->seq && again->op == e->op && again->until_ms == e->until_ms && strcmp(node, again_node) == 0);
    if (e->op == ORD_BLOCK && e->what == ORD_ADDRESS) CHECK(ord_net_has(&e->net, &again->net));
    ord_entry_free(again);
    ord_entry_free(e);
    json_decref(line);
    free(written);
}

static void check_net(const char *text, size_t len) {
    char copy[100];
    struct ord_net net, loop4, loop6;
    if (len >= sizeof copy) return;
    memcpy(copy, text, len);
    copy[len] = '\0';
    if (!ord_net_parse(copy, &net)) return;
    CHECK(net.bits <= (net.family == AF_INET ? 32 : 128) && ord_net_has(&net, &net));
    CHECK(ord_net_parse("127.0.0.1", &loop4) && ord_net_parse("::1", &loop6));
    CHECK(!ord_net_has(&net, net.family == AF_INET ? &loop6 : &loop4));
    if (net.bits == 0) CHECK(ord_net_has(&net, net.family == AF_INET ? &loop4 : &loop6));
}

/* --- secrets in statements --- */

#define STATEMENT_MAX 4096

static struct my_options options_of(uint8_t byte) {
    struct my_options o = {.server = byte & 1 ? MY_MYSQL : MY_MARIADB, .default_db = "shop", .multi = (byte & 2) == 0};
    o.version = o.server == MY_MYSQL ? 90704 : 101119;
    o.mode = (unsigned)(byte >> 2) & (MY_ANSI_QUOTES | MY_NO_BACKSLASH_ESCAPES);
    return o;
}

static const struct pol_facts postgresql = {.dialect = POL_POSTGRESQL};

/* NULL: nobody knows how it is read. To be freed when it is not postgresql. */
static const struct pol_facts *facts_of_text(const char *sql, size_t len, uint8_t byte) {
    const struct my_options o = options_of(byte);
    struct pol_parse_error err;
    return byte & 64 ? NULL : byte & 32 ? &postgresql : pol_facts_my(sql, len, &o, &err);
}

static void free_facts(const struct pol_facts *f) {
    if (f != &postgresql) pol_facts_free((struct pol_facts *)(uintptr_t)f);
}

static bool is_account(const struct pol_facts *f) {
    return f != NULL && f->dialect == POL_MYSQL && f->nstmts == 1 && f->stmts[0].kind == POL_K_GRANT;
}

static void nothing_behind_by(const char *shown, size_t len, const struct my_options *o) {
    struct pol_parse_error err;
    struct my_tokens t;
    if (!my_lex(shown, len, o, &t, &err)) return;
    for (uint32_t i = 1; i < t.n; i++) {
        bool by = t.t[i - 1].kind == MY_T_WORD && t.t[i - 1].word == W_BY;
        bool literal = t.t[i].kind == MY_T_STRING || t.t[i].kind == MY_T_NSTRING || t.t[i].kind == MY_T_BINARY;
        CHECK(!by || !literal || (t.t[i].end - t.t[i].at == 5 && memcmp(shown + t.t[i].at, "'***'", 5) == 0));
    }
    free(t.t);
}

static void check_secrets(const uint8_t *data, size_t size) {
    if (size == 0 || size > STATEMENT_MAX) return;
    const struct my_options o = options_of(data[0]);
    size_t len = size - 1, n = 0;
    bool failed = true;
    char *sql = malloc(len == 0 ? 1 : len); /* a text that ends where its memory ends */
    if (sql == NULL) return;
    memcpy(sql, data + 1, len);
    const struct pol_facts *f = facts_of_text(sql, len, data[0]);
    char *shown = secret_sql_hide(sql, len, f, &n, &failed);
    CHECK(!failed && (shown == NULL || (n <= 8 * len + 64 && shown[n] == '\0')));
    CHECK(shown == NULL || secret_sql_may(f) || f == &postgresql);
    if (is_account(f)) nothing_behind_by(shown != NULL ? shown : sql, shown != NULL ? n : len, &o);
    free(shown);
    free_facts(f);
    free(sql);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0 || size > 70000) return 0;
    const char *rest = (const char *)data + 1;
    switch (data[0]) {
    case 'j': check_line(rest, size - 1); break;
    case 'J': write_line(rest, size - 1); break;
    case 'o': check_order(rest, size - 1); break;
    case 'n': check_net(rest, size - 1); break;
    case 's': check_secrets(data + 1, size - 1); break;
    default: break;
    }
    return 0;
}

#ifdef FUZZ_SWEEP
struct sweeping {
    const char *text;
    size_t len;
    bool good;
};

static void faulty(void *arg) {
    const struct sweeping *s = arg;
    const char *node;
    struct ord_entry *e = ord_parse(s->text, s->len, "signature", &node);
    CHECK(e == NULL || s->good);
    ord_entry_free(e);
}

struct hiding {
    const char *sql;
    size_t len, n;
    const struct pol_facts *facts;
    char *shown;
};

/* Without memory it is said so, and nothing is shown. */
static void hide_faulty(void *arg) {
    const struct hiding *h = arg;
    size_t n = 0;
    bool failed = false;
    char *shown = secret_sql_hide(h->sql, h->len, h->facts, &n, &failed);
    CHECK(!failed || shown == NULL);
    CHECK(failed || (shown == NULL) == (h->shown == NULL));
    CHECK(failed || shown == NULL || (n == h->n && memcmp(shown, h->shown, n) == 0));
    free(shown);
}

static void sweep_secrets(const uint8_t *data, size_t size) {
    bool failed;
    if (size == 0 || size > STATEMENT_MAX) return;
    struct hiding h = {.sql = (const char *)data + 1, .len = size - 1};
    h.facts = facts_of_text(h.sql, h.len, data[0]);
    h.shown = secret_sql_hide(h.sql, h.len, h.facts, &h.n, &failed);
    sweep(hide_faulty, &h);
    free(h.shown);
    free_facts(h.facts);
}

void fuzz_sweep(const uint8_t *data, size_t size) {
    const char *node;
    if (size > 0 && data[0] == 's') sweep_secrets(data + 1, size - 1);
    if (size == 0 || size > 70000 || data[0] != 'o') return;
    struct sweeping s = {.text = (const char *)data + 1, .len = size - 1};
    struct ord_entry *e = ord_parse(s.text, s.len, "signature", &node);
    s.good = e != NULL;
    ord_entry_free(e);
    sweep(faulty, &s);
}
#endif
