#include "filters/pg_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

bool pg_queue_full(const struct pg_filter *f) { return f->q_len >= f->base.conf.limits.inflight; }

bool pg_queue_open(const struct pg_filter *f) { return f->q_len > 0 && f->queue[(f->q_head + f->q_len - 1) % f->q_cap].what != PG_S_SYNC; }

struct pg_entry *pg_queue_push(struct pg_filter *f, enum pg_sent what) {
    if (f->q_len == f->q_cap) {
        /* Two places over the limit: a refusal's poison and its Sync always fit. */
        size_t cap = f->q_cap == 0 ? 16 : f->q_cap * 2;
        if (cap > f->base.conf.limits.inflight + 2) cap = f->base.conf.limits.inflight + 2;
        struct pg_entry *q = cap == f->q_cap ? NULL : calloc(cap, sizeof *q);
        if (q == NULL) {
            pg_no_memory(f);
            return NULL;
        }
        for (size_t i = 0; i < f->q_len; i++) q[i] = f->queue[(f->q_head + i) % f->q_cap];
        free(f->queue);
        f->queue = q;
        f->q_cap = cap;
        f->q_head = 0;
    }
    if (f->q_len == 0) f->flushed = false;
    struct pg_entry *e = &f->queue[(f->q_head + f->q_len++) % f->q_cap];
    *e = (struct pg_entry){.what = what};
    f->sent++;
    f->unit_open = what != PG_S_SYNC && what != PG_S_QUERY;
    return e;
}

struct pg_entry *pg_queue_head(struct pg_filter *f) {
    return f->q_len == 0 ? NULL : &f->queue[f->q_head];
}

static struct pg_names *names_of(struct pg_filter *f, const struct pg_entry *e) {
    if (e->what == PG_S_PARSE) return &f->statements;
    if (e->what == PG_S_BIND) return &f->portals;
    return e->statement ? &f->statements : &f->portals;
}

void pg_queue_pop(struct pg_filter *f) {
    struct pg_entry *e = pg_queue_head(f);
    assert(e != NULL);
    if (e->name != NULL) pg_names_abort(names_of(f, e), e->name);
    pg_forget_end(f, e, PG_NOT_RUN); /* unless its fate was told before */
    pg_ends_pop(f, e);
    if (e->obj != NULL && e->what == PG_S_PARSE) pg_stmt_unref(e->obj);
    if (e->obj != NULL && e->what == PG_S_BIND) {
        f->bound -= ((struct pg_portal *)e->obj)->bytes;
        pg_portal_unref(e->obj);
    }
    free(e->error);
    free(e->pieces);
    f->q_head = (f->q_head + 1) % f->q_cap;
    f->q_len--;
    if (f->barrier > 0) f->barrier--;
}

void pg_queue_done(struct pg_filter *f) {
    struct pg_entry *e = pg_queue_head(f);
    if (e->name != NULL) {
        pg_names_commit(names_of(f, e), e->name, e->obj);
        if (e->what == PG_S_BIND) pg_ends_bound(f, e->name);
        e->name = NULL;
    }
    pg_forget_end(f, e, PG_WENT_WELL);
    pg_queue_pop(f);
}

void pg_post_result(struct pg_filter *f, const struct pg_entry *e, const char *sqlstate, bool skipped) {
    struct flt_event ev = {.kind = FLT_EV_RESULT, .result = {.id = e->id, .rows = e->rows, .bytes = e->bytes, .skipped = skipped}};
    memcpy(ev.result.sqlstate, sqlstate, strnlen(sqlstate, 5));
    pg_kept(f, e, &ev);
    flt_post(&f->base, &ev);
    ev.result.kept = NULL;
    if (e->portal_id == 0) return;
    ev.result.id = e->portal_id;
    flt_post(&f->base, &ev);
}

bool pg_queue_fail(struct pg_filter *f, const char *sqlstate) {
    bool first = true;
    for (struct pg_entry *e; (e = pg_queue_head(f)) != NULL && e->what != PG_S_SYNC; first = false) {
        if (e->what == PG_S_EXECUTE) {
            pg_post_result(f, e, first ? sqlstate : "", !first);
            if (first) pg_forget_end(f, e, PG_FAILED);
            if (first) pg_ends_told(f, e, false);
        }
        if (e->what == PG_S_QUERY) { /* behind an error without a Sync between: the server drops it unread */
            pg_post_result(f, e, "", true);
            f->wait_query = false;
        }
        /* A Parse of the unnamed statement drops the old one before it can fail. */
        bool unnamed = first && (e->what == PG_S_PARSE || e->what == PG_S_POISON) && e->name != NULL && e->name->name[0] == '\0';
        pg_queue_pop(f);
        if (unnamed) pg_names_forget(&f->statements, "");
    }
    if (f->q_len == 0) f->copy_hold = f->copy_in = false; /* else the COPY that is waited for stands behind that SYNC */
    return f->q_len > 0;
}

void pg_queue_end(struct pg_filter *f, bool lost) {
    while (f->q_len > 0) {
        struct pg_entry *e = pg_queue_head(f);
        if (e->what == PG_S_EXECUTE || e->what == PG_S_QUERY) pg_post_result(f, e, e->sqlstate, !lost);
        pg_queue_pop(f);
    }
}
