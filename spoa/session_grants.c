/* SHOW gatehouse.grants: what this session may do with what, as rows. The server gets a SELECT that holds them, so that every protocol, client and state of a
 * transaction gets its answer in the usual way. */
#include "spoa/session_int.h"

#include "policy/grants.h"
#include "spoa/clock.h"
#include "spoa/statement.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS "(\"schema\", \"relation\", \"column\", \"actions\", \"shown\", \"rows\", \"write\", \"rule\", \"approval\")"
#define BYTES   (8u << 20)

bool session_shows_grants(const struct pol_facts *f) {
    if (f->nstmts != 1 || f->stmts[0].kind != POL_K_SHOW || f->stmts[0].nsettings != 1) return false;
    return f->stmts[0].settings[0].show && strcmp(f->stmts[0].settings[0].name, "gatehouse.grants") == 0;
}

/* --- what must be agreed to --- */

/* Of one relation, and kept for all of its columns. */
struct terms {
    const struct pol_role *role;
    const char *schema, *relation;
    char actions[100];          /* of it; "": of none yet */
    struct buf rules, approval; /* the rules that grant them; "update: 1 of dbas", or "no"; each with a NUL */
    bool everything;            /* names make no difference */
};

static void add_approvers(struct buf *b, const struct pol_ask *ask, const char *action) {
    buf_str(b, buf_used(b) > 0 ? "; " : "");
    buf_str(b, action);
    for (size_t i = 0; i < ask->n; i++) {
        char number[24];
        snprintf(number, sizeof number, "%s%u of ", i > 0 ? " and " : ": ", ask->by[i].quorum);
        buf_str(b, number);
        for (const char *const *g = ask->by[i].approvers; *g != NULL; g++) {
            if (g > ask->by[i].approvers) buf_str(b, ", ");
            buf_str(b, *g);
        }
    }
}

/* Each rule once. */
static void add_rule(struct buf *b, const char *const *names, size_t n) {
    for (size_t i = 0; i + 1 < n; i++)
        if (strcmp(names[i], names[n - 1]) == 0) return;
    if (buf_used(b) > 0) buf_str(b, ", ");
    buf_str(b, names[n - 1]);
}

/* One action on it, as the verdict on a statement would say, which a WHERE or a LIMIT would not refuse. */
static void judge_action(struct terms *t, unsigned action, struct pol_verdict *v) {
    static const enum pol_kind kinds[] = {POL_K_SELECT, POL_K_INSERT, POL_K_UPDATE, POL_K_DELETE}; /* by the action's bit */
    size_t at = 0;
    while (at + 1 < sizeof kinds / sizeof *kinds && action >> at != 1) at++;
    struct pol_relation rel = {.schema = t->schema, .name = t->relation, .access = action};
    struct pol_stmt stmt = {.kind = kinds[at],
                            .tag = pol_kind_name(kinds[at]),
                            .relations = &rel,
                            .nrelations = 1,
                            .where = true,
                            .limited = true,
                            .reads_only = action == POL_SELECT};
    pol_judge(t->role, &(struct pol_facts){.nstmts = 1, .stmts = &stmt}, v);
}

static bool find_terms(struct terms *t, const struct pol_grant *g) {
    const char *names[POL_ASKS * 4] = {NULL};
    size_t n = 0;
    bool same = t->everything || (t->schema == g->schema && t->relation == g->relation);
    if (same && strcmp(t->actions, g->actions) == 0) return true;
    buf_reset(&t->rules);
    buf_reset(&t->approval);
    t->schema = g->schema;
    t->relation = g->relation;
    snprintf(t->actions, sizeof t->actions, "%s", g->actions);
    for (unsigned action = POL_SELECT; action <= POL_DELETE; action <<= 1) {
        struct pol_verdict v;
        if (strstr(g->actions, pol_action_name(action)) == NULL) continue;
        judge_action(t, action, &v);
        if (v.effect == POL_ASK) {
            add_approvers(&t->approval, &v.ask, pol_action_name(action));
            for (size_t i = 0; i < v.ask.n; i++) {
                names[n++] = v.ask.by[i].rule;
                add_rule(&t->rules, names, n);
            }
        } else if (v.effect == POL_ALLOW && v.rule[0] != '\0') {
            names[n++] = v.rule;
            add_rule(&t->rules, names, n);
        }
    }
    if (buf_used(&t->approval) == 0) buf_str(&t->approval, "no");
    buf_u8(&t->approval, 0);
    buf_u8(&t->rules, 0);
    return !t->approval.failed && !t->rules.failed;
}

static void free_terms(struct terms *t) {
    buf_free(&t->rules);
    buf_free(&t->approval);
}

/* --- rows --- */

struct text {
    struct buf b;
    size_t rows;
    struct terms terms;
};

/* Of both, in the order of their columns. */
#define VALUES 9
static bool values_of(struct terms *t, const struct pol_grant *g, const char *values[VALUES]) {
    if (!find_terms(t, g)) return false;
    const char *rule = g->rule[0] != '\0' ? g->rule : (const char *)buf_at(&t->rules);
    const char *const all[VALUES] = {
        g->schema, g->relation, g->column, g->actions, g->shown, g->rows, g->write, rule, (const char *)buf_at(&t->approval)};
    memcpy(values, all, sizeof all);
    return true;
}

static struct terms terms_of(const struct pol_role *role) {
    return (struct terms){.role = role, .rules = BUF_INIT(65536), .approval = BUF_INIT(65536), .everything = pol_role_everything(role)};
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
    if (!values_of(&t->terms, g, values)) return false;
    buf_str(&t->b, t->rows++ == 0 ? "(" : ", (");
    for (size_t i = 0; i < VALUES; i++) put_literal(&t->b, values[i], i == VALUES - 1);
    buf_u8(&t->b, ')');
    return !t->b.failed;
}

static bool write_pg(const struct pol_role *role, struct buf *out) {
    static const struct pol_grant none = {"", "", "", "", "", "", "", ""};
    struct text t = {.b = *out, .terms = terms_of(role)};
    buf_str(&t.b, "SELECT * FROM (VALUES ");
    bool ok = pol_role_grants(role, put_row, &t);
    bool empty = t.rows == 0;
    if (empty) put_row(&t, &none);
    buf_str(&t.b, ") AS \"gatehouse.grants\"" COLUMNS);
    if (empty) buf_str(&t.b, " LIMIT 0");
    *out = t.b;
    free_terms(&t.terms);
    return ok;
}

struct json_rows {
    json_t *list;
    struct terms terms;
};

static bool add_row(void *arg, const struct pol_grant *g) {
    struct json_rows *t = arg;
    const char *values[VALUES];
    json_t *row = json_array();
    bool ok = row != NULL && values_of(&t->terms, g, values);
    for (size_t i = 0; ok && i < VALUES; i++) ok = json_array_append_new(row, json_string(values[i])) == 0;
    if (ok) return json_array_append_new(t->list, row) == 0;
    json_decref(row);
    return false;
}

/* As JSON in a hexadecimal literal, which means the same in every sql_mode: MySQL and MariaDB have no list of rows that both understand. */
static bool write_my(const struct pol_role *role, struct buf *out) {
    static const char *const names[VALUES] = {"schema", "relation", "column", "actions", "shown", "rows", "write", "rule", "approval"};
    struct json_rows rows = {.list = json_array(), .terms = terms_of(role)};
    char *text = rows.list != NULL && pol_role_grants(role, add_row, &rows) ? json_dumps(rows.list, JSON_COMPACT) : NULL;
    json_decref(rows.list);
    free_terms(&rows.terms);
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
    bool large = b.failed; /* or there was no memory for it */
    if (ok && !b.failed && (out.sql = malloc(buf_used(&b) + 1)) != NULL) {
        out.len = buf_used(&b);
        memcpy(out.sql, buf_at(&b), out.len);
        out.sql[out.len] = '\0';
    }
    buf_free(&b);
    if (out.sql != NULL) return rewrite_of(POL_REWRITE_DONE, &out, why);
    if (large)
        stmt_deny(why, "54000", "what you may do does not fit into one answer, which has 8 MB",
                  "Ask who keeps the policy what it says of you.");
    else
        stmt_deny(why, "53200", "out of memory", "Try again later.");
    return NULL;
}

/* --- in the parse pool: all relations of the catalog are judged --- */

struct writing {
    struct pol_role *role; /* its own */
    bool mysql;
    struct rewrite *made; /* NULL: why not */
    struct pol_verdict why;
};

static void writing_free(struct writing *w) {
    if (w == NULL) return;
    rewrite_unref(w->made);
    pol_role_free(w->role);
    free(w);
}

static void work(struct parse_job *job) {
    struct writing *w = job->held;
    w->made = write_rows(w->role, w->mysql, &w->why);
}

static void conclude(struct session *s) {
    if (s->q->verdict.effect == POL_ALLOW)
        session_forward(s);
    else
        session_refuse_statement(s);
}

static void run_written(struct worker *worker, struct wmsg *m) {
    struct parse_job *job = (struct parse_job *)(void *)((char *)m - offsetof(struct parse_job, msg));
    struct session *s = job->owner;
    struct writing *w = job->held;
    (void)worker;
    if (session_from_pool(s, job)) {
        s->q->rewrite = w->made;
        w->made = NULL;
        if (s->q->rewrite == NULL) s->q->verdict = w->why;
        conclude(s);
        pump_run(&s->pump);
    }
    writing_free(w);
    parse_job_free(job);
    session_unref(s);
}

/* Also for who is not restricted, and has no catalog otherwise. */
static struct writing *writing_new(const struct session *s, struct pol_catalog *now) {
    struct writing *w = calloc(1, sizeof *w);
    if (w == NULL) return NULL;
    w->role = identity_role(NULL, s->snap, s->who, s->db, NULL);
    if (w->role == NULL) {
        free(w);
        return NULL;
    }
    w->mysql = s->mysql;
    pol_role_use_catalog(w->role, now, true);
    pol_role_at(w->role, clock_seconds());
    stmt_deny(&w->why, "57P03", "gatehouse is shutting down", "Connect again in a moment."); /* unless a thread takes it */
    return w;
}

static void answer(struct session *s) {
    struct question *q = s->q;
    uint64_t generation;
    struct catalog *c = catalogs_find(s->ws->d->catalogs, s->db->name);
    struct pol_catalog *now = c == NULL ? NULL : catalog_get(c, &generation);
    struct writing *w = now == NULL ? NULL : writing_new(s, now);
    struct stmt_pooled what = {.text = "", .work = work, .held = w, .run = run_written};
    q->verdict = (struct pol_verdict){.effect = POL_ALLOW, .rule = ""};
    if (now == NULL)
        stmt_deny(&q->verdict, "57P03", "what you may do is not known yet: the database's catalog has not been read",
                  "Try again in a moment. Whoever runs the gate finds the reason in its log.");
    else if (w == NULL)
        stmt_deny(&q->verdict, "53200", "out of memory", "Try again later.");
    pol_catalog_unref(now);
    if (w != NULL && session_in_pool(s, &what)) return;
    writing_free(w);
    conclude(s);
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
