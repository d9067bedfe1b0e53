/* Inside of the rewriter: shared by rewrite*.c only. */
#ifndef GH_POLICY_REWRITE_INT_H
#define GH_POLICY_REWRITE_INT_H

#include "filters/bytes.h"
#include "policy/columns.h"
#include "policy/json_tape.h"
#include "policy/pg_nodes.h"
#include "policy/policy_int.h"
#include "policy/rewrite.h"
#include "policy/rewrite_say.h"

struct rw_token {
    uint32_t start, end;
    int type; /* a character, one of enum rw_type, or 0 */
};
enum rw_type { /* keywords that the rewriter looks for, and U&"name" */
               RW_UIDENT = 256,
               RW_AND,
               RW_AS,
               RW_BY,
               RW_CASE,
               RW_CONFLICT,
               RW_COPY,
               RW_DISTINCT,
               RW_DO,
               RW_END,
               RW_FROM,
               RW_ON,
               RW_ONLY,
               RW_REPEATABLE,
               RW_RETURNING,
               RW_SET,
               RW_TABLE,
               RW_THEN,
               RW_UESCAPE,
               RW_UPDATE,
               RW_USING,
               RW_WHEN,
               RW_WHERE,
};
/* t/e2e/test_noninterference.py has a program without it, which must be found out. */
#ifdef GH_UNSOUND_INLINE
#define RW_FENCE false
#else
#define RW_FENCE true
#endif

/* No column of the view's subselect is a plain one, because the planner's statistics would go through: see rewrite_from.c. */
static inline bool rw_is_opaque(const struct pol_view *v) { return RW_FENCE && v->filter != NULL; }

#define RW_NONE SIZE_MAX /* no token */

/* A change of the text: [start, end) becomes text. What is put around an expression is two changes of nothing. */
enum rw_side { RW_CLOSE, RW_OPEN, RW_REPLACE }; /* the order at one place */
struct rw_edit {
    uint32_t start, end;
    const char *text, *proof; /* proof: what the comparison reads in its place */
    enum rw_side side;
    uint32_t seq;
};

/* What was meant at a value of the tree, for the comparison of the new tree with the old one. */
enum rw_mark_kind {
    RW_M_FROM = 1, /* a RangeVar or RangeTableSample became our subselect */
    RW_M_TARGET,   /* a target's RangeVar got our alias */
    RW_M_WRAP,     /* an expression of RETURNING was put over the masked row */
    RW_M_VALUE,    /* one of SET was */
    RW_M_WHERE,    /* a condition was, behind the filter and with conjuncts */
    RW_M_FILTER,   /* a statement without WHERE got one */
    RW_M_STAR,     /* a RETURNING item became n of them */
    RW_M_NAME,     /* a column's name lost its schema */
    RW_M_GROUP,    /* n GROUP BY items stand in front of this one */
    RW_M_COPY,     /* COPY t TO became COPY (SELECT ..) TO */
};
struct rw_mark {
    enum rw_mark_kind kind;
    const struct pol_view *view;
    const char *alias; /* of the subselect, or of the target */
    size_t n;          /* items; conjuncts */
    bool fenced;       /* the condition stands behind the filter's CASE */
};

/* What the text says of one relation's name, found out once. */
struct rw_named {
    const struct pol_view *view;
    bool alone, alone_known; /* no other table without an alias has this name */
    bool plain, plain_known; /* every FROM item of this name is the relation without an alias */
};
struct rw_cte {
    const char *name;
    struct rw_cte *outer;
};
struct rw_lock { /* FOR UPDATE of the SELECT whose FROM clause is walked */
    bool all;
    const char **names;
    size_t n;
};
/* An INSERT's, UPDATE's, DELETE's or MERGE's target of which the role sees less than all. */
struct rw_target {
    const struct pol_view *view;
    const char *alias; /* the name that the statement knows it by */
    char reserved[16]; /* the name that it has now */
    const char *row;   /* (SELECT ..) AS "alias": the row as the role sees it */
    uint32_t location; /* of its name in the text */
    size_t after;      /* the token behind it and its alias */
};

struct rw {
    const struct jt *t;
    struct pol_arena *arena;
    const char *sql;
    size_t len;
    const struct pol_role *r;
    const struct pol_columns *columns;
    struct rw_token *tokens;
    size_t ntokens, tokens_cap;
    struct rw_edit *edits;
    size_t nedits, edits_cap;
    struct rw_mark *marks;
    size_t nmarks, marks_cap;
    uint32_t *mark_of; /* tape index -> mark + 1 */
    bool *seen;        /* tape index of a RangeVar's fields: dealt with */
    struct rw_named *named;
    size_t nnamed, named_cap;
    size_t inserted; /* bytes */
    uint64_t steps;  /* of work that is not in proportion to the text */
    struct rw_cte *ctes;
    const struct rw_lock *lock;
    unsigned targets; /* so many reserved names are used */
    bool in_returning;
    const struct rw_target *target; /* whose expressions are walked */
    struct pol_rewritten *out;
    struct pol_verdict *why;
    bool refused;
    bool brief, longer; /* pol_parse_limits.brief; and it is, so that is the answer, whatever refused says */
    bool whole;         /* the comparison is of the text that runs, with all of its columns */
};

/* Refusing; all return false, and the first one counts. */
bool rw_refuse(struct rw *x, const struct pol_view *view, uint32_t location, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
bool rw_no_memory(struct rw *x);

/* The tree. */
enum pg_node rw_node(const struct rw *x, uint32_t i, uint32_t *fields);
const char *rw_text(struct rw *x, uint32_t i); /* NULL when i is 0 or memory is out */
uint32_t rw_location(const struct rw *x, uint32_t fields);
bool rw_holds(struct rw *x, uint32_t i, const char *node); /* a node of that type is in the value i; false too when that is too much work */

/* Tokens. */
size_t rw_token_at(const struct rw *x, uint32_t start); /* RW_NONE when none begins there */
bool rw_is(const struct rw *x, size_t token, int type);

/* " " where a word that is put there would run together with the one before, or behind; "" else: WHERE(a), "t"SET. */
const char *rw_space_before(const struct rw *x, uint32_t at);
const char *rw_space_behind(const struct rw *x, uint32_t at);
/* Changing the text. False when memory is out. */
bool rw_replace(struct rw *x, uint32_t start, uint32_t end, const char *text);
/* proof differs from text in target lists alone, each of them proven by itself: see rewrite_check.c. */
bool rw_replace_proven(struct rw *x, uint32_t start, uint32_t end, const char *text, const char *proof);
bool rw_around(struct rw *x, uint32_t start, uint32_t end, const char *before, const char *after);
struct rw_mark *rw_mark(struct rw *x, uint32_t at, enum rw_mark_kind kind, const struct pol_view *view, const char *alias);
static inline const struct rw_mark *rw_marked(const struct rw *x, uint32_t at) {
    return x->mark_of != NULL && x->mark_of[at] != 0 ? &x->marks[x->mark_of[at] - 1] : NULL;
}
const char *rw_keep(struct rw *x, struct buf *b);                               /* b's text in the arena; frees b */
const char *rw_join(struct rw *x, const char *a, const char *b, const char *c); /* the three in one; NULL when memory is out */

/* rewrite_from.c */
bool rw_statement(struct rw *x, uint32_t node);
bool rw_walk(struct rw *x, uint32_t i);
bool rw_walk_fields(struct rw *x, enum pg_node type, uint32_t i, const char *const *except);
bool rw_with(struct rw *x, uint32_t with);
/* The RangeVar at fields has been dealt with: whatever the walk has not come by is refused in the end. */
void rw_seen(struct rw *x, uint32_t fields);
struct rw_named *rw_named(struct rw *x, const struct pol_view *view); /* NULL when memory is out */
/* Counts n steps, of a nanosecond or some; false when there were too many: then whatever is made of the text is refused in the end. */
bool rw_work(struct rw *x, uint64_t n);
/* What a RangeVar means. False when memory is out or it is refused; *view NULL: nothing to do. */
bool rw_relation(struct rw *x, uint32_t fields, const struct pol_view **view);
/* The tokens of [schema.]name at location: the first and the one behind the last. */
bool rw_name_tokens(struct rw *x, uint32_t fields, size_t *first, size_t *end);
#define RW_PROVEN "_gh.*" /* what the proof has in the place of such columns */
/* The columns of a row called _gh, proven to be such; NULL and refused when they are not. The text lives as long as the role. */
const char *rw_proven_row(struct rw *x, const struct pol_view *v);
/* Appends the columns of a row called alias: value AS "name", ... */
void rw_put_row(struct buf *b, const struct pol_view *v, const char *alias);
bool rw_is_cte(const struct rw *x, const char *name);

/* rewrite_dml.c: the statement at fields, whose relation is restricted or not. */
bool rw_insert(struct rw *x, uint32_t fields);
bool rw_update(struct rw *x, uint32_t fields);
bool rw_delete(struct rw *x, uint32_t fields);
bool rw_merge(struct rw *x, uint32_t fields);
bool rw_copy(struct rw *x, uint32_t fields);

/* rewrite_check.c: whether the text "SELECT row FROM s.t AS _gh" has just these columns of v, made of columns of _gh, and reads nothing else. */
bool rw_row_is_right(struct rw *x, const struct pol_view *v, const struct jt *t);
/* Whether the new text's tree is the old one, with what the marks say. */
bool rw_compare(const struct rw *x, const struct jt *after);
/* rewrite_pg.c, for the tests: as pol_rewrite_parsed(), and the whole of the text that runs is parsed and compared, too. */
enum pol_rewrite_rc rw_rewrite_whole(const struct pol_parsed *p, const struct pol_role *r, struct pol_rewritten *out,
                                     struct pol_verdict *why);

#endif
