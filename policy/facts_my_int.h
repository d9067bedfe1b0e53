/* Inside of the MySQL facts extractor: shared by facts_my*.c only. */
#ifndef GH_POLICY_FACTS_MY_INT_H
#define GH_POLICY_FACTS_MY_INT_H

#include "policy/collect.h"
#include "policy/my_tree.h"

/* CTE names that a table's name can mean, innermost first. */
struct fm_cte {
    const char *name;
    uint32_t hash; /* of the name in any case */
    bool hidden;   /* not yet to be seen, but close enough to be reported besides the relation */
    struct fm_cte *outer;
    unsigned level; /* WITH clauses around */
};
/* The tables of a FROM clause, by the names that UPDATE, DELETE and FOR UPDATE OF may use for them. */
struct fm_table {
    uint32_t node;
    const char *name;
};
/* What the name of a table in a FROM clause, or of a target, means. */
struct fm_meaning {
    const char *schema, *name; /* NULL: not walked by, or a query of WITH */
    bool cte;
};

/* Marks on the nodes of tables: what UPDATE and DELETE do to them. The low bits are the number of parts. */
#define FM_PARTS  3u
#define FM_UPDATE 16u
#define FM_DELETE 32u
#define FM_LOCK   64u

struct fm {
    struct my_tree *t;
    const struct my_options *o;
    struct pol_collect c;
    const char *default_db; /* NULL: none */
    struct fm_cte *ctes;
    uint32_t nctes;              /* of the whole statement */
    unsigned level;              /* WITH clauses around */
    const struct fm_cte *in_cte; /* whose query is walked */
    uint32_t columns;            /* seen in this statement */
    bool inner;                  /* in the text of PREPARE, which is */
    uint32_t inner_at;           /* here in the text of all */
    struct fm_meaning *meanings; /* of MN_TABLE, by node; NULL: not wanted */
    bool mode_changed;           /* by a statement in front of this one: how the text is read is not known */
};

#define fm_fail(x, ...) pol_collect_fail(&(x)->c, __VA_ARGS__)
#define fm_no_memory(x) pol_collect_no_memory(&(x)->c)
const struct my_node *fm_node(const struct fm *x, uint32_t i);
/* The text of token i as a name; folded: in lower case. NULL with the error set. */
const char *fm_name(struct fm *x, uint32_t tok, bool folded);
/* Part i of a name of n parts that begins at token tok; "" for what is in front of a leading point. */
const char *fm_part(struct fm *x, uint32_t tok, unsigned i, bool folded);
bool fm_same(const char *a, const char *b); /* in any case, ASCII */
/* Part i as the name of a database or a relation, as the server compares it. */
const char *fm_object(struct fm *x, uint32_t tok, unsigned part);
const char *fm_default_db(const struct fm *x);    /* "" when there is none */
uint32_t fm_at(const struct fm *x, uint32_t tok); /* where token tok is, in bytes of the whole text */
/* The text that a node 'a' 'b' stands for, *len bytes of it, which may hold NUL; NULL when it is none that stands in the statement, or the error is set. */
char *fm_text(struct fm *x, uint32_t node, size_t *len);
bool fm_relation(struct fm *x, const char *schema, const char *name, unsigned access, uint32_t location);
bool fm_function(struct fm *x, const char *schema, const char *name, uint32_t location);
bool fm_setting(struct fm *x, const char *name, const char *value, bool local, bool show);

/* The facts of a tree, and what each of its tables means, by node (meanings[t->nnodes], or NULL). NULL and *err when there are none. Marks the tree's nodes: the flags
 * and words of tables are not the parser's any more. */
struct pol_facts *fm_facts(struct my_tree *t, const struct my_options *o, struct fm_meaning *meanings, struct pol_parse_error *err);

bool fm_walk(struct fm *x, uint32_t node);     /* a node */
bool fm_children(struct fm *x, uint32_t node); /* its children */
bool fm_statement(struct fm *x, const struct my_stmt *st, uint32_t node);
bool fm_util(struct fm *x, const struct my_stmt *st, uint32_t node); /* what is no DML */

#endif
