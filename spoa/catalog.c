#include "spoa/catalog.h"

#include "policy/fit.h"
#include "spoa/catalog_read.h"
#include "spoa/daemon.h"
#include "spoa/dbclient.h"
#include "spoa/record.h"
#include "spoa/status.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TICK_MS      200u
#define READ_MS      120000u   /* for one reading */
#define RETRY_MS     5000u     /* after one that failed */
#define GAP_MS       500u      /* between two that somebody asked for and nobody waits for */
#define TORN         5u        /* readings in a row between which the schema changed, before it counts as a failure */
#define AHEAD_MS     60000u    /* after one that failed and that nobody waits for */
#define DATABASES    1024u     /* as many as a configuration may ever have named */
#define FIT_STEPS    50000000u /* some tenths of a second of this thread; 10,000 rules on 10,000 relations need less */
#define FIT_MS       1000u
#define FIT_REST     20u /* times what it took, before it is done again */
#define MISFITS      20u /* that are logged one by one */
#define MISFIT_BYTES 700u

struct catalog {
    struct catalog *next; /* set before it can be seen, never changed */
    struct catalogs *all;
    char *name;
    _Atomic uint64_t generation;
    atomic_bool wanted; /* somebody has asked for it; else it is read for the policy's sake alone, and kept by nobody */

    /* guarded by all->lock */
    struct pol_catalog *now;
    uint64_t looked_ms; /* the last look that went well; 0: none */
    bool failing;
    char why[300], todo[200];
    bool asked;                   /* somebody wants a look that begins from here on */
    struct catalog_wait *waiting; /* for such a look */
    size_t misfits;               /* where the policy in force does not fit it */
    char misfit[MISFIT_BYTES];    /* the first of them */

    /* the thread's */
    struct catalog_wait *served; /* wait for the look that is under way */
    struct dbclient *client;     /* NULL: no look is under way */
    struct snap *snap;           /* that it goes by */
    struct catalog_read reading;
    char mark[CATALOG_MARK_BYTES], digest[65];
    uint64_t mark_generation; /* of the snapshot that the mark was read under */
    uint64_t due_ms, begun_ms;
    unsigned failures, torn;
    bool ahead;                          /* the look that is under way was begun for the policy's sake alone */
    uint64_t fit_policy, fit_generation; /* of the policy and the catalog that were held against each other last */
    uint64_t fit_due_ms, fit_rest_ms;    /* when that is done next, 0: not asked for; not before */
    uint64_t unread_policy;              /* of the policy for which it was said that this could not be done */
};

struct catalogs {
    struct daemon *d;
    struct worker *w;
    struct event *tick;
    struct wmsg wake; /* guarded by lock: posted or not */
    bool woken;
    bool stopping;
    pthread_mutex_t lock;
    _Atomic(struct catalog *) list;
    size_t n;
    struct mblock *m;
};

/* --- who waits --- */

static void tell(struct catalog_wait *list) {
    for (struct catalog_wait *w = list, *next; w != NULL; w = next) {
        next = w->next;
        worker_post(w->worker, &w->msg);
    }
}

/* Takes out of *list those whose time is over; all: every one. */
static struct catalog_wait *overdue(struct catalog_wait **list, uint64_t now, bool all) {
    struct catalog_wait *out = NULL;
    for (struct catalog_wait **at = list; *at != NULL;) {
        struct catalog_wait *w = *at;
        if (!all && now < w->deadline_ms) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        w->next = out;
        out = w;
    }
    return out;
}

/* --- does the policy fit --- */

struct fitting {
    struct catalog *c;
    size_t n;
    char first[MISFIT_BYTES];
};

#define CORRECT "correct the rule, or the table, and reload; \"gatehousectl policy check --catalog\" finds such mistakes before a reload"

static void misfit(void *arg, const struct pol_misfit *m) {
    struct fitting *f = arg;
    char text[MISFIT_BYTES];
    pol_misfit_words(m, text, sizeof text);
    if (f->n == 0) memcpy(f->first, text, sizeof text);
    if (f->n++ < MISFITS)
        log_event(LOG_WARN, "policy.misfit", "database", f->c->name, "rule", m->rule, "relation",
                  log_fmt("%s.%s", m->relation->schema, m->relation->name), "reason", text, "do", CORRECT, NULL);
}

static void fit_is(struct catalog *c, const struct fitting *f) {
    pthread_mutex_lock(&c->all->lock);
    bool had = c->misfits > 0;
    c->misfits = f->n;
    memcpy(c->misfit, f->first, sizeof c->misfit);
    pthread_mutex_unlock(&c->all->lock);
    if (had && f->n == 0) log_event(LOG_INFO, "policy.fits", "database", c->name, NULL);
}

/* Said before a client finds it out. */
static void hold_against(struct catalog *c, const struct snap *snap, struct pol_catalog *catalog) {
    struct fitting f = {.c = c};
    enum pol_fit rc = pol_policy_fit(snap->policy, c->name, catalog, false, FIT_STEPS, misfit, &f);
    if (f.n > MISFITS)
        log_event(LOG_WARN, "policy.misfits", "database", c->name, "more", log_fmt("%zu", f.n - MISFITS), "do", CORRECT, NULL);
    if (rc != POL_FIT_WHOLE)
        log_event(LOG_WARN, "policy.fit_cut", "database", c->name, "reason",
                  rc == POL_FIT_CUT ? "the rules and relations are too many to try all of them" : "out of memory", "do",
                  "run \"gatehousectl policy check --catalog\", which tries all of them", NULL);
    fit_is(c, &f);
}

/* Once for each policy and catalog, soon: a look that somebody waits for comes before it, and changes of a schema come many at once. */
static void want_fit(struct catalog *c, const struct snap *snap) {
    uint64_t now = worker_now_ms();
    if (c->fit_due_ms != 0 || (c->fit_policy == snap->policy_generation && c->fit_generation == catalog_generation(c))) return;
    c->fit_due_ms = now + FIT_MS > c->fit_rest_ms ? now + FIT_MS : c->fit_rest_ms;
}

static void check_fit(struct catalog *c, const struct snap *snap) {
    uint64_t generation, begun = worker_now_ms();
    c->fit_due_ms = 0;
    if (conf_database(snap->conf, c->name) == NULL || !pol_policy_restricts(snap->policy, c->name)) {
        fit_is(c, &(struct fitting){.c = c});
        c->fit_policy = 0;
        return;
    }
    struct pol_catalog *now = catalog_get(c, &generation);
    if (now != NULL && (c->fit_policy != snap->policy_generation || c->fit_generation != generation)) {
        hold_against(c, snap, now);
        c->fit_policy = snap->policy_generation;
        c->fit_generation = generation;
        c->fit_rest_ms = worker_now_ms() + FIT_REST * (worker_now_ms() - begun);
    }
    pol_catalog_unref(now);
}

/* A policy that cannot be held against its database yet is no reason to warn more than once: nobody needs the catalog. */
static void ahead_failed(struct catalog *c, const struct conf_database *db, const char *sqlstate, const char *why, const char *todo) {
    c->due_ms = worker_now_ms() + AHEAD_MS;
    if (c->unread_policy == c->snap->policy_generation) return;
    c->unread_policy = c->snap->policy_generation;
    log_event(LOG_WARN, "policy.unchecked", "database", c->name, "upstream", db->where, "sqlstate", sqlstate, "reason", why, "do", todo,
              NULL);
}

static void read_ahead(struct catalog *c, const struct conf_database *db) {
    const struct buf *text = &c->reading.text;
    char why[300];
    struct pol_catalog *fresh = pol_catalog_parse((const char *)buf_at(text), buf_used(text), why, sizeof why);
    if (fresh == NULL) {
        ahead_failed(c, db, "", why, "a database of this size or version cannot be read: see CATALOGS in gatehouse(8)");
        return;
    }
    c->due_ms = UINT64_MAX; /* until the next reload, or until somebody wants it */
    hold_against(c, c->snap, fresh);
    pol_catalog_unref(fresh);
}

/* --- one look --- */

static void look_failed(struct catalog *c, const struct conf_database *db, const char *sqlstate, const char *why, const char *todo) {
    unsigned more;
    if (c->ahead) {
        ahead_failed(c, db, sqlstate, why, todo);
        return;
    }
    c->failures++;
    c->due_ms = worker_now_ms() + RETRY_MS;
    pthread_mutex_lock(&c->all->lock);
    c->failing = true;
    snprintf(c->why, sizeof c->why, "%s", why);
    snprintf(c->todo, sizeof c->todo, "%s", todo);
    bool kept = c->now != NULL;
    pthread_mutex_unlock(&c->all->lock);
    m_count(c->all->m, M_CATALOG_LOOKS, c->name, "failed", NULL);
    if (!log_due(log_fmt("catalog.failed %s %s", c->name, why), &more)) return;
    log_event(kept ? LOG_WARN : LOG_ERROR, "catalog.failed", "database", c->name, "upstream", db->where, "sqlstate", sqlstate, "reason",
              why, "kept", kept ? "the one before" : "none: statements on relations with columns or rows that are restricted are refused",
              "do", todo, "repeated", log_fmt("%u", more), NULL);
}

static void look_went_well(struct catalog *c, struct pol_catalog *fresh, const char *result) {
    struct pol_catalog *old = NULL;
    uint64_t now = worker_now_ms();
    c->failures = 0;
    c->due_ms = now + c->snap->conf->catalog_refresh_ms;
    pthread_mutex_lock(&c->all->lock);
    if (c->failing) log_event(LOG_INFO, "catalog.back", "database", c->name, NULL);
    c->failing = false;
    c->why[0] = c->todo[0] = '\0';
    c->looked_ms = now;
    if (fresh != NULL) {
        old = c->now;
        c->now = fresh;
        atomic_fetch_add(&c->generation, 1);
    }
    pthread_mutex_unlock(&c->all->lock);
    pol_catalog_unref(old);
    m_count(c->all->m, M_CATALOG_LOOKS, c->name, result, NULL);
}

/* The text is whole: what it says comes into force, unless it says what the one before said. */
static void read_text(struct catalog *c, const struct conf_database *db) {
    const struct buf *text = &c->reading.text;
    char digest[65], why[300];
    rec_sha256((const char *)buf_at(text), buf_used(text), digest);
    if (strcmp(digest, c->digest) == 0) {
        look_went_well(c, NULL, "unchanged");
    } else {
        struct pol_catalog *fresh = pol_catalog_parse((const char *)buf_at(text), buf_used(text), why, sizeof why);
        if (fresh == NULL) {
            look_failed(c, db, "", why, "a database of this size or version cannot be read: see CATALOGS in gatehouse(8)");
            return;
        }
        memcpy(c->digest, digest, sizeof digest);
        log_event(LOG_INFO, "catalog.read", "database", c->name, "relations", log_fmt("%zu", pol_catalog_relations(fresh)), "bytes",
                  log_fmt("%zu", buf_used(text)), "ms", log_fmt("%llu", (unsigned long long)(worker_now_ms() - c->begun_ms)), NULL);
        look_went_well(c, fresh, "changed");
    }
    memcpy(c->mark, c->reading.mark, sizeof c->mark);
    c->mark_generation = c->snap->generation;
}

static void on_looked(void *arg, const struct dbclient_end *end);

/* For c->snap, whose configuration has db. False without memory or descriptors. */
static bool read_again(struct catalog *c, const struct conf_database *db) {
    const struct dbclient_conf conf = {.base = worker_base(c->all->w),
                                       .conf = c->snap->conf,
                                       .db = db,
                                       .timeout_ms = READ_MS,
                                       .next = catalog_read_next,
                                       .row = catalog_read_row,
                                       .done = on_looked,
                                       .arg = &c->reading};
    catalog_read_begin(&c->reading, db, c->mark_generation == c->snap->generation ? c->mark : "");
    c->client = dbclient_start(&conf);
    if (c->client == NULL) look_failed(c, db, "", "out of memory or descriptors", "raise LimitNOFILE, or give gatehouse more memory");
    return c->client != NULL;
}

static void look_over(struct catalog *c) {
    struct snap *snap = c->snap;
    catalog_read_free(&c->reading);
    c->snap = NULL;
    c->torn = 0;
    tell(overdue(&c->served, 0, true));
    if (!c->ahead) want_fit(c, snap);
    snap_unref(snap);
}

static void on_looked(void *arg, const struct dbclient_end *end) {
    struct catalog *c = (struct catalog *)(void *)((char *)arg - offsetof(struct catalog, reading));
    const struct conf_database *db = conf_database(c->snap->conf, c->name);
    c->client = NULL;
    if (!end->ok)
        look_failed(c, db, end->sqlstate, end->why, end->todo != NULL ? end->todo : "look at the database's log");
    else if (catalog_read_unchanged(&c->reading))
        look_went_well(c, NULL, "unchanged");
    else if (!catalog_read_torn(&c->reading))
        (c->ahead ? read_ahead : read_text)(c, db);
    else if (++c->torn < TORN) {
        catalog_read_free(&c->reading);
        if (read_again(c, db)) return;
    } else
        look_failed(c, db, "", "the schema was changed each time while it was read",
                    "nothing, if it is being changed: it is read again soon");
    look_over(c);
}

static void look(struct catalog *c, uint64_t now) {
    struct snap *snap = daemon_snap(c->all->d);
    const struct conf_database *db = conf_database(snap->conf, c->name);
    pthread_mutex_lock(&c->all->lock);
    c->served = c->waiting;
    c->waiting = NULL;
    c->asked = false;
    c->ahead = !atomic_load(&c->wanted);
    pthread_mutex_unlock(&c->all->lock);
    c->begun_ms = now;
    c->snap = snap;
    bool needed = db != NULL && (!c->ahead || pol_policy_restricts(snap->policy, c->name));
    if (needed && read_again(c, db)) return;
    if (!needed) {
        c->due_ms = UINT64_MAX; /* until a reload offers it again */
        check_fit(c, snap);
    }
    look_over(c);
}

/* --- the thread --- */

/* Somebody came while it was read ahead: for them it is read at once, as if nobody had. */
static void drop_ahead(struct catalog *c) {
    if (c->client == NULL || !c->ahead || !atomic_load(&c->wanted)) return;
    dbclient_cancel(c->client);
    c->client = NULL;
    c->due_ms = 0;
    look_over(c);
}

static void look_around(struct catalogs *all) {
    uint64_t now = worker_now_ms();
    for (struct catalog *c = atomic_load(&all->list); c != NULL; c = c->next) {
        drop_ahead(c);
        struct catalog_wait *late = overdue(&c->served, now, false);
        tell(late);
        pthread_mutex_lock(&all->lock);
        /* Behind a failure nobody waits for the next try. */
        bool pausing = c->client == NULL && c->failures > 0 && now < c->due_ms;
        late = overdue(&c->waiting, now, pausing);
        bool waited = c->waiting != NULL, asked = c->asked;
        pthread_mutex_unlock(&all->lock);
        tell(late);
        if (c->client != NULL) continue;
        bool soon = asked && !pausing && now - c->begun_ms >= GAP_MS;
        if (now >= c->due_ms || soon || waited) look(c, now);
        if (c->client != NULL || c->fit_due_ms == 0 || now < c->fit_due_ms) continue;
        struct snap *snap = daemon_snap(all->d);
        check_fit(c, snap);
        snap_unref(snap);
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    look_around(arg);
}

static void run_wake(struct worker *w, struct wmsg *m) {
    struct catalogs *all = (struct catalogs *)(void *)((char *)m - offsetof(struct catalogs, wake));
    (void)w;
    pthread_mutex_lock(&all->lock);
    all->woken = false;
    pthread_mutex_unlock(&all->lock);
    look_around(all);
}

static void wake_locked(struct catalogs *all) {
    if (all->woken || all->stopping) return;
    all->woken = true;
    worker_post(all->w, &all->wake);
}

static struct catalog *find(struct catalogs *all, const char *database, bool want);

/* Catalogs that nobody has wanted yet are read once, so that a policy that does not fit is known before its clients are there. */
static void look_ahead(struct catalogs *all) {
    struct snap *snap = daemon_snap(all->d);
    for (size_t i = 0; i < snap->conf->ndatabases; i++)
        if (pol_policy_restricts(snap->policy, snap->conf->databases[i].name)) find(all, snap->conf->databases[i].name, false);
    snap_unref(snap);
}

static void start(struct worker *w) {
    struct catalogs *all = worker_data(w);
    look_ahead(all);
    struct timeval tick = {0, TICK_MS * 1000};
    all->tick = event_new(worker_base(w), -1, EV_PERSIST, on_tick, all);
    if (all->tick != NULL && event_add(all->tick, &tick) == 0) return;
    log_event(LOG_ERROR, "catalog.start", "reason", "out of memory", NULL);
    _exit(1);
}

static void end(struct worker *w) {
    struct catalogs *all = worker_data(w);
    event_free(all->tick);
    for (struct catalog *c = atomic_load(&all->list); c != NULL; c = c->next) {
        dbclient_cancel(c->client);
        c->client = NULL;
        catalog_read_free(&c->reading);
        snap_unref(c->snap);
        c->snap = NULL;
    }
}

/* --- the others' --- */

struct catalogs *catalogs_start(struct daemon *d) {
    struct catalogs *all = calloc(1, sizeof *all);
    if (all == NULL) return NULL;
    all->d = d;
    all->m = status_catalog_block(d);
    all->wake.run = run_wake;
    pthread_mutex_init(&all->lock, NULL);
    const struct worker_conf conf = {.stack = 1u << 20, .start = start, .end = end, .data = all};
    if (worker_start(&all->w, &conf)) return all;
    catalogs_free(all);
    return NULL;
}

void catalogs_stop(struct catalogs *all) {
    if (all == NULL) return;
    pthread_mutex_lock(&all->lock);
    all->stopping = true;
    pthread_mutex_unlock(&all->lock);
    worker_stop(all->w);
    worker_join(all->w);
}

void catalogs_free(struct catalogs *all) {
    if (all == NULL) return;
    for (struct catalog *c = atomic_load(&all->list), *next; c != NULL; c = next) {
        next = c->next;
        pol_catalog_unref(c->now);
        free(c->name);
        free(c);
    }
    worker_free(all->w);
    pthread_mutex_destroy(&all->lock);
    free(all);
}

static struct catalog *look_up(struct catalogs *all, const char *database) {
    struct catalog *c = atomic_load(&all->list);
    while (c != NULL && strcmp(c->name, database) != 0) c = c->next;
    return c;
}

/* want: for somebody. */
static struct catalog *find(struct catalogs *all, const char *database, bool want) {
    struct catalog *c = look_up(all, database);
    if (c != NULL && (!want || atomic_load(&c->wanted))) return c;
    pthread_mutex_lock(&all->lock);
    c = look_up(all, database);
    if (c != NULL && want && !atomic_exchange(&c->wanted, true)) {
        c->asked = true;
        wake_locked(all);
    }
    if (c == NULL && all->n < DATABASES && (c = calloc(1, sizeof *c)) != NULL) {
        atomic_init(&c->wanted, want);
        c->all = all;
        c->name = strdup(database);
        c->next = atomic_load(&all->list);
        if (c->name == NULL) {
            free(c);
            c = NULL;
        } else {
            atomic_store(&all->list, c); /* due at once */
            all->n++;
            if (want) wake_locked(all); /* else it is this thread, or its next tick */
        }
    }
    pthread_mutex_unlock(&all->lock);
    return c;
}

struct catalog *catalogs_find(struct catalogs *all, const char *database) {
    return find(all, database, true);
}

uint64_t catalog_generation(const struct catalog *c) { return atomic_load(&c->generation); }

struct pol_catalog *catalog_get(struct catalog *c, uint64_t *generation) {
    pthread_mutex_lock(&c->all->lock);
    struct pol_catalog *now = c->now == NULL ? NULL : pol_catalog_ref(c->now);
    *generation = atomic_load(&c->generation);
    pthread_mutex_unlock(&c->all->lock);
    return now;
}

void catalog_refresh(struct catalog *c, struct catalog_wait *w) {
    struct catalogs *all = c->all;
    pthread_mutex_lock(&all->lock);
    bool stopping = all->stopping;
    if (w != NULL && !stopping) {
        w->deadline_ms = worker_now_ms() + CATALOG_WAIT_MS;
        w->next = c->waiting;
        c->waiting = w;
    }
    c->asked = true;
    wake_locked(all);
    pthread_mutex_unlock(&all->lock);
    if (w != NULL && stopping) worker_post(w->worker, &w->msg);
}

void catalogs_changed(struct catalogs *all, const char *database) {
    struct catalog *c = look_up(all, database);
    if (c != NULL && atomic_load(&c->wanted)) catalog_refresh(c, NULL);
}

static void run_reloaded(struct worker *w, struct wmsg *m) {
    struct catalogs *all = worker_data(w);
    look_ahead(all);
    for (struct catalog *c = atomic_load(&all->list); c != NULL; c = c->next) {
        c->due_ms = 0;
        c->failures = 0;
    }
    free(m);
    look_around(all);
}

void catalogs_reloaded(struct catalogs *all) {
    struct wmsg *m = calloc(1, sizeof *m);
    if (m == NULL) return; /* the timer comes all the same */
    m->run = run_reloaded;
    worker_post(all->w, m);
}

size_t catalogs_state(struct catalogs *all, struct catalog_state *out, size_t max) {
    size_t n = 0;
    uint64_t now = worker_now_ms();
    pthread_mutex_lock(&all->lock);
    for (const struct catalog *c = atomic_load(&all->list); c != NULL && n < max; c = c->next) {
        if (!atomic_load(&c->wanted)) continue;
        out[n] = (struct catalog_state){.has = c->now != NULL, .failing = c->failing};
        snprintf(out[n].database, sizeof out[n].database, "%s", c->name);
        snprintf(out[n].why, sizeof out[n].why, "%s", c->why);
        snprintf(out[n].todo, sizeof out[n].todo, "%s", c->todo);
        if (c->now != NULL) out[n].relations = pol_catalog_relations(c->now);
        if (c->looked_ms != 0) out[n].age_seconds = (double)(now - c->looked_ms) / 1000;
        n++;
    }
    pthread_mutex_unlock(&all->lock);
    return n;
}

void catalogs_misfits(struct catalogs *all, void (*each)(void *arg, const char *database, size_t n, const char *first), void *arg) {
    pthread_mutex_lock(&all->lock);
    for (const struct catalog *c = atomic_load(&all->list); c != NULL; c = c->next)
        if (c->misfits > 0) each(arg, c->name, c->misfits, c->misfit);
    pthread_mutex_unlock(&all->lock);
}
