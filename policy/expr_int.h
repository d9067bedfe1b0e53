/* Inside of the policy's expressions: PostgreSQL's tree of one, for those who write it out. */
#ifndef GH_POLICY_EXPR_INT_H
#define GH_POLICY_EXPR_INT_H

#include "filters/bytes.h"
#include "policy/expr_pg.h"
#include "policy/json_tape.h"
#include "policy/pg_nodes.h"

#define EX_MAX_TEXT    8192u
#define EX_MAX_COLUMNS 64u
#define EX_MAX_CLAIMS  32u

struct ex {
    const struct jt *t;
    struct pol_arena *arena;
    const char *sql; /* with $1, $2 ... for what stood in ${} */
    const char *value;
    bool filter;
    const char **claims; /* name of ${} i; NULL: the principal */
    size_t nclaims;
    uint32_t seen; /* which of them are in the tree */
    const char *columns[EX_MAX_COLUMNS];
    size_t ncolumns;
    unsigned traits;
    struct buf out;
    char *why;
    size_t whylen;
};

/* Fails with a sentence; the first one counts. */
bool ex_fail(struct ex *x, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Reads text: the node of its expression, 0 when there is none. x has arena, value, filter, claims (EX_MAX_CLAIMS of them), why and whylen; sql and tape are the caller's to free. */
uint32_t ex_open(struct ex *x, const char *text, struct buf *sql, struct jt *tape);
enum pg_node ex_node(const struct ex *x, uint32_t i, uint32_t *fields);
/* The parts of a name; 0 when it is none, or has more than max. */
size_t ex_names(struct ex *x, uint32_t list, const char **parts, size_t max);
size_t ex_length(const struct ex *x, uint32_t list);

#endif
