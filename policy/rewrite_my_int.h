/* Inside of the rewriter for MySQL and MariaDB: shared by rewrite_my*.c only. */
#ifndef GH_POLICY_REWRITE_MY_INT_H
#define GH_POLICY_REWRITE_MY_INT_H

#include "filters/bytes.h"
#include "policy/facts_my_int.h"
#include "policy/policy_int.h"
#include "policy/rewrite.h"
#include "policy/rewrite_say.h"

/* A test has a program without it, which must be found out. */
#ifdef GH_UNSOUND_INLINE
#define RW_FENCE false
#else
#define RW_FENCE true
#endif

/* A change of the text: tokens [from, to) become text; with from == to it stands in front of token from (RY_OPEN) or behind the one before it (RY_CLOSE). */
enum ry_side { RY_CLOSE, RY_OPEN, RY_REPLACE }; /* the order at one place */
struct ry_edit {
    uint32_t from, to;
    const char *text;
    enum ry_side side;
    uint32_t seq;
};
/* What was meant at a node, for the comparison of the new tree with the old one. */
enum ry_mark {
    RY_SAME,
    RY_TABLE,    /* a table became our subselect */
    RY_TABLE_Q,  /* TABLE t became SELECT * FROM one */
    RY_BARE,     /* (t) lost its parentheses */
    RY_LABEL,    /* an item got its label */
    RY_NAME,     /* a name lost its database */
    RY_MASK,     /* a column became its mask, in parentheses */
    RY_WHERE,    /* a condition stands behind the filter */
    RY_FILTER,   /* a statement without WHERE got one */
    RY_STAR,     /* * of RETURNING became its columns */
    RY_MOVED,    /* a condition went behind a fence, and is TRUE where it stood */
    RY_CONSTANT, /* the text of PREPARE became another constant */
};
/* An item of some FROM clause, by the name that it is known by. */
struct ry_item {
    const char *schema, *name; /* schema NULL: a subquery, or one of WITH */
    bool replaced;
};
struct ry_lock {   /* FOR UPDATE and its kin, of the query that is walked */
    uint32_t node; /* 0: none */
    bool nested;   /* of a UNION, or of what is in parentheses */
};
/* A restricted table that the statement at hand changes: no subselect can stand for it. */
struct ry_target {
    const struct pol_view *view;
    uint32_t node;
    const char *alias;  /* the name that the statement knows it by */
    const char *quoted; /* `alias` */
};
#define RY_TARGETS 16
/* A SELECT inside of such a statement. */
struct ry_scope {
    uint32_t select;
    struct ry_scope *outer;
};

struct ry {
    struct my_tree tree;
    struct fm fm; /* for names: arena, options, error */
    struct pol_parse_error err;
    const struct my_options *o;
    const struct pol_role *r;
    struct pol_arena *arena;
    struct pol_facts *facts;
    struct fm_meaning *meanings;
    uint8_t *marks;      /* enum ry_mark, by node */
    uint32_t *more;      /* by node: what RY_STAR became */
    uint32_t *explicit;  /* by node: the access that the parser gave a table */
    bool *dealt;         /* by node: a table whose columns are taken care of */
    bool *is_target;     /* by node: a restricted table that is changed where it stands */
    uint32_t *moved;     /* by token: where a "?" has gone, as the first token of the table; 0: nowhere. NULL: none has gone */
    const char **tables; /* by node: see put_conjuncts(). NULL: nobody has asked */
    struct ry_edit *edits;
    size_t nedits, edits_cap;
    size_t len, inserted; /* bytes: of the text; put into it */
    struct ry_item *items;
    size_t nitems, items_cap;
    uint64_t steps;
    struct ry_lock lock;
    struct ry_target targets[RY_TARGETS];
    size_t ntargets;
    struct ry_scope *scopes;
    uint32_t unnamed;    /* the VALUES of an INSERT, whose columns nobody sees; 0: there is none */
    uint32_t from;       /* the tables of an UPDATE or DELETE; 0: there is one, or none */
    unsigned subqueries; /* so many are open */
    bool in_returning;
    bool strict; /* it may write: a SELECT's warnings are errors there, which come when a condition is tried on a row, be it hidden */
    bool procedure, defaults; /* PROCEDURE ANALYSE, DEFAULT(column) are somewhere in it */
    struct pol_rewritten *out;
    struct pol_verdict *why;
    bool refused;
    bool brief, longer; /* pol_parse_limits.brief; and it is, so that is the answer, whatever refused says */
};

static inline const struct my_node *ry_node(const struct ry *x, uint32_t i) { return &x->tree.nodes[i]; }
static inline const struct my_token *ry_token(const struct ry *x, uint32_t i) { return &x->tree.tokens.t[i]; }
uint32_t ry_child(const struct ry *x, uint32_t node, enum my_node_type type); /* the first of that type; 0: none */

/* Refusing; all return false, and the first one counts. tok: 0 when it is about no place. */
bool ry_refuse(struct ry *x, const struct pol_view *view, uint32_t tok, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* "the column .. of .. what": clients are told so by a number of its own. */
#define RY_HIDDEN "is hidden from you by the policy"
bool ry_refuse_column(struct ry *x, const struct pol_view *view, size_t at, uint32_t tok, const char *what);
bool ry_no_memory(struct ry *x);
bool ry_too_large(struct ry *x);
/* It is much work (pol_parse_limits.brief): nothing more is done, and nothing said. False. */
bool ry_longer(struct ry *x);
bool ry_work(struct ry *x, uint64_t n);

/* Changing the text. False when memory is out, or at a place that cannot be changed. text lives as long as the arena. */
bool ry_replace(struct ry *x, uint32_t from, uint32_t to, const char *text);
bool ry_around(struct ry *x, uint32_t from, uint32_t to, const char *before, const char *after);
bool ry_put_before(struct ry *x, uint32_t tok, const char *text);
bool ry_put_behind(struct ry *x, uint32_t tok, const char *text);                  /* behind token tok - 1 */
const char *ry_keep(struct ry *x, struct buf *b);                                  /* b's text in the arena; frees b */
void ry_put_tokens(const struct ry *x, struct buf *b, uint32_t from, uint32_t to); /* with a blank in front of each */

/* What a table of a FROM clause is. False when memory is out or it is refused; *view NULL: nothing to do. */
bool ry_view(struct ry *x, uint32_t node, const struct pol_view **view);
/* Appends the columns of a row called quoted: value AS `name`, ...; gives how many. What is invisible to "*" is among them where the text names it, not for a star. */
uint32_t ry_put_row(struct ry *x, struct buf *b, const struct pol_view *v, const char *quoted, bool star);
const char *ry_quoted(struct ry *x, const char *name);
bool ry_walk(struct ry *x, uint32_t node);
bool ry_children(struct ry *x, uint32_t node);
/* Items of a select list from node first on, whose labels stay what they were. */
bool ry_items(struct ry *x, uint32_t list);
/* Whether a server may take one name for the other, as columns are compared and, where lower_case_table_names says so, tables and aliases: in any case, and a letter beyond
 * ASCII may be any other. */
bool ry_may_be(const char *a, const char *b);
/* Whether every server does. Where a name only may be that of something hidden, or may not be it, the statement is refused. */
bool ry_is(const char *a, const char *b);

/* rewrite_my_dml.c */
bool ry_insert(struct ry *x, uint32_t node);
bool ry_update(struct ry *x, uint32_t node);
bool ry_delete(struct ry *x, uint32_t node);
/* Marks the restricted tables of a statement that it changes. */
bool ry_find_targets(struct ry *x, uint32_t stmt);
/* A column in a statement that has such. *done: it was one of theirs, and is dealt with. */
bool ry_target_column(struct ry *x, uint32_t node, bool *done);
/* column op constants, of a visible column of v by its name: not true of NULL, and tells nothing of a row that it is tried on. *params: how many "?" are in it. */
bool ry_is_conjunct(struct ry *x, const struct pol_view *v, uint32_t node, uint32_t *params);
/* Refuses PARTITION and FOR SYSTEM_TIME of a table at node, where what they find could tell of a column that is not visible. */
bool ry_finds_by_names(struct ry *x, const struct pol_view *v, uint32_t node);
/* Refuses MATCH .. AGAINST in a statement that changes a table of which rows are hidden. */
bool ry_target_match(struct ry *x, uint32_t node);
/* The columns of USING in such a statement. */
bool ry_target_using(struct ry *x, uint32_t node);
/* The name that a table of FROM is known by; NULL: the error is set. */
const char *ry_called(struct ry *x, uint32_t node);
bool ry_is_word(const struct ry *x, uint32_t tok, enum my_word w);
bool ry_not_understood(struct ry *x);

/* rewrite_my_prepare.c: PREPARE, EXECUTE IMMEDIATE */
bool ry_prepare(struct ry *x, uint32_t node);

/* rewrite_my_check.c: whether the new text is the old one with just the edits, token by token, and its tree the old one with what the marks say. */
bool ry_check(struct ry *x, const char *sql, size_t len);
/* The new text: the old one with its edits, which are sorted. */
bool ry_apply(struct ry *x, struct buf *out);

#endif
