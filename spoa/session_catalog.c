/* What a session has to do with the catalog: it waits for the first one, and for the next when it has changed the schema itself. */
#include "spoa/session_int.h"

#include <stddef.h>

static void run_looked(struct worker *w, struct wmsg *m) {
    struct session *s = (struct session *)(void *)((char *)m - offsetof(struct session, looking.wait.msg));
    (void)w;
    if (s->q->open && s->q->id == s->looking.id) {
        s->looking.then(s);
        pump_run(&s->pump);
    }
    session_unref(s);
}

static void wait_for(struct session *s, struct catalog *c, void (*then)(struct session *s)) {
    s->looking.then = then;
    s->looking.id = s->q->id;
    s->looking.wait.msg.run = run_looked;
    s->looking.wait.worker = s->ws->w;
    session_ref(s);
    catalog_refresh(c, &s->looking.wait);
}

/* In a transaction that is open the change is to be seen by nobody else, so there is nothing to wait for yet. */
bool session_wait_catalog(struct session *s, void (*then)(struct session *s)) {
    session_renew(s); /* first, or what has been read meanwhile would be waited for */
    bool mine = s->schema_changed && !flt_in_transaction(s->filter);
    if (s->catalog.of == NULL || (s->catalog.generation != 0 && !mine)) return false;
    if (mine) s->schema_changed = false;
    wait_for(s, s->catalog.of, then);
    return true;
}

bool session_want_catalog(struct session *s, void (*then)(struct session *s)) {
    struct catalog *c = catalogs_find(s->ws->d->catalogs, s->db->name);
    if (c == NULL || catalog_generation(c) != 0) return false;
    wait_for(s, c, then);
    return true;
}

bool session_changes_schema(const struct pol_facts *f) {
    static const unsigned changes = POL_CREATE | POL_ALTER | POL_DROP;
    if (f == NULL) return true;
    for (size_t i = 0; i < f->nstmts; i++) {
        const struct pol_stmt *t = &f->stmts[i];
        if (t->opaque || t->kind == POL_K_DDL || (t->actions & changes) != 0) return true;
        for (size_t k = 0; k < t->nrelations; k++)
            if ((t->relations[k].access & changes) != 0) return true;
    }
    return false;
}

void session_schema_changed(struct session *s) {
    s->schema_changed = true;
    s->schema_told = false;
}

static void tell(struct session *s) {
    s->schema_told = true;
    catalogs_changed(s->ws->d->catalogs, s->db->name);
}

void session_schema_tick(struct session *s) {
    if (!s->schema_changed || s->schema_told || s->state != SESSION_OPEN || flt_in_transaction(s->filter)) return;
    tell(s);
}

/* Many connect for one change and leave before a tick has come. */
void session_schema_leave(struct session *s) {
    if (s->schema_changed && !s->schema_told) tell(s);
}
