/* The SQL expressions that a policy may hold (row filters, masks of the operator's own), read by PostgreSQL's parser and written out again so that
 * nothing in them depends on search_path, on settings of the session or on who asks: a closed list of nodes, functions and types, every name
 * qualified with pg_catalog. */
#ifndef GH_POLICY_EXPR_PG_H
#define GH_POLICY_EXPR_PG_H

#include "policy/arena.h"

#include <stdbool.h>
#include <stddef.h>

/* In the written text, bytes that no valid expression holds stand for what is known later. */
#define POL_T_ROW       '\x01' /* the alias of the row: \x01."region" */
#define POL_T_CLAIM     '\x02' /* \x02name\x02: the claim as a literal */
#define POL_T_PRINCIPAL '\x03' /* the principal as a literal */
#define POL_T_VALUE     '\x04' /* the column that a mask is put on */

enum pol_expr_trait {
    POL_E_TEXT = 1u << 0,       /* makes text of its operands, or might: DateStyle and the like decide what a date's text is */
    POL_E_ZONED = 1u << 1,      /* takes a timestamptz apart: TimeZone decides */
    POL_E_STRINGS = 1u << 2,    /* holds strings that are no ISO dates: DateStyle decides what date they are */
    POL_E_NO_ZONE = 1u << 3,    /* holds strings that name no time zone */
    POL_E_TRUNC = 1u << 4,      /* date_trunc(text, x): takes a date for a timestamptz */
    POL_E_TRUNC_ZONE = 1u << 5, /* date_trunc(text, x, zone): takes dates and timestamps for a timestamptz */
};
struct pol_expr { /* immutable, in the arena that it was made in */
    const char *sql;
    const char *const *columns; /* each once, as PostgreSQL stores them */
    size_t ncolumns;
    unsigned traits;          /* POL_E_* */
    bool claims;              /* holds a claim or the principal */
    const char *text, *value; /* what it was made of: policy/expr_my.h reads it again */
};

/* text holds one expression. value: the name by which a mask's expression may call its column besides "value"; NULL: it is a row filter, any plain column
 * name will do, and claims may be used: ${claim:x}, ${principal}. NULL and a sentence in why (always NUL-terminated) when it is
 * not understood. Needs little stack: the text's depth is bounded. */
const struct pol_expr *pol_expr_pg(struct pol_arena *arena, const char *text, const char *value, char *why, size_t size);

/* Appends 's' as a literal under standard_conforming_strings = on. False when s holds control characters or is no UTF-8: then nothing is appended. */
struct buf;
bool pol_put_literal(struct buf *out, const char *s);
/* Appends "s" as an identifier. */
void pol_put_ident(struct buf *out, const char *s);
/* '2026-01-31' and longer: read the same under any DateStyle. */
bool pol_is_iso_date(const char *s, bool *zoned);

#endif
