#include "policy/rewrite_int.h"

#include "policy/parsed.h"
#include "policy/pg_scan.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_DEPTH  32000u
#define MAX_TOKENS 4000000u

/* --- refusing --- */

static uint32_t characters(const struct rw *x, uint32_t bytes) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < bytes && i < x->len; i++) n += ((unsigned char)x->sql[i] & 0xC0) != 0x80;
    return n;
}

bool rw_refuse(struct rw *x, const struct pol_view *view, uint32_t location, const char *hint, const char *fmt, ...) {
    if (x->refused) return false;
    va_list ap;
    va_start(ap, fmt);
    rw_say(x->why, view, hint, fmt, ap);
    va_end(ap);
    x->refused = true;
    if (location > 0) x->why->position = characters(x, location) + 1;
    return false;
}

static bool too_large(struct rw *x) { return rw_refuse_limit(x->why, &x->refused, true); }
bool rw_no_memory(struct rw *x) { return rw_refuse_limit(x->why, &x->refused, pol_arena_full(x->arena)); }

/* --- the tree --- */

enum pg_node rw_node(const struct rw *x, uint32_t i, uint32_t *fields) {
    const struct jt_value *v = x->t->v;
    *fields = 0;
    if (i == 0 || v[i].type != JT_OBJECT || v[i].next == i + 1) return NT_NONE;
    *fields = i + 1;
    return pg_node_of(x->t->json + v[i + 1].key, v[i + 1].keylen);
}

const char *rw_text(struct rw *x, uint32_t i) {
    const char *s = i != 0 ? jt_string(x->t, i, x->arena) : NULL;
    if (i != 0 && s == NULL) rw_no_memory(x);
    return s;
}

uint32_t rw_location(const struct rw *x, uint32_t fields) {
    int64_t at = jt_int(x->t, jt_get(x->t, fields, "location"), 0);
    return at > 0 && (uint64_t)at < x->len ? (uint32_t)at : 0;
}

bool rw_holds(struct rw *x, uint32_t i, const char *node) {
    if (i == 0 || !rw_work(x, jt_skip(x->t, i) - i)) return false; /* inside of each other, it is read again from each one around it */
    for (uint32_t c = i; i != 0 && c < jt_skip(x->t, i); c++)
        if (x->t->v[c].type == JT_OBJECT && c > i && jt_key_is(x->t, c, node)) return true;
    return false;
}

/* --- tokens --- */

static int word_type(const char *s, size_t n) {
    static const struct {
        const char *word;
        size_t len;
        int type;
    } words[] = {
#define W(word, type) {word, sizeof word - 1, type}
        W("and", RW_AND),
        W("as", RW_AS),
        W("by", RW_BY),
        W("case", RW_CASE),
        W("conflict", RW_CONFLICT),
        W("copy", RW_COPY),
        W("distinct", RW_DISTINCT),
        W("do", RW_DO),
        W("end", RW_END),
        W("from", RW_FROM),
        W("on", RW_ON),
        W("only", RW_ONLY),
        W("repeatable", RW_REPEATABLE),
        W("returning", RW_RETURNING),
        W("set", RW_SET),
        W("table", RW_TABLE),
        W("then", RW_THEN),
        W("uescape", RW_UESCAPE),
        W("update", RW_UPDATE),
        W("using", RW_USING),
        W("when", RW_WHEN),
        W("where", RW_WHERE),
#undef W
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (words[i].len == n && (*s | 0x20) == *words[i].word && strncasecmp(words[i].word, s, n) == 0) return words[i].type;
    return 0;
}

/* The last two tokens are U and &, and a quote follows at once. */
static bool behind_unicode(const struct rw *x, uint32_t start) {
    if (x->ntokens < 2) return false;
    const struct rw_token *u = &x->tokens[x->ntokens - 2], *and = u + 1;
    return and->end == start && and->start + 1 == start && x->sql[ and->start] == '&' && u->end == and->start && u->end - u->start == 1 &&
           (x->sql[u->start] | 0x20) == 'u';
}

static bool put_token(void *arg, uint32_t start, uint32_t end) {
    struct rw *x = arg;
    const char *s = x->sql + start;
    uint32_t n = end - start;
    if ((*s == '"' || *s == '\'') && behind_unicode(x, start)) {
        x->ntokens--;
        x->tokens[x->ntokens - 1].end = end;
        x->tokens[x->ntokens - 1].type = *s == '"' ? RW_UIDENT : 0;
        return true;
    }
    struct rw_token *all = pol_grow(x->arena, x->tokens, x->ntokens, &x->tokens_cap, sizeof *all);
    if (all == NULL) return false;
    bool letter = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z'), digit = *s >= '0' && *s <= '9';
    x->tokens = all;
    all[x->ntokens++] = (struct rw_token){start, end, letter ? word_type(s, n) : n == 1 && !digit ? (unsigned char)*s : 0};
    return true;
}

/* Where tokens are is a guess too: libpg_query's own scanner, which is slow, ends U&"x" in the middle. */
static bool scan_tokens(struct rw *x) {
    struct pg_scan scan;
    enum pg_scan_rc rc = pg_scan_tokens(x->sql, x->len, MAX_DEPTH, MAX_TOKENS, &scan, put_token, x);
    if (rc == PG_SCAN_NO_MEMORY) return rw_no_memory(x);
    return rc == PG_SCAN_OK || rw_refuse(x, NULL, 0, "Write the statement in a plainer form.", "the statement's tokens are not understood");
}

size_t rw_token_at(const struct rw *x, uint32_t start) {
    size_t low = 0, high = x->ntokens;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (x->tokens[mid].start < start)
            low = mid + 1;
        else
            high = mid;
    }
    return low < x->ntokens && x->tokens[low].start == start ? low : RW_NONE;
}

bool rw_is(const struct rw *x, size_t token, int type) { return token < x->ntokens && x->tokens[token].type == type; }

/* --- changes --- */

/* Nothing more is done, and nothing said. */
static bool longer(struct rw *x) {
    x->refused = x->longer = true;
    return false;
}

bool rw_work(struct rw *x, uint64_t n) {
    x->steps += n;
    if (x->brief && x->steps > RW_BRIEF_STEPS) return longer(x);
    return x->steps <= RW_STEPS || too_large(x);
}

void rw_seen(struct rw *x, uint32_t fields) { x->seen[fields] = true; }

struct rw_named *rw_named(struct rw *x, const struct pol_view *view) {
    if (!rw_work(x, x->nnamed)) return NULL;
    for (size_t i = 0; i < x->nnamed; i++)
        if (x->named[i].view == view) return &x->named[i];
    struct rw_named *all = pol_grow(x->arena, x->named, x->nnamed, &x->named_cap, sizeof *all);
    if (all == NULL) {
        rw_no_memory(x);
        return NULL;
    }
    x->named = all;
    all[x->nnamed] = (struct rw_named){.view = view};
    return &all[x->nnamed++];
}

static bool add_edit(struct rw *x, uint32_t start, uint32_t end, const char *text, const char *proof, enum rw_side side) {
    if (text == NULL || proof == NULL) return rw_no_memory(x);
    x->inserted += strlen(text);
    if (x->brief && x->inserted > RW_BRIEF_BYTES) return longer(x);
    if (!rw_may_put(x->inserted, x->len)) return too_large(x);
    struct rw_edit *all = pol_grow(x->arena, x->edits, x->nedits, &x->edits_cap, sizeof *all);
    if (all == NULL) return rw_no_memory(x);
    x->edits = all;
    all[x->nedits] = (struct rw_edit){start, end, text, proof, side, (uint32_t)x->nedits};
    x->nedits++;
    return true;
}

static bool is_word(const struct rw *x, uint32_t at) {
    unsigned char c = at < x->len ? (unsigned char)x->sql[at] : 0;
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || c == '$' || c >= 0x80;
}

const char *rw_space_before(const struct rw *x, uint32_t at) { return at > 0 && is_word(x, at - 1) ? " " : ""; }
const char *rw_space_behind(const struct rw *x, uint32_t at) { return is_word(x, at) ? " " : ""; }

bool rw_replace(struct rw *x, uint32_t start, uint32_t end, const char *text) { return add_edit(x, start, end, text, text, RW_REPLACE); }
bool rw_replace_proven(struct rw *x, uint32_t start, uint32_t end, const char *text, const char *proof) {
    return add_edit(x, start, end, text, proof, RW_REPLACE);
}

bool rw_around(struct rw *x, uint32_t start, uint32_t end, const char *before, const char *after) {
    return add_edit(x, start, start, before, before, RW_OPEN) && add_edit(x, end, end, after, after, RW_CLOSE);
}

struct rw_mark *rw_mark(struct rw *x, uint32_t at, enum rw_mark_kind kind, const struct pol_view *view, const char *alias) {
    struct rw_mark *all = pol_grow(x->arena, x->marks, x->nmarks, &x->marks_cap, sizeof *all);
    if (x->mark_of == NULL) x->mark_of = pol_alloc_array(x->arena, x->t->n, sizeof *x->mark_of);
    if (all == NULL || x->mark_of == NULL) {
        rw_no_memory(x);
        return NULL;
    }
    x->marks = all;
    all[x->nmarks] = (struct rw_mark){.kind = kind, .view = view, .alias = alias};
    x->mark_of[at] = (uint32_t)++x->nmarks;
    return &all[x->nmarks - 1];
}

const char *rw_keep(struct rw *x, struct buf *b) {
    const char *s = b->failed ? NULL : pol_strndup(x->arena, (const char *)buf_at(b), buf_used(b));
    buf_free(b);
    if (s == NULL) rw_no_memory(x);
    return s;
}

const char *rw_join(struct rw *x, const char *a, const char *b, const char *c) {
    size_t na = strlen(a), nb = strlen(b), nc = strlen(c);
    char *s = pol_alloc(x->arena, na + nb + nc + 1);
    if (s == NULL) return NULL;
    memcpy(s, a, na);
    memcpy(s + na, b, nb);
    memcpy(s + na + nb, c, nc);
    return s;
}

static int by_place(const void *a, const void *b) {
    const struct rw_edit *p = a, *q = b;
    if (p->start != q->start) return p->start < q->start ? -1 : 1;
    if (p->side != q->side) return p->side < q->side ? -1 : 1;
    /* what was opened first is closed last */
    int later = p->seq < q->seq ? -1 : 1;
    return p->side == RW_CLOSE ? -later : later;
}

/* The text that runs, or the one that is proven in its place: see rewrite_check.c. */
static bool apply_edits(struct rw *x, struct buf *out, bool proof) {
    uint32_t at = 0;
    for (size_t i = 0; i < x->nedits; i++) {
        const struct rw_edit *e = &x->edits[i];
        if (e->start < at || e->end < e->start || e->end > x->len)
            return rw_refuse(x, NULL, e->start, "Write the statement in a plainer form.", "this part of the statement cannot be rewritten");
        buf_put(out, x->sql + at, e->start - at);
        buf_str(out, proof ? e->proof : e->text);
        at = e->end;
    }
    buf_put(out, x->sql + at, x->len - at);
    buf_u8(out, '\0');
    if (out->no_memory) return rw_no_memory(x);
    return !out->failed || too_large(x);
}

/* --- what is named --- */

/* Names that begin as ours do could meet them. Constants may. */
static bool no_reserved_names(struct rw *x) {
    const struct jt *t = x->t;
    for (uint32_t i = 1; i < t->n; i++) {
        const struct jt_value *v = &t->v[i];
        if (v->type == JT_OBJECT && jt_key_is(t, i, "A_Const")) {
            i = jt_skip(t, i) - 1;
            continue;
        }
        if (v->type != JT_STRING || v->next < 3 || memcmp(t->json + v->text, "_gh", 3) != 0) continue;
        return rw_refuse(x, NULL, 0, "Choose another name.",
                         "names that begin with _gh are the gate's own in a statement on what is partly hidden from you");
    }
    return true;
}

static bool check_column(struct rw *x, const struct pol_view *v, size_t i, const struct pol_column_use *u) {
    const struct pol_view_column *c = &v->columns[i];
    const char *name = v->relation->columns[i].name;
    if (((u->named | u->unnamed) & POL_USE_MERGED) && c->visibility != POL_VISIBLE)
        return rw_refuse(x, v, u->location, "Join with ON, on columns that are visible.",
                         "%.64s.%.64s cannot be joined by USING or NATURAL on the column %.64s, which is %s for you", v->relation->schema,
                         v->relation->name, name, c->visibility == POL_HIDDEN ? "hidden" : "masked");
    if (c->visibility == POL_HIDDEN && (u->named & ~(unsigned)POL_USE_WRITTEN))
        return rw_refuse(x, v, u->location, NULL, "the column %.64s of %.64s.%.64s is hidden from you by the policy", name,
                         v->relation->schema, v->relation->name);
    return true;
}

static bool check_columns(struct rw *x) {
    for (size_t k = 0; k < x->columns->nrelations; k++) {
        const struct pol_relation_use *u = &x->columns->relations[k];
        bool failed;
        const struct pol_view *v = pol_role_view(x->r, u->relation, &failed);
        if (failed) return rw_no_memory(x);
        if (v == NULL) continue;
        if (u->system)
            return rw_refuse(x, v, u->system_location, "Use the columns of its key.",
                             "system columns (ctid, xmin, tableoid, ...) of %.64s.%.64s cannot be read: you do not see all of it",
                             v->relation->schema, v->relation->name);
        for (size_t i = 0; i < v->relation->ncolumns; i++)
            if (!check_column(x, v, i, &u->columns[i])) return false;
    }
    return true;
}

/* --- the text --- */

static bool all_statements(struct rw *x) {
    uint32_t stmts = jt_get(x->t, 0, "stmts");
    for (uint32_t c = stmts + 1; stmts != 0 && c < jt_end(x->t, stmts); c = jt_skip(x->t, c)) {
        x->ctes = NULL;
        x->lock = NULL;
        if (!rw_statement(x, jt_get(x->t, c, "stmt"))) return false;
    }
    return true;
}

/* A table that the walk has not come by, wherever it stands, would be read as it is. */
static bool all_seen(struct rw *x) {
    const struct pol_view *v;
    for (uint32_t i = 1; i < x->t->n; i++) {
        if (x->t->v[i].type != JT_OBJECT || x->seen[i] || jt_get(x->t, i, "relname") == 0) continue;
        if (!rw_relation(x, i, &v)) return false;
        if (v != NULL)
            return rw_refuse(x, v, rw_location(x, i), "Write the statement in a plainer form.",
                             "%.64s.%.64s cannot be used at this place: you do not see all of it", v->relation->schema, v->relation->name);
    }
    return true;
}

/* The text is read again, and must be what was meant. */
static bool check_result(struct rw *x, const char *sql, size_t len) {
    struct pol_parsed after;
    struct pol_parse_error err;
    const struct pol_parse_limits limits = {.bytes = 2 * RW_MAX_TEXT};
    if (!pol_parse_pg(&after, sql, len, &limits, &err)) {
        if (err.rc == POL_NO_MEMORY) return rw_no_memory(x);
        if (err.rc == POL_TOO_DEEP || err.rc == POL_TOO_LARGE)
            return rw_refuse(x, NULL, 0, "Send it in smaller pieces.",
                             "the statement is too large or nested too deep when what is hidden from you is taken out");
    }
    bool ok = err.rc == POL_PARSED && rw_compare(x, &after.tree);
    pol_parse_clear(&after);
    return ok ||
           rw_refuse(x, NULL, 0, "Write the statement in a plainer form: give each table an alias, and avoid old forms of the syntax.",
                     "the statement cannot be rewritten so that what is hidden from you stays hidden");
}

static bool rewrite_tree(struct rw *x) {
    if ((x->seen = pol_alloc_array(x->arena, x->t->n, sizeof *x->seen)) == NULL) return rw_no_memory(x);
    if (!all_statements(x) || !all_seen(x)) return false;
    return check_columns(x) && (x->nedits == 0 || no_reserved_names(x));
}

static uint32_t chars(const char *s, size_t n) {
    uint32_t count = 0;
    for (size_t i = 0; i < n; i++) count += ((unsigned char)s[i] & 0xC0) != 0x80;
    return count;
}

/* What apply_edits() copied from the client's text. Without memory, or when they are too many, there are none, and positions are left out. */
static void keep_pieces(const struct rw *x, struct pol_rewritten *out) {
    uint32_t done = 0, at = 0, from = 0;
    if (x->nedits >= GH_PIECES || (out->pieces = calloc(x->nedits + 1, sizeof *out->pieces)) == NULL) return;
    for (size_t i = 0; i <= x->nedits; i++) {
        const struct rw_edit *e = i < x->nedits ? &x->edits[i] : NULL;
        uint32_t n = chars(x->sql + done, (e != NULL ? e->start : x->len) - done);
        if (n > 0) out->pieces[out->npieces++] = (struct gh_piece){at, n, from};
        if (e == NULL) return;
        at += n + chars(e->text, strlen(e->text));
        from += n + chars(x->sql + e->start, e->end - e->start);
        done = e->end;
    }
}

static enum pol_rewrite_rc finish(struct rw *x, bool whole, struct pol_rewritten *out) {
    struct buf b = BUF_INIT(RW_MAX_TEXT), proof = BUF_INIT(RW_MAX_TEXT);
    qsort(x->edits, x->nedits, sizeof *x->edits, by_place);
    bool ok =
        apply_edits(x, &proof, true) && check_result(x, (const char *)buf_at(&proof), buf_used(&proof) - 1) && apply_edits(x, &b, false);
    if (ok && whole) {
        x->whole = true;
        ok = check_result(x, (const char *)buf_at(&b), buf_used(&b) - 1);
    }
    buf_free(&proof);
    if (!ok) {
        buf_free(&b);
        return POL_REWRITE_REFUSED;
    }
    keep_pieces(x, out);
    out->len = buf_used(&b) - 1;
    out->sql = (char *)b.data; /* nothing was drained: it begins there */
    out->sanitise = true;
    return POL_REWRITE_DONE;
}

static enum pol_rewrite_rc rewrite(struct rw *x, const struct pol_parsed *p, bool whole, struct pol_rewritten *out) {
    struct pol_parse_error err;
    struct pol_columns *columns = pol_columns_parsed(p, x->r->catalog, &x->r->pins, &err);
    if (columns == NULL && (err.rc == POL_NO_MEMORY || err.rc == POL_TOO_LARGE)) {
        err.rc == POL_NO_MEMORY ? rw_no_memory(x) : too_large(x);
        return POL_REWRITE_REFUSED;
    }
    if (columns == NULL) {
        rw_refuse(x, NULL, 0, "Write the statement in a plainer form.", "%.200s", err.text);
        return POL_REWRITE_REFUSED;
    }
    x->columns = columns;
    enum pol_rewrite_rc rc = POL_REWRITE_REFUSED;
    if (x->brief && columns->stopped)
        longer(x);
    else if (scan_tokens(x) && rewrite_tree(x))
        rc = x->refused ? POL_REWRITE_REFUSED : x->nedits == 0 ? POL_REWRITE_SAME : finish(x, whole, out);
    pol_columns_free(columns);
    return rc;
}

static enum pol_rewrite_rc rewrite_parsed(const struct pol_parsed *p, const struct pol_role *r, bool whole, struct pol_rewritten *out,
                                          struct pol_verdict *why) {
    struct rw x = {.t = &p->tree, .sql = p->sql, .len = p->len, .r = r, .out = out, .why = why, .brief = p->brief};
    *out = (struct pol_rewritten){0};
    enum pol_rewrite_rc rc = POL_REWRITE_REFUSED;
    x.arena = pol_arena_new();
    if (x.arena != NULL) pol_arena_bound(x.arena, POL_ARENA_TEXT(p->len));
    if (x.arena == NULL || p->json == NULL)
        rw_no_memory(&x);
    else if (r->catalog == NULL)
        rw_refuse(&x, NULL, 0, "Try again in a moment.", "the statement cannot be rewritten now");
    else
        rc = rewrite(&x, p, whole, out);
    pol_arena_free(x.arena);
    if (!x.longer) return rc;
    pol_rewritten_free(out);
    return POL_REWRITE_LONG;
}

enum pol_rewrite_rc pol_rewrite_parsed(const struct pol_parsed *p, const struct pol_role *r, struct pol_rewritten *out,
                                       struct pol_verdict *why) {
    return rewrite_parsed(p, r, false, out, why);
}

enum pol_rewrite_rc rw_rewrite_whole(const struct pol_parsed *p, const struct pol_role *r, struct pol_rewritten *out,
                                     struct pol_verdict *why) {
    return rewrite_parsed(p, r, true, out, why);
}

enum pol_rewrite_rc pol_rewrite_pg(const char *sql, size_t len, const struct pol_role *r, struct pol_rewritten *out,
                                   struct pol_verdict *why) {
    struct pol_parsed p;
    struct pol_parse_error err;
    pol_parse_pg(&p, sql, len, NULL, &err); /* it had facts: that it has no tree now can only be for want of memory */
    enum pol_rewrite_rc rc = pol_rewrite_parsed(&p, r, out, why);
    pol_parse_clear(&p);
    return rc;
}

void pol_rewritten_free(struct pol_rewritten *w) {
    free(w->sql);
    free(w->pieces);
    *w = (struct pol_rewritten){0};
}
