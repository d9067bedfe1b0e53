/* The client's direction after the login: messages are held until they are judged, and forwarded whole or not at all. */
#include "filters/pg_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Describe, Close, Execute hold a name and a few bytes; a longer name is refused anyway. */
#define SHORT_MESSAGE 4096u

/* Bytes of parameters that a session's Binds may keep for the record: those in flight, and those of its portals. */
#define BOUND_MAX (4u << 20)

enum next { DONE, WAIT };

/* --- refusing -------------------------------------------------------------------------------------------------------------- */

/* One mechanism for every refusal. Once there is a server it makes the error itself, so that its pipeline and transaction
 * end as honestly as after an error of its own: Describe of a portal that cannot exist; its error is replaced on the way back. */
static void refuse_now(struct pg_filter *f, bool simple) {
    struct buf *client = &f->base.out[FLT_CLIENT], *server = &f->base.out[FLT_SERVER];
    f->stream_drop = true;
    if (f->refusal.failed) {
        pg_no_memory(f);
        return;
    }
    if (f->refusal_fatal) {
        buf_put(client, buf_at(&f->refusal), buf_used(&f->refusal));
        pg_queue_end(f, true);
        flt_post_close(&f->base, GH_OK, "ended by a refusal");
        return;
    }
    if (f->up == PG_UP_NONE) {
        buf_put(client, buf_at(&f->refusal), buf_used(&f->refusal));
        if (simple)
            pg_put_ready(client, 'I');
        else
            f->skip = true;
        return;
    }
    size_t len = buf_used(&f->refusal);
    uint8_t *copy = malloc(len);
    if (copy == NULL) {
        pg_no_memory(f);
        return;
    }
    memcpy(copy, buf_at(&f->refusal), len);
    struct pg_entry *e = pg_queue_push(f, PG_S_POISON);
    if (e == NULL) {
        free(copy);
        return;
    }
    e->error = copy;
    e->error_len = len;
    /* A Query, and a Parse of the unnamed statement, drop the old one before they can fail. */
    const uint8_t *msg = buf_at(&f->msg);
    bool drops = msg[0] == 'Q' || (msg[0] == 'P' && buf_used(&f->msg) > 5 && msg[5] == '\0');
    if (drops && pg_names_get(&f->statements, "") != NULL) {
        e->statement = true;
        e->name = pg_names_pend(&f->statements, "", NULL, f->unit);
    }
    pg_put_named(server, 'D', 'P', f->poison);
    if (!simple) {
        f->skip = true;
        return;
    }
    if (pg_queue_push(f, PG_S_SYNC) == NULL) return;
    pg_put_simple(server, 'S');
    f->unit++;
}

static enum next refuse(struct pg_filter *f, bool simple, const char *sqlstate, const char *message, const char *hint) {
    buf_reset(&f->refusal);
    pg_put_error(&f->refusal, &(struct pg_error_text){.sqlstate = sqlstate, .message = message, .hint = hint});
    f->refusal_fatal = false;
    refuse_now(f, simple);
    return DONE;
}

static enum next name_too_long(struct pg_filter *f) {
    return refuse(f, false, "42622", "a prepared statement's or portal's name is longer than 63 bytes",
                  "The server compares only the first 63 bytes of such a name; use a shorter one.");
}

/* --- asking ---------------------------------------------------------------------------------------------------------------- */

static bool upstream(struct pg_filter *f) {
    if (f->up == PG_UP_READY) return true;
    if (f->up == PG_UP_NONE) {
        f->up = PG_UP_ASKED;
        flt_post(&f->base, &(struct flt_event){.kind = FLT_EV_UPSTREAM});
    }
    return false;
}

/* Makes the server send what it has: needed where we wait for an answer that no Sync has been sent for. */
static void barrier(struct pg_filter *f) {
    if (f->barrier > 0 || f->up != PG_UP_READY) return;
    pg_put_simple(&f->base.out[FLT_SERVER], 'H');
    f->barrier = f->q_len;
}

static enum next ask(struct pg_filter *f, enum flt_stmt_kind kind, const char *text, size_t len, const char *name, bool by_name) {
    struct flt_event ev = {.kind = FLT_EV_STATEMENT, .stmt = {.id = ++f->last_id, .kind = kind, .text = text, .len = len, .name = name}};
    ev.stmt.alone = f->up == PG_UP_NONE || (f->up == PG_UP_READY && f->status == 'I' && f->q_len == 0 && !f->unit_open);
    if (f->held != NULL) {
        ev.stmt.types = f->held->stmt->types;
        ev.stmt.ntypes = f->held->stmt->ntypes;
        ev.stmt.ctx = f->held->stmt->ctx;
        ev.stmt.params = f->held->params;
        ev.stmt.nparams = f->held->nparams;
        ev.stmt.params_cut = f->held->cut;
    }
    ev.stmt.by_name = by_name;
    f->step = PG_STEP_ASKED;
    f->asked_id = ev.stmt.id;
    if (!f->nested) f->msg_id = ev.stmt.id;
    flt_post(&f->base, &ev);
    return WAIT;
}

void pg_client_not_run(struct pg_filter *f) {
    if (!f->whole || buf_at(&f->msg)[0] == 'P') return;
    if (f->step == PG_STEP_ALLOWED)
        pg_post_result(f, &(struct pg_entry){.id = f->msg_id, .portal_id = f->nested ? f->last_id : 0}, "", true);
    if (f->step == PG_STEP_ASKED && f->nested) pg_post_result(f, &(struct pg_entry){.id = f->msg_id}, "", true);
}

/* What the text runs by its name and a message of the protocol made: one portal that it fetches from, or one statement that it executes. */
struct named_one {
    struct pg_portal *portal;
    struct pg_stmt *stmt; /* the portal's, or the statement */
    const char *name;
    bool several;
};

static struct named_one find_named(struct pg_filter *f) {
    struct named_one one = {0};
    for (size_t i = 0; i < f->answer.nfetched; i++) {
        struct pg_name *n = pg_names_get(&f->portals, f->fetched[i].name);
        struct pg_portal *p = n != NULL ? n->live : NULL;
        if (p == NULL || f->fetched[i].place) continue;
        one.several = one.several || (one.stmt != NULL && one.portal != p);
        one.portal = p;
        one.stmt = p->stmt;
        one.name = n->name;
    }
    for (size_t i = 0; i < f->answer.nexecuted; i++) {
        struct pg_name *n = pg_names_get(&f->statements, f->executed[i].name);
        struct pg_stmt *s = n != NULL ? n->live : NULL;
        if (s == NULL) continue;
        one.several = one.several || one.stmt != NULL; /* the same twice too: each would be a row of the record */
        one.stmt = s;
        one.name = n->name;
    }
    return one;
}

static bool forget_waits(struct pg_filter *f) {
    if (!pg_forget_waits(f)) return false;
    barrier(f);
    return true;
}

static void hold_back(struct pg_filter *f, bool simple, enum pg_held why) {
    static const struct {
        const char *sqlstate, *message, *hint;
    } say[] = {
        [PG_HELD_STATEMENT] = {"26000", FLT_NO_STATEMENT, "Prepare it again."},
        [PG_HELD_PORTAL] = {"34000", FLT_NO_PORTAL, "Declare or bind it again."},
        [PG_HELD_STATEMENT_OLD] = {"42501", FLT_STATEMENT_OLD, FLT_OLD_HINT},
        [PG_HELD_PORTAL_OLD] = {"42501", FLT_PORTAL_OLD, FLT_OLD_HINT},
        [PG_HELD_STATEMENT_DOUBT] = {"26000", FLT_STATEMENT_DOUBT, FLT_STATEMENT_DOUBT_HINT},
        [PG_HELD_PORTAL_DOUBT] = {"34000", FLT_PORTAL_DOUBT, FLT_PORTAL_DOUBT_HINT},
    };
    refuse(f, simple, say[why].sqlstate, say[why].message, say[why].hint);
}

/* Before a statement runs that reads a portal (FETCH, MOVE) or runs a prepared statement (EXECUTE) by name: when a Bind or a Parse made it, this runs it as
 * an Execute would, so it is judged and recorded as one, a portal with its parameters. */
enum named { NAMED_OK, NAMED_WAIT, NAMED_REFUSED };
static enum named runs_named(struct pg_filter *f, bool simple) {
    if ((f->answer.nfetched > 0 && (f->portals.npend > 0 || pg_ends_wait(f, NULL))) ||
        (f->answer.nexecuted > 0 && f->statements.npend > 0)) {
        barrier(f);
        return NAMED_WAIT;
    }
    enum pg_held why = pg_held_back(f);
    if (why != PG_HELD_NOT) {
        pg_client_not_run(f);
        hold_back(f, simple, why);
        return NAMED_REFUSED;
    }
    struct named_one one = find_named(f);
    bool same = f->nested && (one.portal != NULL ? one.portal == f->nested_portal : one.stmt == f->nested_portal->stmt);
    if (!one.several && (f->nested ? same : one.stmt == NULL)) return NAMED_OK;
    if (f->nested || one.several) {
        pg_client_not_run(f);
        if (one.several)
            refuse(f, simple, "0A000",
                   "FETCH, MOVE and EXECUTE can run one portal or statement that a message made, not several in one text",
                   "Send them one by one, or use Execute messages.");
        else /* no longer the one that was asked about */
            refuse(f, simple, "34000", "there is no such portal or prepared statement in this session", "Make it again.");
        return NAMED_REFUSED;
    }
    struct pg_portal *asked = one.portal != NULL ? one.portal : pg_portal_new(one.stmt, NULL, 0, 0), *outer = f->held;
    if (asked == NULL) {
        pg_fatal(f, GH_LIMIT, "53200", "out of memory", NULL, "out of memory");
        return NAMED_REFUSED;
    }
    if (one.portal != NULL) asked->refs++;
    f->nested_portal = asked;
    f->nested = true;
    f->held = asked;
    ask(f, FLT_STMT_EXECUTE, one.stmt->text, one.stmt->len, one.name, one.portal == NULL);
    f->held = outer;
    return NAMED_WAIT;
}

/* --- forwarding ------------------------------------------------------------------------------------------------------------ */

static void forward(struct pg_filter *f) {
    buf_put(&f->base.out[FLT_SERVER], buf_at(&f->msg), buf_used(&f->msg));
    f->stream_drop = false;
}

static void limit(struct pg_filter *f, struct pg_entry *e) {
    e->limited = f->answer.limited;
    e->max_rows = e->limited ? f->answer.max_rows : 0;
    e->max_bytes = e->limited ? f->answer.max_bytes : 0;
    e->keep_rows = f->answer.keep_rows;
    e->keep_bytes = f->answer.keep_bytes;
}

/* What positions in the server's errors mean to the client. */
static void keep_positions(struct pg_filter *f, struct pg_entry *e) {
    e->as_sent = f->rewritten == NULL;
    if (e->as_sent) return;
    e->pieces = f->pieces;
    e->npieces = f->answer.npieces;
    f->pieces = NULL;
}

/* A Query outside of a transaction block commits before anybody can look at its rows. Which it is, is known when all before it is answered. */
static enum named stays_undoable(struct pg_filter *f) {
    if (!f->answer.undoes || (f->answer.max_rows | f->answer.max_bytes) == 0) return NAMED_OK;
    if (f->q_len > 0) {
        barrier(f);
        return NAMED_WAIT;
    }
    if (f->status != 'I') return NAMED_OK;
    pg_client_not_run(f);
    refuse(f, true, "0A000",
           "a change that returns rows cannot run by itself: the policy limits its result, and what is over the limit would be changed all "
           "the same",
           "Send BEGIN before it and COMMIT behind it, or leave RETURNING out.");
    return NAMED_REFUSED;
}

static enum next on_query(struct pg_filter *f, struct cur body) {
    const char *text;
    size_t len;
    if (f->stream_tail > 0)
        return refuse(f, true, "54000", "the statement is longer than Gatehouse reads",
                      "Send smaller statements, use COPY or parameters for the data, or have limits.statement raised.");
    if (!cur_cstr(&body, &text, &len) || cur_left(&body) != 0) {
        pg_violation(f, "Query message whose text does not end with its only NUL");
        return DONE;
    }
    if (f->step == PG_STEP_NEW) return ask(f, FLT_STMT_QUERY, text, len, NULL, false);
    if (f->step == PG_STEP_REFUSED) {
        refuse_now(f, true);
        return DONE;
    }
    if (!upstream(f)) return WAIT;
    enum named named = runs_named(f, true);
    if (named != NAMED_OK) return named == NAMED_WAIT ? WAIT : DONE;
    if ((named = stays_undoable(f)) != NAMED_OK) return named == NAMED_WAIT ? WAIT : DONE;
    if (forget_waits(f)) return WAIT;
    struct pg_entry *e = pg_queue_push(f, PG_S_QUERY);
    if (e == NULL || !pg_forget_begin(f, e)) return DONE;
    pg_ends_begin(f, e);
    e->id = f->msg_id;
    e->portal_id = f->nested ? f->last_id : 0;
    keep_positions(f, e);
    limit(f, e);
    if (f->rewritten == NULL) {
        forward(f);
    } else {
        size_t at = pg_begin(&f->base.out[FLT_SERVER], 'Q');
        buf_put(&f->base.out[FLT_SERVER], f->rewritten, f->answer.rewritten_len);
        buf_u8(&f->base.out[FLT_SERVER], 0);
        pg_end(&f->base.out[FLT_SERVER], at);
    }
    f->wait_query = true;
    f->unit++;
    return DONE;
}

/* The parameters' types behind a Parse's text, whose length on_parse() has checked. */
static bool keep_types(struct pg_stmt *s, struct cur rest) {
    uint16_t n;
    if (!cur_be16(&rest, &n)) return false;
    if (n == 0) return true;
    s->types = calloc(n, sizeof *s->types);
    if (s->types == NULL) return false;
    while (s->ntypes < n && cur_be32(&rest, &s->types[s->ntypes])) s->ntypes++;
    return s->ntypes == n;
}

static enum next send_parse(struct pg_filter *f, const char *name, const char *text, size_t len, struct cur rest) {
    struct pg_stmt *s = f->secret ? pg_stmt_new(f->rewritten, f->answer.rewritten_len) : pg_stmt_new(text, len);
    struct pg_entry *e = s == NULL || !keep_types(s, rest) ? NULL : pg_queue_push(f, PG_S_PARSE);
    if (e == NULL) {
        pg_stmt_unref(s);
        pg_no_memory(f);
        return DONE;
    }
    e->obj = s;
    keep_positions(f, e);
    s->ctx = f->answer.ctx;
    s->ctx_free = f->base.conf.ctx_free;
    s->copy_in = f->answer.copy_in;
    f->answer.ctx = NULL;
    e->name = pg_names_pend(&f->statements, name, s, f->unit);
    if (e->name == NULL) {
        pg_no_memory(f);
        return DONE;
    }
    if (f->rewritten == NULL) {
        forward(f);
        return DONE;
    }
    struct buf *out = &f->base.out[FLT_SERVER];
    size_t at = pg_begin(out, 'P');
    buf_cstr(out, name);
    buf_put(out, f->rewritten, f->answer.rewritten_len);
    buf_u8(out, 0);
    buf_put(out, rest.p, cur_left(&rest));
    pg_end(out, at);
    return DONE;
}

static enum next on_parse(struct pg_filter *f, struct cur body) {
    const char *name, *text;
    size_t name_len, len;
    uint16_t types;
    if (f->stream_tail > 0)
        return refuse(f, false, "54000", "the statement is longer than Gatehouse reads",
                      "Send smaller statements, use parameters for the data, or have limits.statement raised.");
    if (!cur_cstr(&body, &name, &name_len) || !cur_cstr(&body, &text, &len)) {
        pg_violation(f, "Parse message without its strings");
        return DONE;
    }
    struct cur rest = body;
    if (!cur_be16(&body, &types) || cur_left(&body) != 4 * (size_t)types) {
        pg_violation(f, "Parse message whose parameter types do not fill it");
        return DONE;
    }
    if (f->step == PG_STEP_REFUSED) {
        refuse_now(f, false);
        return DONE;
    }
    if (name_len > PG_NAME_MAX) return name_too_long(f);
    if (f->step == PG_STEP_NEW) {
        const struct flt_limits *l = &f->base.conf.limits;
        if (len > l->statement)
            return refuse(f, false, "54000", "the statement is longer than Gatehouse reads", "Have limits.statement raised.");
        if ((pg_names_get(&f->statements, name) == NULL && f->statements.count >= l->statements) || f->statements.bytes > 4 * l->statement)
            return refuse(f, false, "54000", "this session keeps too many prepared statements",
                          "Close or DEALLOCATE those that are no longer used.");
        return ask(f, FLT_STMT_PREPARE, text, len, name, false);
    }
    if (!upstream(f)) return WAIT;
    return send_parse(f, name, text, len, rest);
}

/* Reads a Bind's parameters as far as they are present. False: malformed. The list is a scratch of malloc(); NULL without memory. */
static bool read_params(struct pg_filter *f, struct cur *c, struct flt_param **list, size_t *count, bool *cut) {
    uint16_t nformats, nparams, format = 0;
    struct cur formats;
    bool prefix = f->stream_tail > 0;
    *list = NULL;
    *count = 0;
    *cut = false;
    if (!cur_be16(c, &nformats) || !cur_sub(c, 2 * (size_t)nformats, &formats) || !cur_be16(c, &nparams))
        return prefix ? (*cut = true) : false;
    if (nformats > 1 && nformats != nparams) return false;
    struct flt_param *p = gh_zalloc((nparams + 1u) * sizeof *p);
    *list = p;
    if (p == NULL) return true;
    for (size_t i = 0; i < nparams; i++) {
        uint32_t len;
        if ((nformats > 1 || i == 0) && nformats > 0 && !cur_be16(&formats, &format)) return false;
        if (!cur_be32(c, &len)) return prefix ? (*cut = true) : false;
        p[i].binary = format == 1;
        *count = i + 1;
        if (len == 0xffffffffu) continue;
        size_t left = cur_left(c);
        if (len > left && !prefix) return false;
        p[i].len = len;
        p[i].kept = len > left ? (uint32_t)left : len;
        if (!cur_take(c, p[i].kept, &p[i].data)) return false;
        if (p[i].kept < len) return (*cut = true);
    }
    uint16_t nresults;
    if (prefix) return true;
    return cur_be16(c, &nresults) && cur_left(c) == 2 * (size_t)nresults;
}

static enum next on_bind(struct pg_filter *f, struct cur body) {
    const char *portal, *name;
    size_t portal_len, name_len, n;
    bool wait, cut;
    if (!cur_cstr(&body, &portal, &portal_len) || !cur_cstr(&body, &name, &name_len)) {
        pg_violation(f, "Bind message without its strings");
        return DONE;
    }
    if (portal_len > PG_NAME_MAX || name_len > PG_NAME_MAX) return name_too_long(f);
    struct pg_stmt *s = pg_names_look(&f->statements, name, f->unit, &wait);
    if (wait) return WAIT;
    if (s == NULL)
        return refuse(f, false, "26000", "there is no such prepared statement in this session",
                      "Prepare it with a Parse message; names made by SQL's PREPARE are run with EXECUTE.");
    if (pg_names_get(&f->portals, portal) == NULL && f->portals.count >= f->base.conf.limits.portals)
        return refuse(f, false, "54000", "this session keeps too many portals",
                      "Close those that are no longer used, or end the transaction.");
    if (f->bound > BOUND_MAX) {
        barrier(f);
        return WAIT;
    }
    if (f->portals.bytes > BOUND_MAX)
        return refuse(f, false, "54000", "this session's portals keep too many parameters",
                      "Close those that are no longer used, or end the transaction.");
    struct flt_param *params;
    struct pg_portal *p = NULL;
    bool ok = read_params(f, &body, &params, &n, &cut);
    if (ok && (params != NULL || cut)) p = pg_portal_new(s, params, n, f->base.conf.limits.params);
    free(params);
    if (p == NULL) {
        if (ok)
            pg_no_memory(f);
        else
            pg_violation(f, "Bind message whose parameters do not fit");
        return DONE;
    }
    p->cut = p->cut || cut;
    struct pg_entry *e = pg_queue_push(f, PG_S_BIND);
    if (e == NULL) {
        pg_portal_unref(p);
        return DONE;
    }
    e->obj = p;
    f->bound += p->bytes;
    e->name = pg_names_pend(&f->portals, portal, p, f->unit);
    if (e->name == NULL) {
        pg_no_memory(f);
        return DONE;
    }
    e->name->sent = f->sent;
    forward(f);
    return DONE;
}

static enum next no_portal(struct pg_filter *f) {
    return refuse(f, false, "34000", "there is no such portal in this session",
                  "Bind a prepared statement first; cursors made by DECLARE are read with FETCH.");
}

static enum next on_execute(struct pg_filter *f, struct cur body) {
    const char *name;
    size_t len;
    uint32_t rows;
    bool wait;
    if (!cur_cstr(&body, &name, &len) || !cur_be32(&body, &rows) || cur_left(&body) != 0) {
        pg_violation(f, "Execute message of a wrong length");
        return DONE;
    }
    if (f->step == PG_STEP_REFUSED) {
        refuse_now(f, false);
        return DONE;
    }
    if (len > PG_NAME_MAX) return name_too_long(f);
    struct pg_portal *p = pg_names_look(&f->portals, name, f->unit, &wait);
    if (wait) return WAIT;
    if (p != NULL && pg_ends_wait(f, pg_names_get(&f->portals, name))) {
        barrier(f);
        return WAIT;
    }
    if (f->step == PG_STEP_NEW) {
        if (p == NULL) return no_portal(f);
        p->refs++;
        f->held = p;
        return ask(f, FLT_STMT_EXECUTE, p->stmt->text, p->stmt->len, name, false);
    }
    /* What was asked about must still be what the name means. */
    if (p != f->held) {
        pg_client_not_run(f);
        return no_portal(f);
    }
    if (!upstream(f)) return WAIT;
    enum named named = runs_named(f, false);
    if (named != NAMED_OK) return named == NAMED_WAIT ? WAIT : DONE;
    if (forget_waits(f)) return WAIT;
    struct pg_entry *e = pg_queue_push(f, PG_S_EXECUTE);
    if (e == NULL || !pg_forget_begin(f, e)) return DONE;
    pg_ends_begin(f, e);
    e->id = f->msg_id;
    e->portal_id = f->nested ? f->last_id : 0;
    limit(f, e);
    f->copy_hold = f->answer.copy_in || p->stmt->copy_in || e->limited;
    forward(f);
    if (e->limited) pg_put_simple(&f->base.out[FLT_SERVER], 'H'); /* its Sync is held back here */
    return DONE;
}

/* Describe ('D') and Close ('C'). */
static enum next on_named(struct pg_filter *f, char type, struct cur body) {
    uint8_t what;
    const char *name;
    size_t len;
    if (!cur_u8(&body, &what) || (what != 'S' && what != 'P') || !cur_cstr(&body, &name, &len) || cur_left(&body) != 0) {
        pg_violation(f, "Describe or Close message of a wrong form");
        return DONE;
    }
    if (len > PG_NAME_MAX) return name_too_long(f);
    if (f->up != PG_UP_READY) { /* no server yet: nothing has a name */
        if (type == 'C') {
            pg_put_simple(&f->base.out[FLT_CLIENT], '3');
            return DONE;
        }
        return what == 'P' ? no_portal(f) : refuse(f, false, "26000", "there is no such prepared statement in this session", NULL);
    }
    struct pg_names *names = what == 'S' ? &f->statements : &f->portals;
    if (type == 'D' && len == 0) {
        /* No SQL makes an unnamed one, so what we do not know is not there, or is what a refusal or a failed Query has left: the server
         * must not be asked about it (PostgreSQL 15 reads freed memory when a failed Query's portal is described or executed). */
        bool wait;
        void *known = pg_names_look(names, name, f->unit, &wait);
        if (wait) return WAIT;
        if (known == NULL)
            return what == 'P' ? no_portal(f) : refuse(f, false, "26000", "there is no unnamed prepared statement in this session", NULL);
    }
    struct pg_entry *e = pg_queue_push(f, type == 'C' ? PG_S_CLOSE : what == 'S' ? PG_S_DESCRIBE_STATEMENT : PG_S_DESCRIBE_PORTAL);
    if (e == NULL) return DONE;
    if (type == 'C') {
        e->statement = what == 'S';
        if (pg_names_get(names, name) != NULL) e->name = pg_names_pend(names, name, NULL, f->unit);
    }
    forward(f);
    return DONE;
}

static enum next on_sync(struct pg_filter *f) {
    f->skip = false;
    if (f->up != PG_UP_READY) {
        pg_put_ready(&f->base.out[FLT_CLIENT], 'I');
        return DONE;
    }
    if (pg_queue_push(f, PG_S_SYNC) == NULL) return DONE;
    forward(f);
    f->unit++;
    return DONE;
}

static enum next on_copy(struct pg_filter *f, char type) {
    /* The client need not wait for CopyInResponse, but we must: only then it is known that the server reads these as data. */
    if (f->wait_query && !f->copy_in) return WAIT;
    if (!f->copy_in) { /* left over from a COPY that failed: the server would ignore them too */
        f->stream_drop = true;
        return DONE;
    }
    if (type == 'd') {
        struct pg_entry *e = pg_queue_head(f);
        if (e != NULL) e->bytes += f->stream_tail;
    } else {
        f->copy_in = false;
    }
    forward(f);
    return DONE;
}

static bool empty_body(struct pg_filter *f, const struct cur *body) {
    if (cur_left(body) == 0) return true;
    pg_violation(f, "Flush, Sync, CopyDone or Terminate message with a body");
    return false;
}

static enum next dispatch_ready(struct pg_filter *f, char type, struct cur body) {
    if (type == 'X') {
        if (f->q_len > 0 && !f->copy_in) { /* what was sent before still counts, and its end is to be recorded */
            barrier(f);
            return WAIT;
        }
        if (f->up == PG_UP_READY && !f->copy_in) pg_put_simple(&f->base.out[FLT_SERVER], 'X');
        pg_queue_end(f, true);
        flt_post_close(&f->base, GH_OK, "client ended the session");
        return DONE;
    }
    if (f->step == PG_STEP_ASKED) return WAIT;
    if (f->skip && type != 'S' && !(f->step == PG_STEP_REFUSED && f->refusal_fatal)) { /* as the server does after an error, until Sync */
        pg_client_not_run(f);
        f->stream_drop = true;
        return DONE;
    }
    if (f->copy_hold || f->over_hold) return WAIT;
    if (f->copy_in && (type == 'S' || type == 'H')) return DONE; /* the server ignores them while it reads data */
    if (f->copy_in && type != 'd' && type != 'c' && type != 'f') {
        pg_violation(f, "a message other than CopyData, CopyDone, CopyFail while the server reads COPY data");
        return DONE;
    }
    if (type == 'd' || type == 'c' || type == 'f') return on_copy(f, type);
    if (f->wait_query) return WAIT;
    /* Behind an error without a Sync between, the server would drop these unread; the Sync that a refusal of one sends must not end that. */
    bool starts = f->step == PG_STEP_NEW && (type == 'Q' || type == 'F');
    if (pg_queue_full(f) || (starts && pg_queue_open(f))) {
        barrier(f);
        return WAIT;
    }
    switch (type) {
    case 'Q': return on_query(f, body);
    case 'P': return on_parse(f, body);
    case 'B': return on_bind(f, body);
    case 'E': return on_execute(f, body);
    case 'D':
    case 'C': return on_named(f, type, body);
    case 'H':
        if (f->up == PG_UP_READY) forward(f);
        f->flushed = true;
        return DONE;
    case 'S': return on_sync(f);
    case 'F': return refuse(f, true, "0A000", "the FunctionCall message is not supported", "Call the function in a SELECT statement.");
    default: pg_violation(f, "unexpected message"); return DONE;
    }
}

/* --- gathering ------------------------------------------------------------------------------------------------------------- */

static void free_names(char ***names, size_t n) {
    if (*names == NULL) return;
    for (size_t i = 0; i < n; i++) free((*names)[i]);
    free(*names);
    *names = NULL;
}

void pg_free_uses(struct flt_use **uses, size_t n) {
    if (*uses == NULL) return;
    for (size_t i = 0; i < n; i++) free((void *)(uintptr_t)(*uses)[i].name);
    free(*uses);
    *uses = NULL;
}

static void end_answer(struct pg_filter *f) {
    if (!f->answered) return;
    f->answered = false;
    if (f->answer.ctx != NULL && f->base.conf.ctx_free != NULL) f->base.conf.ctx_free(f->answer.ctx);
    free_names(&f->forget_statements, f->answer.nforget_statements);
    free_names(&f->forget_portals, f->answer.nforget_portals);
    pg_free_uses(&f->fetched, f->answer.nfetched);
    pg_free_uses(&f->executed, f->answer.nexecuted);
    free(f->rewritten);
    free(f->pieces);
    free(f->savepoint);
    f->savepoint = NULL;
    f->pieces = NULL;
    f->rewritten = NULL;
    f->answer = (struct flt_answer){0};
}

void pg_wipe_message(struct pg_filter *f) {
    end_answer(f);
    if (f->secret && f->msg.data != NULL) gh_wipe(f->msg.data, f->msg.cap);
    f->secret = false;
    pg_portal_unref(f->held);
    pg_portal_unref(f->nested_portal);
    f->held = f->nested_portal = NULL;
    f->nested = false;
    buf_reset(&f->msg);
    if (f->msg.cap > (1u << 20)) buf_free(&f->msg); /* a long statement is not paid for by the rest of the session */
    f->need = 0;
    f->whole = false;
    f->step = PG_STEP_NEW;
}

void pg_client_resume(struct pg_filter *f) {
    if (!f->whole || f->base.closed || f->phase != PG_READY) return;
    char type = (char)buf_at(&f->msg)[0];
    struct cur body = cur_of(buf_at(&f->msg) + 5, buf_used(&f->msg) - 5);
    if (type == 'H' || type == 'S' || type == 'c' || type == 'X') {
        if (!empty_body(f, &body)) return;
    }
    if (dispatch_ready(f, type, body) == WAIT || f->base.closed) return;
    f->stream_left = f->stream_tail;
    f->stream_tail = 0;
    pg_wipe_message(f);
}

/* The header is there: how much of the message is held, how much streams behind it. */
static void plan(struct pg_filter *f) {
    struct cur c = cur_of(buf_at(&f->msg), buf_used(&f->msg));
    uint8_t type;
    uint32_t n;
    if (!cur_u8(&c, &type) || !cur_be32(&c, &n)) return;
    if (type == 0 || strchr("QPBEDCHSFXdcf", type) == NULL) {
        pg_violation(f, "a message type that the protocol does not know here");
        return;
    }
    if (n < 4 || n > PG_MAX_MESSAGE) {
        pg_violation(f, "a message length that the protocol does not allow");
        return;
    }
    size_t body = n - 4, hold = body, statement = f->base.conf.limits.statement;
    if (type == 'd' || type == 'F') hold = 0;
    if (type == 'Q' && body > statement && body - statement > 1) hold = 0;
    if (type == 'P' && body > statement && body - statement > PARSE_EXTRA) hold = 0;
    if (type == 'B' && body > BIND_HOLD) hold = BIND_PREFIX;
    if (type == 'f' && body > BIND_PREFIX) hold = BIND_PREFIX;
    if (strchr("EDCHSXc", type) != NULL && body > SHORT_MESSAGE) {
        pg_violation(f, "a message that is too long for its type");
        return;
    }
    f->need = 5 + hold;
    f->stream_tail = body - hold;
}

/* Takes bytes of the message at hand; returns how many. */
static size_t gather(struct pg_filter *f, const uint8_t *data, size_t len) {
    size_t want = f->need == 0 ? 5 : f->need, have = buf_used(&f->msg);
    size_t n = want - have < len ? want - have : len;
    buf_put(&f->msg, data, n);
    if (f->msg.failed) {
        pg_no_memory(f);
        return len;
    }
    if (f->need == 0 && buf_used(&f->msg) == 5) plan(f);
    if (f->need != 0 && buf_used(&f->msg) == f->need) f->whole = true;
    return n;
}

size_t pg_client_feed(struct pg_filter *f, const uint8_t *data, size_t len) {
    struct buf *server = &f->base.out[FLT_SERVER];
    size_t used = 0;
    while (used < len && !f->base.closed) {
        if (f->whole || flt_events_waiting(&f->base) || buf_used(server) >= FLT_OUT_MARK ||
            buf_used(&f->base.out[FLT_CLIENT]) >= FLT_OUT_MARK)
            break;
        if (f->stream_left > 0) {
            size_t n = f->stream_left < len - used ? f->stream_left : len - used;
            if (!f->stream_drop && n > FLT_OUT_MARK) n = FLT_OUT_MARK;
            if (!f->stream_drop) buf_put(server, data + used, n);
            f->stream_left -= n;
            used += n;
        } else {
            used += gather(f, data + used, len - used);
            pg_client_resume(f);
        }
    }
    return f->base.closed ? len : used;
}

void pg_client_refuse_held(struct pg_filter *f, const char *sqlstate, const char *message, const char *hint) {
    if (!f->whole || f->step != PG_STEP_ALLOWED) return;
    pg_client_not_run(f);
    end_answer(f);
    buf_reset(&f->refusal);
    pg_put_error(&f->refusal, &(struct pg_error_text){.sqlstate = sqlstate, .message = message, .hint = hint});
    f->refusal_fatal = false;
    f->step = PG_STEP_REFUSED;
    pg_client_resume(f);
}
