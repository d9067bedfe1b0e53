/* Rewritten texts: what runs in the place of a statement that touches restricted relations. A session keeps the latest ones, so that a statement that
 * comes again costs a look-up. One thread; references are not atomic. */
#ifndef GH_SPOA_REWRITES_H
#define GH_SPOA_REWRITES_H

#include "policy/rewrite.h"
#include "spoa/factscache.h"

struct rewrite { /* immutable */
    unsigned refs;
    const char *sql; /* NULL: the text runs as it was sent */
    size_t len;
    const struct gh_piece *pieces;
    size_t npieces;
    bool explain; /* shows masks, filters, and figures of all rows */
};
struct rewrite *rewrite_ref(struct rewrite *r);
void rewrite_unref(struct rewrite *r); /* NULL is fine */
/* True when the same text runs; NULL is one that runs as it was sent. */
bool rewrite_same(const struct rewrite *a, const struct rewrite *b);

/* From what pol_rewrite_pg() or pol_rewrite_my() gave: takes out over. NULL for a refusal, and when out of memory, then *why says so. */
struct rewrite *rewrite_of(enum pol_rewrite_rc rc, struct pol_rewritten *out, struct pol_verdict *why);

#define REWRITES       32u
#define REWRITES_BYTES (256u << 10) /* of both texts */
struct rewrites {                   /* zero is empty */
    struct rewrites_entry {
        uint64_t hash, used;
        char *text;
        size_t len;
        struct rewrite *r;
    } e[REWRITES];
    size_t bytes;
    uint64_t clock;
};
/* The role has changed, or the session ends. */
void rewrites_clear(struct rewrites *w);
enum rewrites_how { REWRITES_CACHED, REWRITES_MADE, REWRITES_LONG };
/* A new reference for a text that pol_judge() allowed with "rewrite": from the cache, or made now (needs POL_STACK_BYTES of stack). NULL when it is
 * long (limits->brief, or its length with it: STMT_INLINE_BYTES), or cannot be rewritten: then *why is a refusal. trees, which may be NULL, has the text's tree when it was parsed
 * just now. my: how MySQL reads the text, always the same for one cache (its limits are not looked at; limits NULL: the defaults); NULL: it is PostgreSQL's. */
struct rewrite *rewrites_get(struct rewrites *w, struct factscache *trees, const char *text, size_t len, const struct my_options *my,
                             const struct pol_parse_limits *limits, const struct pol_role *role, enum rewrites_how *how,
                             struct pol_verdict *why);
/* What was made elsewhere, for the role of now. */
void rewrites_keep(struct rewrites *w, const char *text, size_t len, struct rewrite *r);

#endif
