/* Inside of the parser: recursive descent over an array of tokens, without going back. Every function returns the node that it made, 0 when the error is
 * set. What is accepted may be more than the server accepts, never with fewer relations, functions or effects than the server would find. */
#ifndef GH_POLICY_MY_PARSE_H
#define GH_POLICY_MY_PARSE_H

#include "policy/my_tree.h"

#define MY_DEPTH      1000u
#define MY_STATEMENTS 1000u

struct mp {
    struct my_tree *t;
    const struct my_token *tok; /* the current one */
    uint32_t pos, depth, max_depth;
    uint32_t run_from,
        run_to; /* the last run of opening parentheses that was looked through: all of them have the same first word behind them */
    bool values_function; /* VALUES(c) is a function here, no query */
    bool in_values;       /* DEFAULT and IGNORE may stand for a value */
    bool mysql, maria;
    struct my_stmt *s, current; /* s: the statement that is being read */
    struct pol_parse_error *err;
};
/* Children in order. */
struct ml {
    uint32_t first, last;
};

/* tokens */
bool mp_is(const struct mp *p, enum my_word w); /* the current token is that word, unquoted */
bool mp_is_at(const struct mp *p, uint32_t ahead, enum my_word w);
bool mp_op(const struct mp *p, unsigned op);
bool mp_op_at(const struct mp *p, uint32_t ahead, unsigned op);
bool mp_take(struct mp *p, enum my_word w); /* goes past it when it is there */
bool mp_take_op(struct mp *p, unsigned op);
bool mp_need(struct mp *p, enum my_word w); /* error when it is not */
bool mp_need_op(struct mp *p, unsigned op);
void mp_next(struct mp *p);
enum my_word mp_word(const struct mp *p); /* the current word, MY_W_NONE when it is none */
bool mp_at_end(const struct mp *p);       /* of the statement */
bool mp_is_name(const struct mp *p);      /* an identifier */
bool mp_is_name_at(const struct mp *p, uint32_t ahead);
bool mp_is_alias(const struct mp *p); /* one that may be a table's alias without AS */
uint32_t mp_fail(struct mp *p, enum pol_parse_rc rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
uint32_t mp_syntax(struct mp *p); /* "not understood at this place" */
bool mp_deeper(struct mp *p);     /* p->depth-- when done */

/* nodes */
uint32_t mp_node(struct mp *p, enum my_node_type type, uint32_t tok);
uint32_t mp_done(struct mp *p, uint32_t node, const struct ml *list); /* its children, and its end: the current token */
bool mp_add(struct mp *p, struct ml *list, uint32_t node);            /* false when node is 0 */
uint32_t mp_leaf(struct mp *p, enum my_node_type type);               /* of the current token, which is taken */

/* names */
uint32_t mp_table(struct mp *p, unsigned access); /* [db.]t; access 0: read, may be a CTE */
bool mp_name(struct mp *p);                       /* takes an identifier */
bool mp_name_list(struct mp *p, struct ml *list); /* (a, b): COLUMNs of one part; the opening parenthesis is current */
bool mp_alias(struct mp *p, struct ml *list);     /* [AS] name of a table */

/* expressions */
uint32_t mp_expr(struct mp *p);
uint32_t mp_expr_min(struct mp *p, unsigned min);
uint32_t mp_expr_rest(struct mp *p, uint32_t left, unsigned min);
bool mp_expr_list(struct mp *p, struct ml *list);
uint32_t mp_paren(struct mp *p); /* "(" is current: a SUBQUERY or a ROW */
uint32_t mp_column(struct mp *p);
bool mp_is_unit(const struct mp *p);
bool mp_type(struct mp *p); /* a data type's words */

/* queries */
bool mp_query_starts(struct mp *p, uint32_t ahead);   /* a query starts there, behind any opening parentheses */
uint32_t mp_query(struct mp *p);                      /* with or without WITH */
uint32_t mp_query_rest(struct mp *p, uint32_t first); /* first: an operand that is parsed already */
bool mp_query_goes_on(const struct mp *p);            /* behind an operand: UNION, ORDER BY, LIMIT and the like */
uint32_t mp_with(struct mp *p);
uint32_t mp_query_with(struct mp *p, uint32_t tok, uint32_t with); /* WITH is parsed already */
bool mp_from_list(struct mp *p, struct ml *list);
bool mp_where(struct mp *p, struct ml *list);
bool mp_order_limit(struct mp *p, struct ml *list);
bool mp_order(struct mp *p, struct ml *list);
uint32_t mp_window_spec(struct mp *p);
bool mp_partition(struct mp *p);
uint32_t mp_items(struct mp *p, enum my_node_type type);

/* statements */
uint32_t mp_statement(struct mp *p);
uint32_t mp_insert(struct mp *p);
uint32_t mp_update(struct mp *p, uint32_t with);
uint32_t mp_delete(struct mp *p, uint32_t with);
uint32_t mp_load(struct mp *p);
bool mp_file_format(struct mp *p);
uint32_t mp_explainable(struct mp *p); /* the statements that EXPLAIN and SET STATEMENT take */
uint32_t mp_util(struct mp *p);
uint32_t mp_ddl(struct mp *p, bool *known);
uint32_t mp_show(struct mp *p);
uint32_t mp_set(struct mp *p);
uint32_t mp_opaque(struct mp *p, enum my_stmt_kind kind, const char *tag, unsigned actions); /* to the statement's end */
uint32_t mp_opaque_text(struct mp *p, const char *tag);                                      /* stored code: to the text's end */
uint32_t mp_stmt_node(struct mp *p, enum my_stmt_kind kind, const char *tag, unsigned actions, uint32_t tok);

#endif
