/* Prepared statements and cursors that SQL makes, drops and uses by name: what the session and its filter must know of them. */
#include "spoa/session_int.h"

#include "policy/pg_functions.h"
#include "spoa/statement.h"

#include <stdlib.h>
#include <string.h>

static bool matters(const struct pol_stmt *t) {
    return t->forget_statement != NULL || t->forget_portal != NULL || t->forget_all_statements || t->forget_all_portals ||
           t->uses_portal != NULL || t->uses_statement != NULL;
}

bool session_names_matter(const struct pol_facts *f) {
    for (size_t i = 0; i < f->nstmts; i++)
        if (matters(&f->stmts[i])) return true;
    return false;
}

/* When it goes well, what it names is made, or gone. */
static bool makes_names(const struct pol_stmt *t) {
    bool sql = t->kind == POL_K_PREPARE || t->kind == POL_K_DECLARE || t->kind == POL_K_DEALLOCATE || t->kind == POL_K_CLOSE ||
               t->kind == POL_K_DISCARD;
    return sql || (t->forget_statement == NULL && t->forget_portal == NULL && !t->forget_all_statements && !t->forget_all_portals);
}

/* Nothing of it runs code that may PREPARE or DECLARE: anything else may, by a function, a view, a trigger, an operator. */
static bool runs_no_code(const struct pol_stmt *t) {
    switch (t->kind) {
    case POL_K_EMPTY:
    case POL_K_SET:
    case POL_K_SHOW:
    case POL_K_DEALLOCATE:
    case POL_K_CLOSE:
    case POL_K_DISCARD:
    case POL_K_NOTIFY: return !t->opaque && t->nfunctions == 0 && t->nrelations == 0;
    default: return false;
    }
}

/* Somebody could have meant it to: a cursor that a function opens is read by FETCH. */
static bool calls_code(const struct pol_stmt *t) {
    if (t->opaque || t->kind == POL_K_CALL || t->kind == POL_K_DO) return true;
    for (size_t i = 0; i < t->nfunctions; i++) {
        const struct pol_function *f = &t->functions[i];
        if ((f->schema != NULL && strcmp(f->schema, "pg_catalog") != 0) || !pg_function_harmless(f->name)) return true;
    }
    return false;
}

/* MySQL: nobody is told of statements that code prepares, and none needs a function for it. */
void session_names_code(struct session *s, bool called) {
    names_code(&s->prepared, s->rights, called || s->mysql);
    names_code(&s->cursors, s->rights, called || s->mysql);
}

void session_names_promised(struct session *s, const struct pol_facts *f) {
    if (s->q->alone) names_transaction_over(&s->cursors);
    for (size_t i = 0; i < f->nstmts; i++) {
        const struct pol_stmt *t = &f->stmts[i];
        if (!runs_no_code(t)) session_names_code(s, calls_code(t));
        const struct name_maker by = {s->epoch, s->rights, t->len, t->hold};
        if (t->kind == POL_K_PREPARE && t->forget_statement != NULL) names_promise(&s->prepared, t->forget_statement, &by);
        if (t->kind == POL_K_DECLARE && t->forget_portal != NULL) names_promise(&s->cursors, t->forget_portal, &by);
    }
}

/* One kind of names, of a statement that went well. True: none are left. */
static bool done(struct names *n, bool makes, const char *name, bool all, uint64_t epoch) {
    if (all)
        names_clear(n);
    else if (name != NULL && makes)
        names_end(n, name, epoch, true);
    else if (name != NULL)
        names_dropped(n, name);
    return all;
}

void session_names_ended(struct session *s, const struct running *r, bool ok) {
    const struct pol_facts *f = facts_of(r->facts);
    bool no_statements = false, no_cursors = false;
    for (size_t i = 0; i < f->nstmts; i++) {
        const struct pol_stmt *t = &f->stmts[i];
        bool prepares = t->kind == POL_K_PREPARE, declares = t->kind == POL_K_DECLARE;
        if (!ok) { /* it may have been made all the same, by the text's beginning */
            if (prepares && t->forget_statement != NULL) names_end(&s->prepared, t->forget_statement, r->epoch, false);
            if (declares && t->forget_portal != NULL) names_end(&s->cursors, t->forget_portal, r->epoch, false);
            continue;
        }
        no_statements =
            (no_statements && runs_no_code(t)) | done(&s->prepared, prepares, t->forget_statement, t->forget_all_statements, r->epoch);
        no_cursors = (no_cursors && runs_no_code(t)) | done(&s->cursors, declares, t->forget_portal, t->forget_all_portals, r->epoch);
    }
    if (s->run_count > 0) return; /* what was sent behind it may have made names since */
    if (no_statements) s->prepared.code = 0;
    if (no_cursors) s->cursors.code = 0;
}

/* --- what a text uses by its name --- */

/* True: the verdict says why it may not. What the filter has to decide, when it knows the fate of all that was sent, it is told by session_fill_names(). */
static bool held_back(struct session *s, bool portal, const char *name, struct pol_verdict *v) {
    enum names_is is = names_look(portal ? &s->cursors : &s->prepared, name, s->epoch, s->rights);
    enum flt_name known = flt_name(s->filter, portal, name);
    if (known == FLT_NAME_MESSAGE) return false;
    if (known == FLT_NAME_DOUBT)
        stmt_deny(v, portal ? "34000" : "26000", portal ? FLT_PORTAL_DOUBT : FLT_STATEMENT_DOUBT,
                  portal ? FLT_PORTAL_DOUBT_HINT : FLT_STATEMENT_DOUBT_HINT);
    else if (is == NAMES_OLD)
        stmt_deny(v, "42501",
                  portal ? "the policy, your groups or the database's schema have changed since this cursor was declared"
                         : "the policy, your groups or the database's schema have changed since this statement was prepared",
                  portal ? "CLOSE it and DECLARE it again." : "DEALLOCATE it and PREPARE it again.");
    else if (is == NAMES_CODE_OLD)
        stmt_deny(v, "42501", portal ? FLT_PORTAL_OLD : FLT_STATEMENT_OLD, s->mysql ? "Connect again." : FLT_OLD_HINT);
    else if (is == NAMES_UNKNOWN && !s->mysql)
        stmt_deny(v, portal ? "34000" : "26000", portal ? FLT_NO_PORTAL : FLT_NO_STATEMENT,
                  portal ? "Declare or bind it again." : "Prepare it again.");
    else
        return false;
    return true;
}

/* A name that is used by a statement of a text; made: by one before it there. Where that fails, what stands behind it does not run. */
struct used {
    const struct pol_stmt *stmt;
    bool portal, made;
    const char *name;
};

/* In their order, for as long as each says true. */
static bool each_use(const struct pol_facts *f, bool (*each)(void *arg, const struct used *u), void *arg) {
    static const struct name_maker now = {.generation = 1};
    struct names made[2] = {{0}, {0}}; /* statements, portals */
    bool ok = true;
    for (size_t i = 0; ok && i < f->nstmts; i++) {
        const struct pol_stmt *t = &f->stmts[i];
        const char *names[2] = {t->kind == POL_K_DEALLOCATE ? NULL : t->uses_statement, t->kind == POL_K_CLOSE ? NULL : t->uses_portal};
        for (int k = 0; ok && k < 2; k++)
            if (names[k] != NULL) {
                const struct used u = {t, k == 1, names_look(&made[k], names[k], 0, 0) == NAMES_MADE, names[k]};
                ok = each(arg, &u);
            }
        if (t->kind == POL_K_PREPARE && t->forget_statement != NULL) names_promise(&made[0], t->forget_statement, &now);
        if (t->kind == POL_K_DECLARE && t->forget_portal != NULL) names_promise(&made[1], t->forget_portal, &now);
    }
    names_free(&made[0]);
    names_free(&made[1]);
    return ok;
}

static bool room_for(const struct names *n, const char *name, size_t more, size_t max, size_t bytes, size_t max_bytes) {
    return names_look(n, name, 0, 0) == NAMES_MADE ? n->bytes + bytes <= max_bytes : n->n + more < max && n->bytes + bytes <= max_bytes;
}

/* What SQL makes takes the server's memory as what messages make does. */
static bool too_many(struct session *s, const struct pol_facts *f, struct pol_verdict *v) {
    const struct conf_limits *l = &s->login->conf->limits;
    size_t statements = 0, cursors = 0, bytes = 0;
    for (size_t i = 0; i < f->nstmts; i++) {
        const struct pol_stmt *t = &f->stmts[i];
        bool prepares = t->kind == POL_K_PREPARE && t->forget_statement != NULL,
             declares = t->kind == POL_K_DECLARE && t->forget_portal != NULL;
        if (!prepares && !declares) continue;
        bytes += t->len;
        if (prepares && !room_for(&s->prepared, t->forget_statement, statements++, l->prepared, bytes, 4 * l->statement))
            stmt_deny(v, "54000", "this session keeps too many prepared statements",
                      s->mysql ? "DEALLOCATE PREPARE those that are no longer used."
                               : "DEALLOCATE those that are no longer used; DEALLOCATE ALL or DISCARD ALL ends all of them.");
        else if (declares && !room_for(&s->cursors, t->forget_portal, cursors++, l->portals, bytes, 4 * l->statement))
            stmt_deny(v, "54000", "this session keeps too many cursors",
                      "CLOSE those that are no longer used, or end the transaction; CLOSE ALL ends all of them.");
        else
            continue;
        v->stmt = i;
        return true;
    }
    return false;
}

struct refusing {
    struct session *s;
    const struct pol_facts *f;
    struct pol_verdict *v;
};

static bool may_use(void *arg, const struct used *u) {
    const struct refusing *r = arg;
    if (u->made || !held_back(r->s, u->portal, u->name, r->v)) return true;
    r->v->stmt = (size_t)(u->stmt - r->f->stmts);
    return false;
}

bool session_names_refuse(struct session *s, const struct pol_facts *f, struct pol_verdict *v) {
    struct refusing r = {s, f, v};
    if (!session_names_matter(f)) return false;
    if (s->q->alone) names_transaction_over(&s->cursors);
    return !each_use(f, may_use, &r) || too_many(s, f, v);
}

/* --- what the filter is told --- */

struct filling {
    struct session *s;
    struct flt_answer *a;
    struct flt_use *executed, *fetched;
};

static bool fill_use(void *arg, const struct used *u) {
    static const enum flt_made made[] = {[NAMES_UNKNOWN] = FLT_MADE_NOT,
                                         [NAMES_MADE] = FLT_MADE_SQL,
                                         [NAMES_OLD] = FLT_MADE_OLD,
                                         [NAMES_CODE] = FLT_MADE_SQL,
                                         [NAMES_CODE_OLD] = FLT_MADE_OLD};
    const struct filling *x = arg;
    struct session *s = x->s;
    struct flt_use use = {.name = u->name, .place = u->portal && u->stmt->kind != POL_K_FETCH};
    if (s->role != NULL && pol_role_observes(s->role))
        use.made = FLT_MADE_ANY;
    else
        use.made = u->made ? FLT_MADE_SQL : made[names_look(u->portal ? &s->cursors : &s->prepared, u->name, s->epoch, s->rights)];
    if (u->portal)
        x->fetched[x->a->nfetched++] = use;
    else
        x->executed[x->a->nexecuted++] = use;
    return true;
}

bool session_fill_names(struct session *s, const struct pol_facts *f, bool as_sent, struct flt_answer *a, struct session_names *lists) {
    size_t n = 0;
    *lists = (struct session_names){0};
    for (size_t i = 0; i < f->nstmts; i++) n += matters(&f->stmts[i]);
    if (n == 0) return true;
    lists->names = calloc(2 * n, sizeof *lists->names);
    lists->uses = calloc(2 * n, sizeof *lists->uses);
    if (lists->names == NULL || lists->uses == NULL) return false;
    const char **statements = lists->names, **portals = statements + n;
    struct filling x = {s, a, lists->uses, lists->uses + n};
    each_use(f, fill_use, &x);
    for (size_t i = 0; i < f->nstmts; i++) {
        const struct pol_stmt *t = &f->stmts[i];
        if (!matters(t)) continue;
        if (t->kind == POL_K_EXPLAIN) continue; /* of DECLARE: makes nothing */
        if (t->forget_statement != NULL && !t->forget_all_statements) statements[a->nforget_statements++] = t->forget_statement;
        if (t->forget_portal != NULL && !t->forget_all_portals) portals[a->nforget_portals++] = t->forget_portal;
        a->forget_all_statements = a->forget_all_statements || t->forget_all_statements;
        a->forget_all_portals = a->forget_all_portals || t->forget_all_portals;
        a->forgets_unread = a->forgets_unread || !as_sent || !makes_names(t);
    }
    a->forget_statements = statements;
    a->forget_portals = portals;
    a->fetched = x.fetched;
    a->executed = x.executed;
    a->many = f->nstmts > 1;
    return true;
}

void session_names_free(struct session_names *lists) {
    free(lists->names);
    free(lists->uses);
}

/* --- portals that end with a transaction, or a part of one --- */

static enum flt_portals portals_of(const struct pol_stmt *t) {
    static const enum flt_portals of[] = {[POL_B_NONE] = FLT_PORTALS_STAY,
                                          [POL_B_END] = FLT_PORTALS_END,
                                          [POL_B_SAVEPOINT] = FLT_PORTALS_MARK,
                                          [POL_B_RELEASE] = FLT_PORTALS_RELEASE,
                                          [POL_B_BACK] = FLT_PORTALS_BACK};
    return t->kind == POL_K_CALL || t->kind == POL_K_DO ? FLT_PORTALS_CODE : of[t->bounds];
}

void session_fill_portals(const struct pol_facts *f, struct flt_answer *a) {
    bool several = f->nstmts > 1;
    for (size_t i = 0; i < f->nstmts; i++) {
        enum flt_portals p = portals_of(&f->stmts[i]);
        bool ends = p == FLT_PORTALS_END || p == FLT_PORTALS_BACK || p == FLT_PORTALS_CODE;
        if (p == FLT_PORTALS_STAY) continue;
        if (!several)
            a->portals = p;
        else if (ends || a->portals == FLT_PORTALS_STAY)
            a->portals = ends ? FLT_PORTALS_MANY : FLT_PORTALS_MARKS;
        if (!several) a->savepoint = f->stmts[i].savepoint;
    }
}
