/* What the worst statements of a size cost to read, judge and rewrite: bench_worst [BYTES [NAME|all [GLOBS]]], with so many rules more that might be about each relation. Each shape repeats what somebody would choose who wants to hold up a worker: many relations,
 * names that must be looked up in all of them, stars of stars, depth. Milliseconds of processor time, the least of three: of all of it, and of what a session's worker does of it before it leaves the rest
 * to the parse pool; and what came of it. What holds the worker longest comes last. Build without sanitizers. */
#include "policy/facts_my.h"
#include "policy/rewrite.h"
#include "spoa/ledger_event.h"
#include "spoa/record.h"
#include "spoa/statement.h"

#include "t/policy/shop_catalog.h"
#include "t/policy/shop_my_catalog.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char policy_text[] =
    "version: 1\ndatabases: { shop: {}, shop_my: {} }\nrules:\n"
    "  - name: masks\n    groups: agents\n    database: [shop, shop_my]\n    allow: all\n    on: [\"*.customers\"]\n"
    "    columns: { email: { mask: email }, phone: { mask: 'null' }, card_number: { mask: { last: 4 } }, '*': visible }\n"
    "    rows: region = 'eu'\n"
    "  - name: orders\n    groups: agents\n    database: [shop, shop_my]\n    allow: all\n    on: [\"*.orders\"]\n";

/* HEAD, UNIT once and again, MID, CLOSE as often, TAIL. '#' in UNIT is its number, '^' the number before. */
struct shape {
    const char *name, *head, *unit, *mid, *close, *tail;
    bool pg, my;
};
#define BOTH true, true
#define PG   true, false
#define MY   false, true

static const struct shape shapes[] = {
    {"list of constants", "SELECT * FROM customers WHERE id IN (1", ",1", "", "", ")", BOTH},
    {"list of columns", "SELECT * FROM customers WHERE email IN ('a'", ",email", "", "", ")", BOTH},
    {"columns", "SELECT id", ",email", " FROM customers", "", "", BOTH},
    {"columns with tables", "SELECT c.id", ",c.email", " FROM customers AS c", "", "", BOTH},
    {"tables", "SELECT 1 FROM customers AS c", ",customers AS c#", "", "", "", BOTH},
    {"tables, all columns", "SELECT * FROM customers AS c", ",customers AS c#", "", "", "", BOTH},
    {"tables, each one's columns", "SELECT * FROM customers AS c", ",orders AS o#", "", "", "", BOTH},
    {"joins", "SELECT 1 FROM customers AS c0", " JOIN customers AS c# ON c#.id=c^.id", "", "", "", BOTH},
    {"joins using", "SELECT * FROM customers AS c0", " JOIN customers AS c# USING(id)", "", "", "", BOTH},
    {"joins using everything", "SELECT * FROM customers AS c0", " JOIN customers AS c# USING(id,name,email,phone)", "", "", "", BOTH},
    {"natural joins", "SELECT * FROM customers AS c0", " NATURAL JOIN customers AS c#", "", "", "", BOTH},
    {"joins in parentheses", "SELECT * FROM ", "(", "customers AS c", " JOIN customers AS c# ON true)", "", BOTH},
    {"names in many tables", "SELECT 1 FROM customers AS c0", ",orders AS c#", " WHERE 1 IN (email", ",email", ")", BOTH},
    {"names in no table", "SELECT 1 FROM customers AS c0", ",orders AS c#", " WHERE 1 IN (id", ",nothing", ")", BOTH},
    {"whole rows", "SELECT 1 FROM customers AS c WHERE (c.*) IN ((c.*)", ",(c.*)", ")", "", "", PG},
    {"rows as values", "SELECT c", ",c", " FROM customers AS c", "", "", PG},
    {"stars", "SELECT c.*", ",c.*", " FROM customers AS c", "", "", BOTH},
    {"derived tables", "SELECT * FROM ", "(SELECT * FROM ", "customers", ") AS d#", "", BOTH},
    {"derived tables, doubled", "SELECT * FROM ", "(SELECT a.*,b.* FROM orders AS b,", "(SELECT id FROM customers)", " AS a) ", " AS z",
     BOTH},
    {"subselects", "SELECT ", "(SELECT ", "email FROM customers", " LIMIT 1)", "", BOTH},
    {"subselects around one name", "SELECT 1 FROM customers AS c WHERE ", "EXISTS (SELECT 1 FROM orders WHERE ", "email IS NULL", ")", "",
     BOTH},
    {"subselects side by side", "SELECT 1", ",(SELECT email FROM customers LIMIT 1)", "", "", "", BOTH},
    {"subselects that look out", "SELECT 1 FROM customers AS c", " ,LATERAL (SELECT c.email FROM orders) AS l#", "", "", "", PG},
    {"common tables", "WITH c0 AS (SELECT * FROM customers)", ",c# AS (SELECT * FROM c^)", " SELECT * FROM c0", "", "", BOTH},
    {"common tables, doubled", "WITH c0 AS (SELECT id,email FROM customers)", ",c# AS (SELECT a.*,b.* FROM c^ AS a,c^ AS b)",
     " SELECT * FROM c0", "", "", BOTH},
    {"common tables, unused", "WITH c0 AS (SELECT * FROM customers)", ",c# AS (SELECT * FROM customers)", " SELECT 1", "", "", BOTH},
    {"common tables inside each other", "", "WITH a AS (SELECT 1 FROM customers) SELECT * FROM (", "SELECT 1 AS x", ") AS d", "", BOTH},
    {"unions", "SELECT id FROM customers", " UNION ALL SELECT id FROM customers", "", "", "", BOTH},
    {"unions of stars", "SELECT * FROM customers", " UNION SELECT * FROM customers", "", "", "", BOTH},
    {"unions in parentheses", "", "(", "SELECT id FROM customers", " UNION SELECT 1)", "", BOTH},
    {"parentheses", "SELECT ", "(", "email", ")", " FROM customers", BOTH},
    {"open parentheses", "SELECT ", "(", "", "", "", BOTH},
    {"open comments", "SELECT ", "/*", "", "", "", BOTH},
    {"open cases", "SELECT ", "CASE WHEN ", "", "", "", BOTH},
    {"cases", "SELECT ", "CASE WHEN email IS NULL THEN ", "1", " END", " FROM customers", BOTH},
    {"whens", "SELECT CASE ", " WHEN email='a' THEN 1", " END FROM customers", "", "", BOTH},
    {"functions", "SELECT ", "lower(", "email", ")", " FROM customers", BOTH},
    {"not", "SELECT ", "NOT ", "email IS NULL FROM customers", "", "", BOTH},
    {"minus", "SELECT ", "- ", "id FROM customers", "", "", BOTH},
    {"sums", "SELECT id", "+id", " FROM customers", "", "", BOTH},
    {"operators", "SELECT name", "||email", " FROM customers", "", "", BOTH},
    {"powers", "SELECT id", "^id", " FROM customers", "", "", BOTH},
    {"conditions", "SELECT 1 FROM customers WHERE id=1", " AND email='a'", "", "", "", BOTH},
    {"conditions that move", "SELECT 1 FROM customers AS c,orders AS o WHERE c.id=o.id", " AND c.email='a'", "", "", "", BOTH},
    {"either", "SELECT 1 FROM customers WHERE id=1", " OR email='a'", "", "", "", BOTH},
    {"between", "SELECT 1 FROM customers WHERE id", " BETWEEN 1 AND 2 AND id", "=1", "", "", BOTH},
    {"like", "SELECT 1 FROM customers WHERE email LIKE 'a'", " OR email LIKE 'a'", "", "", "", BOTH},
    {"casts", "SELECT email", "::text", " FROM customers", "", "", PG},
    {"arrays", "SELECT ", "ARRAY[", "1", "]", "", PG},
    {"subscripts", "SELECT ('{}'::int[])", "[1]", " FROM customers", "", "", PG},
    {"collations", "SELECT email", " COLLATE \"C\"", " FROM customers", "", "", PG},
    {"at time zone", "SELECT now()", " AT TIME ZONE 'UTC'", " FROM customers", "", "", PG},
    {"rows", "SELECT 1 FROM customers WHERE ", "ROW(", "email", ")", "", PG},
    {"values", "VALUES (1)", ",(1)", "", "", "", PG},
    {"inserted rows", "INSERT INTO customers (id,email) VALUES (1,'a')", ",(1,'a')", "", "", "", BOTH},
    {"updated columns", "UPDATE orders SET total=1", ",total=1", "", "", "", BOTH},
    {"update from", "UPDATE orders SET total=1 FROM customers AS c", ",customers AS c#", " WHERE true", "", "", PG},
    {"updated tables", "UPDATE customers AS c", ",customers AS c#", " SET c.name=1", "", "", MY},
    {"deleted tables", "DELETE c FROM customers AS c", ",customers AS c#", "", "", "", MY},
    {"returning", "DELETE FROM customers RETURNING id", ",email", "", "", "", BOTH},
    {"merge", "MERGE INTO orders AS o USING customers AS c ON o.id=c.id", " WHEN MATCHED AND c.email='a' THEN DO NOTHING", "", "", "", PG},
    {"windows", "SELECT 1 FROM customers WINDOW w0 AS (ORDER BY email)", ",w# AS (w^)", "", "", "", BOTH},
    {"windows, each used", "SELECT 1", ",rank() OVER (PARTITION BY email ORDER BY name)", " FROM customers", "", "", BOTH},
    {"group by", "SELECT 1 FROM customers GROUP BY id", ",email", "", "", "", BOTH},
    {"group by of many tables", "SELECT 1 FROM customers AS c0", ",customers AS c#", " GROUP BY x", ",x,x,x,x,x,x,x,x", "", BOTH},
    {"group by keys of many tables", "SELECT 1 FROM customers AS c0", ",customers AS c#", " GROUP BY c0.id", ",c#.id", "", BOTH},
    {"conditions of many tables", "SELECT 1 FROM customers AS c0", ",customers AS c#", " WHERE c0.id=1", " AND c#.id=1", "", BOTH},
    {"updates in each other", "UPDATE customers SET name=", "(WITH a AS (UPDATE customers SET name=", "'a'", " RETURNING id) SELECT 'a')",
     "", PG},
    {"copied columns", "COPY customers (id", ",id", "", "", ") TO STDOUT", PG},
    {"inserted columns", "INSERT INTO customers (id", ",id", "", "", ") SELECT 1", BOTH},
    {"order by", "SELECT id FROM customers ORDER BY 1", ",email", "", "", "", BOTH},
    {"order by labels", "SELECT id AS a0", ",email AS a#", " FROM customers ORDER BY 1", ",a#", "", BOTH},
    {"group by labels", "SELECT id AS a0", ",email AS a#", " FROM customers GROUP BY 1", ",a#", "", BOTH},
    {"grouping sets", "SELECT 1 FROM customers GROUP BY GROUPING SETS ((id)", ",(email)", ")", "", "", PG},
    {"cubes", "SELECT 1 FROM customers GROUP BY ", "CUBE (", "id", ")", "", PG},
    {"statements", "SELECT 1", ";SELECT 1", "", "", "", BOTH},
    {"statements with tables", "SELECT 1", ";SELECT email FROM customers", "", "", "", BOTH},
    {"prepared", "SELECT 1", ";PREPARE p# AS SELECT 1", "", "", "", PG},
    {"sets", "SET search_path = public", ";SET x.y=1", "", "", "", PG},
    {"aliases", "SELECT * FROM customers AS c (a0", ",a#", ")", "", "", PG},
    {"long name", "SELECT ", "a", " FROM customers", "", "", BOTH},
    {"long operator", "SELECT 1 ", "@", " 1", "", "", PG},
    {"long string", "SELECT '", "a", "' FROM customers", "", "", BOTH},
    {"quotes", "SELECT '", "''", "' FROM customers", "", "", BOTH},
    {"strings side by side", "SELECT 'a'", " 'a'", " FROM customers", "", "", MY},
    {"dollars", "SELECT ", "$a$ $", "", "", "", PG},
    {"comments", "SELECT ", "/**/", "1 FROM customers", "", "", BOTH},
    {"comments in comments", "SELECT ", "/*", "", "*/", "1 FROM customers", PG},
    {"versioned comments", "SELECT ", "/*!1*/ /*!+1*/", "", "", "", MY},
    {"dots", "SELECT a", ".a", " FROM customers", "", "", BOTH},
    {"parameters", "SELECT $1", ",$1", " FROM customers", "", "", PG},
    {"question marks", "SELECT ?", ",?", " FROM customers", "", "", MY},
    {"variables", "SELECT @a", ",@a:=1", " FROM customers", "", "", MY},
    {"xml", "SELECT ", "xmlelement(name a,", "email", ")", " FROM customers", PG},
    {"brackets of every kind", "SELECT ", "([", "", "])", "", PG},
};

static char *text_of(const struct shape *s, size_t bytes, size_t *len) {
    size_t fixed = strlen(s->head) + strlen(s->mid) + strlen(s->tail), each = strlen(s->unit) + strlen(s->close);
    char *out = malloc(bytes + 4096), *at = out;
    if (out == NULL) exit(1);
    size_t n = 0, left = bytes > fixed ? bytes - fixed : 0;
    for (size_t used = 0; used + each + 16 < left; n++)
        used += each + (strchr(s->unit, '#') || strchr(s->close, '#') ? 4 : 0) + (strstr(s->unit, "c^") ? 4 : 0);
    at += sprintf(at, "%s", s->head);
    for (int part = 0; part < 2; part++) {
        const char *unit = part == 0 ? s->unit : s->close;
        for (size_t i = 1; i <= n && *unit != '\0' && (size_t)(at - out) < bytes + 2048; i++)
            for (const char *c = unit; *c != '\0'; c++) {
                if (*c == '#')
                    at += sprintf(at, "%zu", i);
                else if (*c == '^' && c > unit && (c[-1] == 'c' || c[-1] == 'w'))
                    at += sprintf(at, "%zu", i - 1);
                else
                    *at++ = *c;
            }
        if (part == 0) at += sprintf(at, "%s", s->mid);
    }
    at += sprintf(at, "%s", s->tail);
    *len = (size_t)(at - out);
    return out;
}

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

struct result {
    const struct shape *s;
    bool my;
    size_t len, becomes;
    double ms, worker, record;
    char what[512];
};

/* What is made of a text for the record, before anything is written. */
static double record_ms(const char *sql, size_t len, const struct pol_facts *f) {
    double begin = now_ms();
    size_t n = len;
    char sha[65], *hidden = stmt_text_hidden(f, sql, len, &n);
    const char *shown = hidden != NULL ? hidden : sql;
    struct rec r = {0};
    rec_sha256(shown, n, sha);
    rec_bytes(&r, "sql", shown, n);
    rec_str(&r, "sha256", sha);
    const struct led_event ev = {.stream = LED_SESSION, .session = "s", .type = "statement", .fields = r.f, .nfields = r.n};
    lev_free_all(lev_of(&ev, "n1"));
    free(hidden);
    return now_ms() - begin;
}

/* brief: as a worker does. */
static void once(struct result *x, const char *sql, const struct pol_role *role, bool brief) {
    const struct pol_parse_limits limits = {.bytes = 16u << 20, .brief = brief};
    const struct my_options options = {.server = MY_MARIADB, .version = 101119, .default_db = "shop", .multi = true, .limits = &limits};
    struct pol_parse_error err = {0};
    struct pol_verdict v = {0};
    struct pol_rewritten w = {0};
    struct pol_parsed p;
    struct pol_facts *f = NULL;
    double begin = now_ms(), judging = 0;
    bool parsed = false, pooled = false;
    if (x->my)
        f = pol_facts_my(sql, x->len, &options, &err);
    else if ((parsed = pol_parse_pg(&p, sql, x->len, &limits, &err)))
        f = pol_facts_parsed(&p, &err);
    enum pol_rewrite_rc rc = POL_REWRITE_SAME;
    if (f == NULL)
        snprintf(x->what, sizeof x->what, "%s", err.text);
    else {
        pooled = pol_judge_long(role, f);
        judging = now_ms();
        pol_judge(role, f, &v);
        judging = now_ms() - judging;
        if (v.effect == POL_ALLOW && v.rewrite)
            rc = x->my ? pol_rewrite_my(sql, x->len, &options, role, &w, &v) : pol_rewrite_parsed(&p, role, &w, &v);
        bool refused = v.effect != POL_ALLOW || rc == POL_REWRITE_REFUSED;
        if (!brief) snprintf(x->what, sizeof x->what, "%s", refused ? v.message : rc == POL_REWRITE_DONE ? "rewritten" : "allowed");
    }
    if (!brief) x->becomes = w.sql != NULL ? w.len : 0;
    double done = now_ms(), record = record_ms(sql, x->len, f);
    if (record < x->record) x->record = record;
    pol_rewritten_free(&w);
    pol_facts_free(f);
    if (parsed) pol_parse_clear(&p);
    double took = done - begin, worker = x->len > STMT_INLINE_BYTES ? judging : took;
    if (pooled) worker -= judging;
    if (!brief && took < x->ms) x->ms = took;
    if (brief && worker < x->worker) x->worker = worker;
}

static int by_time(const void *a, const void *b) {
    double x = ((const struct result *)a)->worker, y = ((const struct result *)b)->worker;
    return x < y ? -1 : x > y;
}

struct args {
    size_t bytes;
    const char *only;
    size_t globs;
};

/* The policy, and so many more rules that each might be about any relation of public. */
static struct pol_policy *policy_with(size_t globs, struct pol_error *err) {
    size_t room = sizeof policy_text + globs * 100;
    char *text = malloc(room), *at = text;
    if (text == NULL) return NULL;
    at += snprintf(at, room, "%s", policy_text);
    for (size_t i = 0; i < globs; i++)
        at += sprintf(at, "  - { name: more_%zu, groups: agents, database: \"*\", allow: select, on: \"public.more_%zu_*\" }\n", i, i);
    struct pol_policy *p = pol_policy_load_text("bench", text, (size_t)(at - text), err);
    free(text);
    return p;
}

static void *run(void *arg) {
    const struct args *a = arg;
    static struct result results[2 * sizeof shapes / sizeof *shapes];
    static const char *const groups[] = {"agents"}, *const path[] = {"public"}, *const my_path[] = {"shop"};
    size_t n = 0;
    char why[400];
    struct pol_error err;
    struct pol_policy *policy = policy_with(a->globs, &err);
    struct pol_catalog *pg = pol_catalog_parse(shop_catalog_text, strlen(shop_catalog_text), why, sizeof why),
                       *my = pol_catalog_parse(shop_my_catalog_text, strlen(shop_my_catalog_text), why, sizeof why);
    if (policy == NULL || pg == NULL || my == NULL)
        return fprintf(stderr, "%s%s\n", policy == NULL ? err.text : "", pg == NULL ? why : ""), NULL;
    const struct pol_subject who = {.principal = "ann", .groups = groups, .ngroups = 1};
    struct pol_role *roles[] = {
        pol_role_new(policy, &who, "shop", &(struct pol_pins){.search_path = path, .nsearch_path = 1}),
        pol_role_new(policy, &who, "shop_my", &(struct pol_pins){.search_path = my_path, .nsearch_path = 1, .mysql = true})};
    pol_role_use_catalog(roles[0], pg, true);
    pol_role_use_catalog(roles[1], my, true);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int lang = 0; lang < 2; lang++) {
            if (!(lang == 0 ? shapes[i].pg : shapes[i].my) || (a->only != NULL && strcmp(a->only, shapes[i].name) != 0)) continue;
            struct result *x = &results[n++];
            *x = (struct result){.s = &shapes[i], .my = lang == 1, .ms = 1e9, .worker = 1e9, .record = 1e9};
            char *sql = text_of(x->s, a->bytes, &x->len);
            for (int k = 0; k < 6; k++) once(x, sql, roles[lang], k % 2 != 0);
            free(sql);
        }
    qsort(results, n, sizeof *results, by_time);
    printf("%-34s %-5s %9s %9s %9s %9s %9s  %s\n", "shape", "", "bytes", "becomes", "ms", "worker ms", "record ms", "what came of it");
    for (size_t i = 0; i < n; i++)
        printf("%-34s %-5s %9zu %9zu %9.2f %9.2f %9.2f  %.110s\n", results[i].s->name, results[i].my ? "MySQL" : "PG", results[i].len,
               results[i].becomes, results[i].ms, results[i].worker, results[i].record, results[i].what);
    for (int i = 0; i < 2; i++) pol_role_free(roles[i]);
    pol_policy_unref(policy);
    pol_catalog_unref(pg);
    pol_catalog_unref(my);
    return NULL;
}

int main(int argc, char **argv) {
    struct args a = {argc > 1 ? strtoul(argv[1], NULL, 10) : STMT_INLINE_BYTES, argc > 2 && strcmp(argv[2], "all") != 0 ? argv[2] : NULL,
                     argc > 3 ? strtoul(argv[3], NULL, 10) : 0};
    pthread_attr_t attr;
    pthread_t thread;
    parsepool_keep_memory();
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, POL_STACK_BYTES + (1u << 20));
    if (a.bytes < 100 || a.bytes > (16u << 20) || a.globs > 100000 || pthread_create(&thread, &attr, run, &a) != 0) return 1;
    pthread_join(thread, NULL);
    return 0;
}
