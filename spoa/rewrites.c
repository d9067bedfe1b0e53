#include "spoa/rewrites.h"

#include "spoa/statement.h"

#include <stdlib.h>
#include <string.h>

struct rewrite *rewrite_ref(struct rewrite *r) {
    r->refs++;
    return r;
}

void rewrite_unref(struct rewrite *r) {
    if (r == NULL || --r->refs > 0) return;
    free((char *)(uintptr_t)r->sql);
    free((struct gh_piece *)(uintptr_t)r->pieces);
    free(r);
}

bool rewrite_same(const struct rewrite *a, const struct rewrite *b) {
    const char *x = a == NULL ? NULL : a->sql, *y = b == NULL ? NULL : b->sql;
    if (x == NULL || y == NULL) return x == y;
    return a->len == b->len && memcmp(x, y, a->len) == 0;
}

static size_t cost(const struct rewrites_entry *e) { return e->len + e->r->len; }

static void drop(struct rewrites *w, struct rewrites_entry *e) {
    if (e->r == NULL) return;
    w->bytes -= cost(e);
    rewrite_unref(e->r);
    free(e->text);
    *e = (struct rewrites_entry){0};
}

void rewrites_clear(struct rewrites *w) {
    for (size_t i = 0; i < REWRITES; i++) drop(w, &w->e[i]);
}

static uint64_t hash(const char *text, size_t len) {
    uint64_t h = len, word;
    for (; len >= sizeof word; text += sizeof word, len -= sizeof word) {
        memcpy(&word, text, sizeof word);
        h = (h ^ word) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
    }
    for (; len > 0; text++, len--) h = (h ^ (unsigned char)*text) * 1099511628211u;
    return h;
}

/* The texts are compared too, so that one client's collisions cost that client time alone. */
static struct rewrite *find(struct rewrites *w, const char *text, size_t len, uint64_t h) {
    for (size_t i = 0; i < REWRITES; i++) {
        struct rewrites_entry *e = &w->e[i];
        if (e->r == NULL || e->hash != h || e->len != len || memcmp(e->text, text, len) != 0) continue;
        e->used = ++w->clock;
        return rewrite_ref(e->r);
    }
    return NULL;
}

/* An empty one, which was never used, unless full ones are asked for. */
static struct rewrites_entry *oldest(struct rewrites *w, bool full) {
    struct rewrites_entry *o = &w->e[0];
    for (size_t i = 1; i < REWRITES; i++) {
        struct rewrites_entry *e = &w->e[i];
        if (full && e->r == NULL) continue;
        if ((full && o->r == NULL) || e->used < o->used) o = e;
    }
    return o;
}

static void keep(struct rewrites *w, const char *text, size_t len, uint64_t h, struct rewrite *r) {
    if (len > REWRITES_BYTES / 4 || r->len > REWRITES_BYTES / 2) return;
    struct rewrites_entry *e = oldest(w, false);
    drop(w, e);
    char *copy = malloc(len + 1);
    if (copy == NULL) return;
    memcpy(copy, text, len);
    *e = (struct rewrites_entry){.hash = h, .used = ++w->clock, .text = copy, .len = len, .r = rewrite_ref(r)};
    w->bytes += cost(e);
    while (w->bytes > REWRITES_BYTES) drop(w, oldest(w, true));
}

struct rewrite *rewrite_of(enum pol_rewrite_rc rc, struct pol_rewritten *out, struct pol_verdict *why) {
    if (rc == POL_REWRITE_REFUSED) return NULL;
    struct rewrite *r = calloc(1, sizeof *r);
    if (r == NULL) {
        if (rc == POL_REWRITE_DONE) pol_rewritten_free(out);
        stmt_deny(why, "53200", "out of memory", "Try again later.");
        return NULL;
    }
    *r = (struct rewrite){.refs = 1};
    if (rc == POL_REWRITE_DONE)
        *r = (struct rewrite){
            .refs = 1, .sql = out->sql, .len = out->len, .pieces = out->pieces, .npieces = out->npieces, .explain = out->explain};
    *out = (struct pol_rewritten){0};
    return r;
}

static enum pol_rewrite_rc rewrite_pg(struct factscache *trees, const char *text, size_t len, const struct pol_parse_limits *limits,
                                      const struct pol_role *role, struct pol_rewritten *out, struct pol_verdict *why) {
    struct pol_parsed p;
    struct pol_parse_error err = {.rc = POL_PARSED};
    /* It had facts: that it has no tree now is for want of memory, which pol_rewrite_parsed() sees. */
    if (trees == NULL || !factscache_take_tree(trees, text, len, &p)) pol_parse_pg(&p, text, len, limits, &err);
    p.brief = limits != NULL && limits->brief;
    enum pol_rewrite_rc rc = p.json == NULL && err.rc == POL_LONG ? POL_REWRITE_LONG : pol_rewrite_parsed(&p, role, out, why);
    pol_parse_clear(&p);
    return rc;
}

void rewrites_keep(struct rewrites *w, const char *text, size_t len, struct rewrite *r) { keep(w, text, len, hash(text, len), r); }

struct rewrite *rewrites_get(struct rewrites *w, struct factscache *trees, const char *text, size_t len, const struct my_options *my,
                             const struct pol_parse_limits *limits, const struct pol_role *role, enum rewrites_how *how,
                             struct pol_verdict *why) {
    struct pol_rewritten out;
    struct pol_parse_error err;
    enum pol_rewrite_rc rc;
    uint64_t h = len <= REWRITES_BYTES / 4 ? hash(text, len) : 0;
    struct rewrite *r = find(w, text, len, h);
    *how = r != NULL ? REWRITES_CACHED : REWRITES_MADE;
    if (r != NULL) return r;
    if (stmt_is_long(len, limits, &err))
        rc = POL_REWRITE_LONG;
    else if (my != NULL) {
        struct my_options o = *my;
        o.limits = limits;
        rc = pol_rewrite_my(text, len, &o, role, &out, why);
    } else
        rc = rewrite_pg(trees, text, len, limits, role, &out, why);
    if (rc == POL_REWRITE_LONG) {
        *how = REWRITES_LONG;
        return NULL;
    }
    r = rewrite_of(rc, &out, why);
    if (r != NULL) keep(w, text, len, h, r);
    return r;
}
