/* Names that a text makes or drops by itself (SQL's PREPARE, DEALLOCATE, DECLARE, CLOSE, DISCARD).
 *
 * The text may fail, before it or behind it, and then nobody tells what the server did. A name that a message had made is in doubt from then on: what is
 * behind it may be what needs approval, or has limits, so nothing runs it before its fate is known. Only the server's word ends a doubt: the whole of a
 * text that makes or drops the name went well, or a Close or a Parse of it, or (portals) the transaction is over. */
#include "filters/pg_impl.h"

#include <stdlib.h>

static bool forgets(const struct flt_answer *a) {
    return a->nforget_statements > 0 || a->nforget_portals > 0 || a->forget_all_statements || a->forget_all_portals;
}

bool pg_forget_waits(const struct pg_filter *f) { return forgets(&f->answer) && (f->statements.npend > 0 || f->portals.npend > 0); }

static void add(struct pg_filter *f, struct pg_entry *e, struct pg_names *t, struct pg_name *n) {
    pg_names_pend(t, n->name, NULL, f->unit); /* it exists: this cannot fail */
    e->forgets[e->nforgets++] = (struct pg_forget){n, t->portals};
}

static void add_all(struct pg_filter *f, struct pg_entry *e, struct pg_names *t) {
    for (size_t i = 0; i < PG_NAME_BUCKETS; i++)
        for (struct pg_name *n = t->bucket[i]; n != NULL; n = n->next)
            if (t->portals || n->name[0] != '\0') add(f, e, t, n); /* DEALLOCATE ALL and DISCARD ALL leave the unnamed statement */
}

static void add_each(struct pg_filter *f, struct pg_entry *e, struct pg_names *t, char *const *names, size_t n) {
    for (size_t i = 0; i < n; i++) {
        struct pg_name *known = pg_names_get(t, names[i]);
        if (known != NULL) add(f, e, t, known);
    }
}

bool pg_forget_begin(struct pg_filter *f, struct pg_entry *e) {
    const struct flt_answer *a = &f->answer;
    if (!forgets(a)) return true;
    size_t room = a->nforget_statements + a->nforget_portals + f->statements.count + f->portals.count;
    e->forgets = calloc(room + 1, sizeof *e->forgets);
    if (e->forgets == NULL) {
        pg_no_memory(f);
        return false;
    }
    e->forgets_unread = a->forgets_unread;
    if (a->forget_all_statements) add_all(f, e, &f->statements);
    if (a->forget_all_portals) add_all(f, e, &f->portals);
    add_each(f, e, &f->statements, f->forget_statements, a->nforget_statements);
    add_each(f, e, &f->portals, f->forget_portals, a->nforget_portals);
    return true;
}

void pg_forget_end(struct pg_filter *f, struct pg_entry *e, enum pg_fate fate) {
    if (fate == PG_WENT_WELL && e->forgets_unread) fate = PG_FAILED;
    for (size_t i = 0; i < e->nforgets; i++) {
        struct pg_names *t = e->forgets[i].portal ? &f->portals : &f->statements;
        struct pg_name *n = e->forgets[i].name;
        if (fate == PG_WENT_WELL)
            pg_names_commit(t, n, NULL);
        else if (fate == PG_FAILED)
            pg_names_doubt(t, n);
        else
            pg_names_abort(t, n);
    }
    free(e->forgets);
    e->forgets = NULL;
    e->nforgets = 0;
}

/* --- what may not be used by its name --- */

static enum pg_held held(struct pg_names *t, const struct flt_use *u) {
    const struct pg_name *n = pg_names_get(t, u->name);
    if ((n != NULL && n->live != NULL) || u->made == FLT_MADE_ANY) return PG_HELD_NOT;
    if (n != NULL && n->doubt) return t->portals ? PG_HELD_PORTAL_DOUBT : PG_HELD_STATEMENT_DOUBT;
    if (u->made == FLT_MADE_OLD) return t->portals ? PG_HELD_PORTAL_OLD : PG_HELD_STATEMENT_OLD;
    if (u->made == FLT_MADE_SQL) return PG_HELD_NOT;
    return t->portals ? PG_HELD_PORTAL : PG_HELD_STATEMENT;
}

enum pg_held pg_held_back(struct pg_filter *f) {
    enum pg_held why = PG_HELD_NOT;
    for (size_t i = 0; why == PG_HELD_NOT && i < f->answer.nfetched; i++) why = held(&f->portals, &f->fetched[i]);
    for (size_t i = 0; why == PG_HELD_NOT && i < f->answer.nexecuted; i++) why = held(&f->statements, &f->executed[i]);
    return why;
}
