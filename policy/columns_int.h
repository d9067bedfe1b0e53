/* Inside of the column facts: shared by columns*.c only. */
#ifndef GH_POLICY_COLUMNS_INT_H
#define GH_POLICY_COLUMNS_INT_H

#include "policy/columns.h"
#include "policy/facts_pg.h"

/* Uses in one word: where a column is named in the low half, where it is not in the high half. */
#define CX_NAMED(bits)   ((uint32_t)(bits))
#define CX_UNNAMED(bits) ((uint32_t)(bits) << 16)
#define CX_ROW           UINT32_MAX /* as a column's number: all of them */
/* Of the stack. A text's own depth needs less (facts_pg.c); chains of WITH queries, read where they are named, can add up to more. */
#define CX_STACK_BYTES (POL_STACK_BYTES / 2)
/* Bounds on a text's work, in names looked at and uses passed on. Some 30 ns each: an answer, or "incomplete", within 40 ms; and what pol_parse_limits.brief
 * takes. */
#define CX_STEPS 1000000u
#define CX_BRIEF 100000u

enum cx_join { CX_INNER, CX_LEFT, CX_RIGHT, CX_FULL };

struct cx_edge {
    struct cx_node *to;
    struct cx_edge *next;
};
/* Where a value comes from. Uses flow from a node to those it comes from, each bit once over each edge. */
struct cx_node {
    uint32_t bits;
    uint32_t location;
    uint32_t column; /* with rel: its index, or CX_ROW */
    bool row;        /* a whole row: behind it nothing is named */
    bool excluded;   /* a column of EXCLUDED: behind it nothing is read */
    struct cx_rel *rel;
    struct cx_edge *from;
};

struct cx_rel { /* one relation of the catalog, however often it is named */
    const struct pol_cat_relation *r;
    struct cx_node *columns;
    struct cx_node whole;
    struct cx_cols *cols; /* of a wide one: its names, hashed; NULL: not made */
    bool incomplete, system;
    uint32_t system_location;
};

struct cx_col {
    const char *name; /* NULL: none, or ambiguous with what a join merged */
    uint32_t hash;
    struct cx_node *node;
};
struct cx_cols { /* the columns of a query, a join, a function */
    struct cx_col *v;
    size_t n, cap;
    struct cx_node *rest; /* there are further columns, of unknown names, at unknown positions; NULL: there are none */
    struct cx_node *whole;
    uint32_t *slots; /* hash of name -> index + 1; NULL: not made */
    size_t nslots;
};

struct cx_item {      /* what FROM adds to a query's names */
    const char *name; /* alias or relation; NULL: none */
    uint32_t hash;
    bool aliased;
    bool rel_visible;     /* as a qualifier */
    bool cols_visible;    /* its columns, without one, and in * */
    struct cx_rel *rel;   /* a relation of the catalog */
    struct cx_cols *cols; /* NULL: those of rel by their own names */
    struct cx_node *whole;
    bool *hidden; /* columns that a join has merged; NULL: none */
    uint32_t location;
    bool nullable; /* below the outer side of an outer join */
    bool target;   /* of UPDATE, DELETE, INSERT, MERGE: nothing else in FROM can see it */
};

struct cx_level { /* one query */
    struct cx_level *outer;
    struct cx_item **items;
    size_t n, cap;
    size_t lo, hi; /* that can be seen now; hi may be SIZE_MAX */
};

enum cx_state { CX_UNSEEN, CX_BUSY, CX_DONE };
struct cx_cte {
    const char *name;
    uint32_t hash;
    uint32_t fields; /* of its CommonTableExpr */
    bool recursive;
    enum cx_state state;
    struct cx_cols *cols;
    struct cx_level *outer;
    struct cx_cte *env, *next; /* what it can see; what was visible before it */
};

struct cx_work {
    struct cx_node *node;
    uint32_t bits, location;
};
struct cx {
    struct fx fx; /* tape, texts, arena, error */
    const struct pol_catalog *cat;
    const struct pol_pins *pins;
    struct pol_columns *out;
    struct cx_rel **rels;
    size_t nrels, rels_cap;
    uint32_t *slots; /* oid -> index + 1 in rels */
    size_t nslots;
    struct cx_level *level;
    struct cx_cte *ctes;
    struct cx_cte *publish;  /* the recursive WITH query whose set operation comes next */
    struct cx_node *collect; /* gets an edge to whatever an expression reads; NULL: nobody asks */
    unsigned use;            /* what an expression's columns are read for */
    uint32_t steps, max_steps;
    uintptr_t stack;       /* where it was when the work began */
    bool incomplete, stop; /* something was not resolved; the bound was reached: nothing more is looked at */
    struct cx_work *work;
    size_t nwork, work_cap;
    struct cx_node none;
    uint16_t *params; /* how often $n stands in the text, by n; NULL: not counted */
    size_t nparams;
    size_t conjuncts_cap;
    char *scratch; /* of columns_safe.c */
};

struct cx_ref { /* what a name means */
    struct cx_node *node;
    struct cx_item *item; /* with column: that is all that it means; NULL otherwise */
    uint32_t column;
    struct cx_item *row; /* the whole row of this item, and nothing else; NULL otherwise */
};

/* columns_names.c. Those that return false or NULL have set the error: memory is out. */
bool cx_step(struct cx *x, uint32_t n); /* false when the bound is reached: x->stop */
bool cx_deep(struct cx *x);             /* true when there is no stack for more: x->stop */
struct cx_node *cx_node_new(struct cx *x);
bool cx_edge(struct cx *x, struct cx_node *from, struct cx_node *to); /* from's value comes from to as well */
bool cx_mark(struct cx *x, struct cx_node *n, uint32_t bits, uint32_t location);
struct cx_rel *cx_rel_of(struct cx *x, const struct pol_cat_relation *r);
const struct pol_cat_relation *cx_resolve(struct cx *x, const char *schema, const char *name); /* NULL: not in the catalog */
struct cx_cols *cx_cols_new(struct cx *x);
bool cx_cols_add(struct cx *x, struct cx_cols *c, const char *name, struct cx_node *node);
bool cx_cols_rest(struct cx *x, struct cx_cols *c, struct cx_node *node);
struct cx_cols *cx_cols_renamed(struct cx *x, struct cx_cols *c, uint32_t names); /* by a list of Strings; c itself when names is 0 */
struct cx_node *cx_cols_whole(struct cx *x, struct cx_cols *c);
/* The next index behind *at that has this name, CX_ROW before the first; false when there is none. */
bool cx_cols_find(struct cx *x, struct cx_cols *c, const char *name, uint32_t hash, uint32_t *at);
bool cx_rel_cols(struct cx *x, struct cx_rel *rel, struct cx_cols **out); /* *out is its columns by their own names */
bool cx_is_system(const char *name);
size_t cx_item_columns(const struct cx_item *it);
struct cx_col cx_item_column(const struct cx_item *it, size_t i);
struct cx_node *cx_item_whole(struct cx *x, struct cx_item *it);
struct cx_item *cx_item_add(struct cx *x, struct cx_level *l, size_t at, const char *name);
/* Columns called name among the visible items [lo, hi) of a level; the number of them, the last one in *ref. *rest gets an edge to each item with further
 * columns; NULL when there is none. */
size_t cx_find(struct cx *x, struct cx_level *l, size_t lo, size_t hi, const char *name, struct cx_ref *ref, struct cx_node **rest);
bool cx_name(struct cx *x, const char *name, struct cx_ref *ref, uint32_t location); /* an unqualified one */
bool cx_qualified(struct cx *x, const char *schema, const char *rel, const char *name, struct cx_ref *ref, uint32_t location);
struct cx_item *cx_find_item(struct cx *x, const char *schema, const char *rel);

/* columns_expr.c */
bool cx_walk(struct cx *x, uint32_t i); /* any expression, list of them, or nothing */
bool cx_walk_for(struct cx *x, uint32_t i, unsigned use, struct cx_node *collect);
bool cx_targets(struct cx *x, uint32_t list, unsigned use, struct cx_cols *out); /* a target list, or RETURNING */
bool cx_group(struct cx *x, uint32_t list, struct cx_cols *out);
bool cx_order(struct cx *x, uint32_t list, struct cx_cols *out, unsigned use);
bool cx_order_set(struct cx *x, uint32_t list, struct cx_cols *out); /* of a set operation: output columns only */
bool cx_mark_cols(struct cx *x, struct cx_cols *c, uint32_t bits);

/* columns_from.c */
bool cx_from(struct cx *x, uint32_t list);
bool cx_from_item(struct cx *x, uint32_t node);
struct cx_item *cx_range_var(struct cx *x, uint32_t fields, bool target);
bool cx_with(struct cx *x, uint32_t with);

/* columns_query.c. A query's output; NULL on error. use is what its output is for. */
struct cx_cols *cx_select(struct cx *x, uint32_t fields, unsigned use);
struct cx_cols *cx_query(struct cx *x, uint32_t node, unsigned use); /* SELECT, or a statement with RETURNING */
bool cx_statement(struct cx *x, uint32_t node);
bool cx_unseen(struct cx *x, uint32_t from, uint32_t to); /* every relation named there is incomplete */

/* columns_safe.c: the conjuncts of a condition over x->level that may be copied to its items [lo, hi). */
bool cx_safe(struct cx *x, uint32_t condition, size_t lo, size_t hi);

#endif
