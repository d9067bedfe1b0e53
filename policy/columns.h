/* Facts of columns: for each relation of the catalog, which columns a statement touches and what for; and which of its conditions may be copied
 * behind a row filter's fence.
 *
 * Names are resolved as PostgreSQL's parser does (SELECT's page, "FROM Clause", "GROUP BY Clause", "ORDER BY Clause"; "Composite Types"), through
 * subqueries, WITH queries and joins down to the columns that a value comes from. What cannot be resolved makes the answer incomplete, never smaller. */
#ifndef GH_POLICY_COLUMNS_H
#define GH_POLICY_COLUMNS_H

#include "policy/catalog.h"
#include "policy/facts_my.h"
#include "policy/parsed.h"
#include "policy/policy.h"

/* What a column is touched for. A use reaches through subqueries: in "SELECT 1 FROM (SELECT lower(email) AS e FROM c) s WHERE s.e = 'x'" email is read
 * and used in a predicate, and is no output. */
enum pol_use {
    POL_USE_READ =
        1u
        << 0, /* its value is read; every other bit but WRITTEN and EXCLUDED stands beside it. Alone: into a subquery's output that nothing uses */
    POL_USE_OUTPUT = 1u << 1, /* part of what is sent to the client, or stored in a table: target lists, RETURNING, SET a = .., COPY TO */
    POL_USE_PREDICATE = 1u << 2, /* WHERE, HAVING, FILTER, LIMIT, a window's frame, WHEN of MERGE, the arbiter of ON CONFLICT */
    POL_USE_GROUP = 1u << 3,     /* GROUP BY, DISTINCT, PARTITION BY, CYCLE, set operations without ALL */
    POL_USE_ORDER = 1u << 4,     /* ORDER BY of a query, a window or an aggregate; SEARCH */
    POL_USE_JOIN = 1u << 5,      /* a join's ON, USING, NATURAL; the ON of MERGE */
    POL_USE_MERGED = 1u << 6,    /* beside JOIN: by USING or NATURAL */
    POL_USE_WRITTEN = 1u << 7,   /* INSERT, UPDATE SET, MERGE, COPY FROM */
    POL_USE_EXCLUDED = 1u << 8,  /* EXCLUDED.c of ON CONFLICT: nothing of the table is read, but the server wants the right to read c */
};

struct pol_column_use {
    uint16_t named; /* POL_USE_* where the text names the column, or an output column that comes from it */
    uint16_t
        unnamed; /* where it does not: *, t.*, TABLE t, whole rows (t, (t).c, f(t), t.f), NATURAL, ORDER BY 1, INSERT or COPY without a list */
    uint32_t location; /* byte offset of the first name in the whole text; 0 also when the tree does not tell (USING) */
};
struct pol_relation_use {
    const struct pol_cat_relation *relation; /* of the catalog, which must outlive this */
    struct pol_column_use *columns;          /* one for each of relation->columns, in that order */
    bool complete;                           /* false: take every column for read and written */
    bool system;                             /* names ctid, xmin, tableoid or the like of it */
    uint32_t system_location;
};

/* A condition that may be copied into the subselect that stands in for one relation of a FROM clause (or to the row filter of a DML target): every row
 * of that relation for which it is not true adds nothing to the statement's result, its operator is leakproof and raises no error, and its operands
 * mean the same inside. Written as: <the relation's column> <rest>. */
struct pol_conjunct {
    uint32_t range_var; /* the RangeVar's location in the whole text */
    const struct pol_cat_relation *relation;
    const struct pol_cat_column *column;
    const char *
        rest; /* " OPERATOR(pg_catalog.=) 6", " IS NOT NULL", " OPERATOR(pg_catalog.=) ANY (ARRAY[1,2])", " OPERATOR(pg_catalog.=) \"o\".\"customer_id\"" */
    bool lateral; /* rest names a column of an item further left in the same FROM clause: the subselect must be LATERAL */
    const struct pol_cat_relation *other; /* lateral: that item's relation and column */
    const struct pol_cat_column *other_column;
};

struct pol_columns { /* immutable; holds no reference to the catalog */
    bool complete;   /* false: something was not resolved, or the work's bound was reached: none of the relations is complete */
    struct pol_relation_use *relations; /* every relation of the catalog that the text names where a relation can stand */
    size_t nrelations;
    struct pol_conjunct *conjuncts; /* in the order of the text's relations and conditions; at most POL_MAX_CONJUNCTS */
    size_t nconjuncts;
    bool stopped; /* the work's bound was reached */
    struct pol_arena *arena;
};
#define POL_MAX_CONJUNCTS 256

/* All statements of a text together. sql is NUL-terminated at sql[len]. NULL and *err as for pol_facts_pg(), which must have accepted the text:
 * what it refuses is not looked for here. Thread-safe; needs POL_STACK_BYTES of stack like it. */
struct pol_columns *pol_columns_pg(const char *sql, size_t len, const struct pol_catalog *cat, const struct pol_pins *pins,
                                   struct pol_parse_error *err);
/* The same of a text that is parsed. */
struct pol_columns *pol_columns_parsed(const struct pol_parsed *p, const struct pol_catalog *cat, const struct pol_pins *pins,
                                       struct pol_parse_error *err);
/* The same for MySQL and MariaDB; o as for pol_facts_my(). There are no conjuncts; of a row alias of INSERT the columns count as the target's. */
struct pol_columns *pol_columns_my(const char *sql, size_t len, const struct my_options *o, const struct pol_catalog *cat,
                                   struct pol_parse_error *err);
void pol_columns_free(struct pol_columns *c);
/* Of one relation; NULL when the text does not name it. */
const struct pol_relation_use *pol_columns_of(const struct pol_columns *c, const struct pol_cat_relation *r);
/* "read", "output", ...; NULL when it is no single bit of enum pol_use. */
const char *pol_use_name(unsigned bit);

#endif
