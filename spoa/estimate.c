#include <config.h>

#include "spoa/estimate.h"

#include "policy/pg_functions.h"
#include "spoa/approval.h"
#include "spoa/dbclient.h"
#include "spoa/json_read.h"
#include "spoa/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SQL_MAX  16384u
#define WAIT_MAX 32u
#define TIME_MS  4000u
#define PLAN_MAX ((size_t)4 << 20)

struct job {
    struct wmsg msg;
    struct job *next;
    char request[APPR_ID_SIZE];
    char *database;
    char sql[];
};

struct estimates {
    struct daemon *d;
    struct worker *w;
    atomic_size_t waiting;
    /* the thread's */
    struct job *head, **tail, *now;
    struct dbclient *client;
    struct snap *snap;
    unsigned at;
    char *text; /* the statement that runs now */
    struct buf plan;
};

/* --- what can be looked at --- */

bool estimate_possible(const struct pol_facts *f, size_t len) {
    if (f->nstmts != 1 || len > SQL_MAX) return false;
    const struct pol_stmt *t = &f->stmts[0];
    if (t->kind < POL_K_SELECT || t->kind > POL_K_MERGE || t->opaque || t->nsettings > 0 || t->uses_portal != NULL ||
        t->uses_statement != NULL)
        return false;
    for (size_t i = 0; i < t->nfunctions; i++) {
        const struct pol_function *fn = &t->functions[i];
        if ((fn->schema != NULL && strcmp(fn->schema, "pg_catalog") != 0) || !pg_function_harmless(fn->name)) return false;
    }
    return true;
}

bool estimate_read(const char *json, size_t len, uint64_t *rows) {
    json_t *o = json_read(json, len, 0, NULL);
    const json_t *plan = json_object_get(json_array_get(o, 0), "Plan");
    const char *type = json_string_value(json_object_get(plan, "Node Type"));
    if (type != NULL && strcmp(type, "ModifyTable") == 0) plan = json_array_get(json_object_get(plan, "Plans"), 0);
    const json_t *n = json_object_get(plan, "Plan Rows");
    double value = json_number_value(n);
    bool ok = json_is_number(n) && value >= 0 && value < 1e18;
    if (ok) *rows = (uint64_t)value;
    json_decref(o);
    return ok;
}

/* --- one at a time --- */

static void job_free(struct estimates *e, struct job *j) {
    if (j == NULL) return;
    atomic_fetch_sub(&e->waiting, 1);
    free(j->database);
    free(j);
}

static const char *next_statement(void *arg) {
    struct estimates *e = arg;
    const struct conf_database *db = conf_database(e->snap->conf, e->now->database);
    unsigned step = e->at++;
    int n = -1;
    free(e->text);
    e->text = NULL;
    if (step == 0) return "BEGIN READ ONLY";
    if (step == 3) return "ROLLBACK";
    if (step == 1)
        n = asprintf(&e->text, "SET LOCAL search_path = %s; SET LOCAL statement_timeout = 2000; SET LOCAL lock_timeout = 200",
                     db != NULL ? db->search_path_text : "\"\"");
    else if (step == 2)
        n = asprintf(&e->text, "EXPLAIN (FORMAT JSON) %s", e->now->sql);
    if (n < 0) e->text = NULL;
    return e->text;
}

static bool take_row(void *arg, const char *text, size_t len) {
    struct estimates *e = arg;
    if (e->at == 3) buf_put(&e->plan, text, len);
    return !e->plan.failed;
}

static void begin(struct estimates *e);

static void on_done(void *arg, const struct dbclient_end *end) {
    struct estimates *e = arg;
    uint64_t rows;
    unsigned more;
    e->client = NULL;
    if (end->ok && estimate_read((const char *)buf_at(&e->plan), buf_used(&e->plan), &rows))
        appr_estimate(e->d->approvals, e->now->request, rows);
    else if (log_due(log_fmt("estimate %s %s", e->now->database, end->sqlstate), &more))
        log_event(LOG_INFO, "approval.estimate", "request", e->now->request, "database", e->now->database, "sqlstate", end->sqlstate,
                  "reason", end->why, NULL);
    buf_free(&e->plan);
    snap_unref(e->snap);
    e->snap = NULL;
    job_free(e, e->now);
    e->now = NULL;
    begin(e);
}

static void begin(struct estimates *e) {
    while (e->now == NULL && e->head != NULL) {
        e->now = e->head;
        e->head = e->now->next;
        if (e->head == NULL) e->tail = &e->head;
        e->snap = daemon_snap(e->d);
        e->at = 0;
        e->plan = BUF_INIT(PLAN_MAX);
        const struct conf_database *db = conf_database(e->snap->conf, e->now->database);
        const struct dbclient_conf conf = {.base = worker_base(e->w),
                                           .conf = e->snap->conf,
                                           .db = db,
                                           .timeout_ms = TIME_MS,
                                           .next = next_statement,
                                           .row = take_row,
                                           .done = on_done,
                                           .arg = e};
        /* One login for all: else another's rights would be asked than those that it will run with. */
        if (db != NULL && db->nlogins == 1 && db->estimate) e->client = dbclient_start(&conf);
        if (e->client != NULL) return;
        snap_unref(e->snap);
        e->snap = NULL;
        job_free(e, e->now);
        e->now = NULL;
    }
}

static void run_job(struct worker *w, struct wmsg *m) {
    struct estimates *e = worker_data(w);
    struct job *j = (struct job *)(void *)m;
    *e->tail = j;
    e->tail = &j->next;
    begin(e);
}

void estimates_ask(struct estimates *e, const char *request, const char *database, const char *sql, size_t len) {
    if (e == NULL || len > SQL_MAX) return;
    if (atomic_fetch_add(&e->waiting, 1) >= WAIT_MAX) {
        atomic_fetch_sub(&e->waiting, 1);
        return;
    }
    struct job *j = calloc(1, sizeof *j + len + 1);
    if (j != NULL) j->database = strdup(database);
    if (j == NULL || j->database == NULL) {
        free(j);
        atomic_fetch_sub(&e->waiting, 1);
        return;
    }
    j->msg.run = run_job;
    snprintf(j->request, sizeof j->request, "%s", request);
    memcpy(j->sql, sql, len);
    worker_post(e->w, &j->msg);
}

/* --- life --- */

static void end(struct worker *w) {
    struct estimates *e = worker_data(w);
    dbclient_cancel(e->client);
    snap_unref(e->snap);
    buf_free(&e->plan);
    free(e->text);
    job_free(e, e->now);
    for (struct job *j = e->head; j != NULL;) {
        struct job *next = j->next;
        job_free(e, j);
        j = next;
    }
}

struct estimates *estimates_start(struct daemon *d) {
    struct estimates *e = calloc(1, sizeof *e);
    if (e == NULL) return NULL;
    e->d = d;
    e->tail = &e->head;
    if (worker_start(&e->w, &(struct worker_conf){.stack = 1u << 20, .end = end, .data = e})) return e;
    free(e);
    return NULL;
}

void estimates_stop(struct estimates *e) {
    if (e == NULL) return;
    worker_stop(e->w);
    worker_join(e->w);
}

void estimates_free(struct estimates *e) {
    if (e == NULL) return;
    worker_free(e->w);
    free(e);
}
