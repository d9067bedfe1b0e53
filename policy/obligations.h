/* What a role may see of a relation: the columns, their masks, the rows. Put together from all rules that apply, and from those of the relations
 * that it is a partition or child of; the strictest wins. */
#ifndef GH_POLICY_OBLIGATIONS_H
#define GH_POLICY_OBLIGATIONS_H

#include "policy/catalog.h"

struct pol_role;
struct buf;

enum pol_visibility { POL_VISIBLE, POL_MASKED, POL_HIDDEN }; /* in the order of strictness */
struct pol_view_column {
    enum pol_visibility visibility;
    const char *sql;  /* masked, hidden: a template for pol_template(), of the column's own type */
    const char *how;  /* in words: "visible", "hidden", "masked: email", ... */
    const char *rule; /* that said so; NULL when visible */
    bool null;        /* always NULL */
    bool hash;        /* a keyed hash */
    bool writable;    /* INSERT, UPDATE and COPY may name it */
    bool filter;      /* the row filter reads it */
    bool named;       /* a rule names it, itself or by a tag */
};
struct pol_view_row { /* filled when it is first needed; the role is used by one thread at a time */
    const char *text; /* its columns for a row called _gh; NULL: not yet */
};
struct pol_view { /* immutable, as long as the role */
    const struct pol_cat_relation *relation;
    const struct pol_view_column *columns; /* as many as the relation has, in its order */
    const char *filter;                    /* a template, boolean; NULL: every row */
    const char *rule;                      /* the first one that restricts */
    struct pol_view_row *row;              /* what the rewriter has proven of it */
    const char *problem;                   /* not NULL: the policy does not fit the relation, which nobody may touch; a sentence */
    const char *missing;                   /* where the problem is a column that does not exist: its name */
    bool hash_written;                     /* where it is a keyed hash that may be written: it may take two rules */
};

/* NULL: nothing of it is restricted. Also NULL with *failed set when memory is out. Needs the role's catalog. */
const struct pol_view *pol_role_view(const struct pol_role *r, const struct pol_cat_relation *rel, bool *failed);
/* Appends a template's text for the row called alias, which is an identifier that needs no quotes. */
void pol_template(struct buf *out, const char *sql, const char *alias);

#endif
