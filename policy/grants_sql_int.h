/* Shared by grants_sql.c, which finds out what is needed and says it for PostgreSQL, and grants_sql_my.c. */
#ifndef GH_POLICY_GRANTS_SQL_INT_H
#define GH_POLICY_GRANTS_SQL_INT_H

#include "policy/grants_sql.h"
#include "policy/policy_int.h"

#define DATA (POL_SELECT | POL_INSERT | POL_UPDATE | POL_DELETE)
/* Bits of a column's or a relation's need. */
enum { N_SELECT = 1, N_INSERT = 2, N_UPDATE = 4, N_DELETE = 8, N_TRUNCATE = 16 };

struct need {
    unsigned all;         /* of the relation as a whole */
    unsigned *columns;    /* of each of its columns; NULL: none */
    const char *unusable; /* why a rule that is about it grants nothing */
    bool writes;          /* INSERT, for the sequences behind its columns */
};
struct gs {
    const struct pol_grants_sql *g;
    struct pol_arena *arena;
    struct need *needs; /* by the catalog's order */
    const char **keys;  /* of hashes */
    size_t nkeys, keys_cap;
    unsigned unbound; /* actions that no relation bounds */
    unsigned owner;   /* actions that only an owner has */
    struct buf *out;
    bool mysql; /* or MariaDB */
};

/* A text in a comment: on one line. */
void gs_comment(struct gs *s, const char *text);
/* "GRANT SELECT (a, b), DELETE", behind a comment when some cannot use the relation; false: there is no right to give. put writes a name. */
bool gs_rights(struct gs *s, const struct pol_cat_relation *rel, const struct need *n, void (*put)(struct buf *out, const char *name));
/* The whole text for MySQL and MariaDB; n: relations. */
void gs_put_my(struct gs *s, size_t n);

#endif
