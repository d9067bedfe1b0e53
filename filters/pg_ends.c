/* Portals that end before the client hears of it: a COMMIT or ROLLBACK with another transaction right behind it ends all, ROLLBACK TO those that were bound
 * since the savepoint. Their names are free then, and code on the server may open cursors of these names: what a Bind made is not behind them any more.
 *
 * ReadyForQuery tells of the end of a transaction that none follows (pg_server.c). For the rest the filter follows savepoints by their names, as far as it knows
 * them; what may have ended is in doubt, as in pg_forget.c. */
#include "filters/pg_impl.h"

#include <stdlib.h>
#include <string.h>

static bool may_end(enum flt_portals p) {
    return p == FLT_PORTALS_BACK || p == FLT_PORTALS_END || p == FLT_PORTALS_MANY || p == FLT_PORTALS_CODE;
}

void pg_ends_begin(struct pg_filter *f, struct pg_entry *e) {
    e->portals = f->answer.portals;
    e->savepoint = f->savepoint;
    f->savepoint = NULL;
    if (!may_end(e->portals)) return;
    f->ends++;
    f->ends_sent = f->sent;
}

bool pg_ends_wait(const struct pg_filter *f, const struct pg_name *portal) {
    return f->ends > 0 && (portal == NULL || portal->sent < f->ends_sent);
}

void pg_ends_bound(const struct pg_filter *f, struct pg_name *portal) { portal->mark = f->marks.last; }

/* --- savepoints --- */

static void unmark(struct pg_marks *m, size_t n) {
    while (m->n > n) free(m->of[--m->n].name);
}

void pg_ends_all(struct pg_filter *f) {
    unmark(&f->marks, 0);
    f->marks.last = 0;
    pg_names_forget_all(&f->portals);
}

static void mark(struct pg_marks *m, char **name) {
    m->last++;
    if (m->of == NULL) m->of = calloc(PG_MARKS, sizeof *m->of);
    if (*name == NULL || m->of == NULL) { /* out of memory: any name may mean it */
        unmark(m, 0);
        return;
    }
    if (m->n == PG_MARKS) {
        free(m->of[0].name);
        memmove(m->of, m->of + 1, --m->n * sizeof *m->of);
    }
    m->of[m->n++] = (struct pg_mark){*name, m->last};
    *name = NULL;
}

/* The place behind the last one of that name; 0: it is older than all that are known. */
static size_t find(const struct pg_marks *m, const char *name) {
    size_t n = name == NULL ? 0 : m->n;
    while (n > 0 && strcmp(m->of[n - 1].name, name) != 0) n--;
    return n;
}

/* Those that were bound since there were so many savepoints. */
static void suspect(struct pg_filter *f, uint64_t since) {
    for (size_t i = 0; i < PG_NAME_BUCKETS; i++)
        for (struct pg_name *n = f->portals.bucket[i], *next; n != NULL; n = next) {
            next = n->next;
            if (n->live != NULL && n->mark >= since) pg_names_suspect(&f->portals, n);
        }
}

static void back(struct pg_filter *f, const char *name) {
    size_t at = find(&f->marks, name);
    suspect(f, at > 0 ? f->marks.of[at - 1].since : 0);
    unmark(&f->marks, at);
}

static void release(struct pg_marks *m, const char *name) {
    size_t at = find(m, name);
    unmark(m, at > 0 ? at - 1 : 0);
}

/* --- what has become of a statement --- */

static void went_well(struct pg_filter *f, struct pg_entry *e) {
    if (e->portals == FLT_PORTALS_MARK) mark(&f->marks, &e->savepoint);
    if (e->portals == FLT_PORTALS_RELEASE) release(&f->marks, e->savepoint);
    if (e->portals == FLT_PORTALS_BACK) back(f, e->savepoint);
    if (e->portals != FLT_PORTALS_END) return;
    pg_ends_all(f);
    f->chained = true;
}

void pg_ends_told(struct pg_filter *f, struct pg_entry *e, bool well) {
    bool code = e->portals == FLT_PORTALS_CODE && (f->status != 'T' || f->chained); /* in a transaction block it cannot end one */
    if (e->portals == FLT_PORTALS_MANY || code) suspect(f, 0);
    if (e->portals == FLT_PORTALS_MANY || e->portals == FLT_PORTALS_MARKS) unmark(&f->marks, 0);
    if (well) went_well(f, e);
    if (may_end(e->portals)) f->ends--;
    e->portals = FLT_PORTALS_STAY;
}

void pg_ends_pop(struct pg_filter *f, struct pg_entry *e) {
    if (may_end(e->portals)) f->ends--; /* it did not run */
    free(e->savepoint);
}

void pg_ends_free(struct pg_filter *f) {
    unmark(&f->marks, 0);
    free(f->marks.of);
}
