/* Inside of the PostgreSQL facts extractor: shared by facts_pg*.c only. */
#ifndef GH_POLICY_FACTS_PG_H
#define GH_POLICY_FACTS_PG_H

#include "policy/collect.h"
#include "policy/json_tape.h"
#include "policy/pg_nodes.h"

/* CTE names that a FROM item can see, innermost first. */
struct fx_cte {
    const char *name;
    uint32_t hash;
    struct fx_cte *outer;
};

/* FOR UPDATE and its kin of one SELECT: of every relation of its FROM clause, or of those named. */
struct fx_lock {
    bool all;
    const char *const *names; /* that FOR UPDATE OF lists */
    size_t nnames;
};

/* A function in FROM, by the name that can qualify its columns. */
struct fx_from {
    const char *name;
    const char **columns; /* that its alias or column definition list declares */
    size_t ncolumns, columns_cap;
    bool own;   /* it has a column of the same name */
    bool twice; /* the name is used more than once: the columns say nothing */
};

struct fx {
    const struct jt *t;
    const char *sql;
    size_t len;
    struct pol_collect c;
    struct fx_cte *ctes;
    unsigned nctes;
    unsigned access;            /* what a RangeVar found now is accessed for */
    bool in_from;               /* a RangeVar found now may be a CTE */
    uint32_t named_rows;        /* the RangeVar of pg_settings, or the call of its function, of which only named rows are read; 0: none */
    bool is_named_rows;         /* a relation found now is that one */
    const struct fx_lock *lock; /* of the SELECT whose FROM clause is walked; NULL: none */
    uint32_t columns;           /* ColumnRefs seen in this statement */
    struct fx_from *from;       /* functions in FROM, anywhere in the text */
    size_t nfrom, from_cap;
    bool from_any; /* there may be more of them than from lists */
    bool values;   /* the value of a constant was looked at: pol_facts.values */
};

#define fx_fail(x, ...) pol_collect_fail(&(x)->c, __VA_ARGS__)
#define fx_no_memory(x) pol_collect_no_memory(&(x)->c)

/* The tree. i is the tape's index of a value; 0 is an absent member. All of these return false when the error is set. */
bool fx_walk(struct fx *x, uint32_t i);                       /* a node, a list of nodes, or nothing */
bool fx_walk_as(struct fx *x, enum pg_node type, uint32_t i); /* the fields of a typed member, with the type's own handler */
bool fx_walk_fields(struct fx *x, enum pg_node type, uint32_t i,
                    const char *const *except); /* every field but the NULL-terminated list except */
/* The type of the node at i and, in *fields, the index of its fields. NT_NONE when it is no node of the table (no error is set). */
enum pg_node fx_node(const struct fx *x, uint32_t i, uint32_t *fields);

/* Texts. NULL with the error set when memory is out; fx_name gives NULL without an error when i is 0. */
const char *fx_text(struct fx *x, uint32_t i);
/* The parts of a name: a list of String nodes (or of A_Star, as "*"). Returns the number of parts, at most max are stored; 0 on error. */
size_t fx_parts(struct fx *x, uint32_t list, const char **parts, size_t max);
uint32_t fx_location(const struct fx *x, uint32_t fields);
const char *fx_fold(struct fx *x, const char *s); /* ASCII lower case */

/* What is found. */
bool fx_relation(struct fx *x, const char *schema, const char *name, unsigned access, uint32_t location);
bool fx_function(struct fx *x, const char *schema, const char *name, uint32_t location);
bool fx_field(struct fx *x, const char *name, uint32_t location); /* a function, unless it is a column */
bool fx_setting(struct fx *x, const char *name, const char *value, bool local, bool show);
/* A RangeVar's fields as a relation that is no CTE: a target, a DDL object. */
bool fx_target(struct fx *x, uint32_t fields, unsigned access);
/* As "schema"."name" from a list of names; extra parts in front (a database) are ignored. */
bool fx_named_relation(struct fx *x, const char *const *parts, size_t n, unsigned access, uint32_t location);

/* facts_pg_expr.c */
bool fx_collect_from_functions(struct fx *x);
bool fx_func_call(struct fx *x, uint32_t i);
bool fx_column_ref(struct fx *x, uint32_t i);
bool fx_indirection(struct fx *x, uint32_t i);
bool fx_operator_name(struct fx *x, uint32_t list, uint32_t location);
/* facts_pg_query.c */
bool fx_select(struct fx *x, uint32_t i);
bool fx_named_settings(struct fx *x, uint32_t select); /* for a statement's own SELECT, before it is walked */
bool fx_insert(struct fx *x, uint32_t i);
bool fx_update(struct fx *x, uint32_t i);
bool fx_delete(struct fx *x, uint32_t i);
bool fx_merge(struct fx *x, uint32_t i);
bool fx_range_var(struct fx *x, uint32_t i);
bool fx_range_subselect(struct fx *x, uint32_t i);
bool fx_into(struct fx *x, uint32_t i);
bool fx_created(struct fx *x, uint32_t range_var); /* the target of CREATE TABLE and the like: create, or temp */
/* facts_pg_stmt.c: one statement node with its kind, tag and actions. */
bool fx_statement(struct fx *x, uint32_t node);
const char *fx_const_text(struct fx *x, uint32_t node); /* a constant as SET reads it; NULL with or without an error when it is none */
/* facts_pg_ddl.c: NT that is data definition; *known says whether it is. */
bool fx_ddl(struct fx *x, enum pg_node type, uint32_t i, bool *known);

#endif
