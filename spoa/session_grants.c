/* SHOW gatehouse.grants: what this session may do with what, as rows. The server gets a SELECT that holds them, so that every protocol, client and state of a
 * transaction gets its answer in the usual way. */
#include "spoa/session_int.h"

#include "policy/grants.h"
#include "spoa/statement.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS "(\"schema\", \"relation\", \"column\", \"actions\", \"shown\", \"rows\", \"write\", \"rule\")"
#define BYTES   (4u << 20)

bool session_shows_grants(const struct pol_facts *f) {
    if (f->nstmts != 1 || f->stmts[0].kind != POL_K_SHOW || f->stmts[0].nsettings != 1) return false;
    return f->stmts[0].settings[0].show && strcmp(f->stmts[0].settings[0].name, "gatehouse.grants") == 0;
}

struct text {
    struct buf b;
    size_t rows;
};

/* Of both, in the order of their columns. */
#define VALUES 8
static void values_of(const struct pol_grant *g, const char *values[VALUES]) {
    const char *const all[VALUES] = {g->schema, g->relation, g->column, g->actions, g->shown, g->rows, g->write, g->rule};
    memcpy(values, all, sizeof all);
}

/* standard_conforming_strings is on: a quote is all that ends a literal. */
static void put_literal(struct buf *b, const char *s, bool last) {
    buf_u8(b, '\'');
    for (; *s != '\0'; s++) {
        if (*s == '\'') buf_u8(b, '\'');
        buf_u8(b, (uint8_t)*s);
    }
    buf_str(b, last ? "'::pg_catalog.text" : "'::pg_catalog.text, ");
}

static bool put_row(void *arg, const struct pol_grant *g) {
    struct text *t = arg;
    const char *values[VALUES];
    values_of(g, values);
    buf_str(&t->b, t->rows++ == 0 ? "(" : ", (");
    for (size_t i = 0; i < VALUES; i++) put_literal(&t->b, values[i], i == VALUES - 1);
    buf_u8(&t->b, ')');
    return !t->b.failed;
}

static bool write_pg(const struct pol_role *role, struct buf *out) {
    static const struct pol_grant none = {"", "", "", "", "", "", "", ""};
    struct text t = {.b = *out};
    buf_str(&t.b, "SELECT * FROM (VALUES ");
    bool ok = pol_role_grants(role, put_row, &t);
    bool empty = t.rows == 0;
    if (empty) put_row(&t, &none);
    buf_str(&t.b, ") AS \"gatehouse.grants\"" COLUMNS);
    if (empty) buf_str(&t.b, " LIMIT 0");
    *out = t.b;
    return ok;
}

static bool add_row(void *arg, const struct pol_grant *g) {
    const char *values[VALUES];
    json_t *row = json_array();
    values_of(g, values);
    bool ok = row != NULL;
    for (size_t i = 0; ok && i < VALUES; i++) ok = json_array_append_new(row, json_string(values[i])) == 0;
    if (ok) return json_array_append_new(arg, row) == 0;
    json_decref(row);
    return false;
}

/* As JSON in a hexadecimal literal, which means the same in every sql_mode: MySQL and MariaDB have no list of rows that both understand. */
static bool write_my(const struct pol_role *role, struct buf *out) {
    static const char *const names[VALUES] = {"schema", "relation", "column", "actions", "shown", "rows", "write", "rule"};
    json_t *rows = json_array();
    char *text = rows != NULL && pol_role_grants(role, add_row, rows) ? json_dumps(rows, JSON_COMPACT) : NULL;
    json_decref(rows);
    if (text == NULL) return false;
    buf_str(out, "SELECT * FROM JSON_TABLE(CONVERT(x'");
    buf_hex(out, text, strlen(text));
    free(text);
    buf_str(out, "' USING utf8mb4), '$[*]' COLUMNS (");
    for (size_t i = 0; i < VALUES; i++) {
        char column[64];
        snprintf(column, sizeof column, "%s`%s` TEXT CHARACTER SET utf8mb4 PATH '$[%zu]'", i > 0 ? ", " : "", names[i], i);
        buf_str(out, column);
    }
    buf_str(out, ")) AS `gatehouse.grants`");
    return true;
}

static struct rewrite *write_rows(const struct pol_role *role, bool mysql, struct pol_verdict *why) {
    struct buf b = BUF_INIT(BYTES);
    struct pol_rewritten out = {0};
    bool ok = mysql ? write_my(role, &b) : write_pg(role, &b);
    if (ok && !b.failed && (out.sql = malloc(buf_used(&b) + 1)) != NULL) {
        out.len = buf_used(&b);
        memcpy(out.sql, buf_at(&b), out.len);
        out.sql[out.len] = '\0';
    }
    buf_free(&b);
    if (out.sql != NULL) return rewrite_of(POL_REWRITE_DONE, &out, why);
    stmt_deny(why, "53200", "out of memory", "Try again later.");
    return NULL;
}

/* Also for who is not restricted, and has no catalog otherwise. */
static void answer(struct session *s) {
    struct question *q = s->q;
    uint64_t generation;
    struct catalog *c = catalogs_find(s->ws->d->catalogs, s->db->name);
    struct pol_catalog *now = c == NULL ? NULL : catalog_get(c, &generation);
    struct pol_role *role = now == NULL ? NULL : identity_role(NULL, s->snap, s->who, s->db, NULL);
    q->verdict = (struct pol_verdict){.effect = POL_ALLOW, .rule = ""};
    if (now == NULL)
        stmt_deny(&q->verdict, "57P03", "what you may do is not known yet: the database's catalog has not been read",
                  "Try again in a moment. Whoever runs the gate finds the reason in its log.");
    else if (role == NULL)
        stmt_deny(&q->verdict, "53200", "out of memory", "Try again later.");
    else {
        pol_role_use_catalog(role, now, true);
        q->rewrite = write_rows(role, s->mysql, &q->verdict);
    }
    pol_role_free(role);
    pol_catalog_unref(now);
    if (q->verdict.effect == POL_ALLOW)
        session_forward(s);
    else
        session_refuse_statement(s);
}

void session_show_grants(struct session *s) {
    struct question *q = s->q;
    q->grants = true;
    if (q->prep == NULL) {
        if (!session_want_catalog(s, answer)) answer(s);
        return;
    }
    if (q->prep->epoch == s->epoch) {
        q->verdict = (struct pol_verdict){.effect = POL_ALLOW, .rule = ""};
        session_forward(s);
        return;
    }
    stmt_deny(&q->verdict, "26000", "what you may do has changed since this was prepared", "Prepare it again.");
    session_refuse_statement(s);
}
