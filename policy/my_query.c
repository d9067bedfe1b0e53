/* Queries: WITH, set operations, SELECT and its clauses, FROM. */
#include "policy/my_parse.h"

/* --- where a query starts and goes on --- */

static bool starts_at(const struct mp *p, uint32_t i) {
    if (mp_is_at(p, i, W_SELECT) || mp_is_at(p, i, W_WITH)) return true;
    if (mp_is_at(p, i, W_TABLE)) return p->mysql;
    if (mp_is_at(p, i, W_VALUES)) return p->mysql ? mp_is_at(p, i + 1, W_ROW) : !p->values_function;
    return false;
}

bool mp_query_starts(struct mp *p, uint32_t ahead) {
    uint32_t at = p->pos + ahead, to = at;
    if (at >= p->run_from && at < p->run_to) {
        to = p->run_to;
    } else {
        while (mp_op_at(p, to - p->pos, '(')) to++;
        p->run_from = at;
        p->run_to = to;
    }
    return starts_at(p, to - p->pos);
}

static bool is_set_op(const struct mp *p) { return mp_is(p, W_UNION) || mp_is(p, W_EXCEPT) || mp_is(p, W_INTERSECT); }

static bool is_lock(const struct mp *p) {
    return (mp_is(p, W_FOR) && (mp_is_at(p, 1, W_UPDATE) || mp_is_at(p, 1, W_SHARE))) || (mp_is(p, W_LOCK) && mp_is_at(p, 1, W_IN));
}

static bool is_limit(const struct mp *p) {
    return mp_is(p, W_LIMIT) ||
           (p->maria && (mp_is(p, W_OFFSET) || (mp_is(p, W_FETCH) && (mp_is_at(p, 1, W_FIRST) || mp_is_at(p, 1, W_NEXT)))));
}

bool mp_query_goes_on(const struct mp *p) {
    return is_set_op(p) || is_lock(p) || is_limit(p) || mp_is(p, W_ORDER) || mp_is(p, W_INTO) || mp_is(p, W_PROCEDURE);
}

/* --- small clauses --- */

static bool direction(struct mp *p) {
    if (!mp_take(p, W_ASC)) mp_take(p, W_DESC);
    return true;
}

static bool sorted_list(struct mp *p, struct ml *list) {
    do {
        if (!mp_add(p, list, mp_expr(p)) || !direction(p)) return false;
    } while (mp_take_op(p, ','));
    return true;
}

bool mp_order(struct mp *p, struct ml *list) {
    uint32_t node = mp_node(p, MN_ORDER, p->pos);
    struct ml in = {0};
    return mp_need(p, W_ORDER) && mp_need(p, W_BY) && sorted_list(p, &in) && mp_add(p, list, mp_done(p, node, &in));
}

static bool number(struct mp *p, struct ml *list) {
    if (p->tok->kind == MY_T_NUMBER || p->tok->kind == MY_T_BINARY) return mp_add(p, list, mp_leaf(p, MN_LITERAL));
    if (p->tok->kind == MY_T_PARAM) return mp_add(p, list, mp_leaf(p, MN_PARAM));
    return mp_syntax(p);
}

/* Kept as a flag of the LIMIT: it counts rows that the policy hides. */
static bool rows_examined(struct mp *p, uint32_t node, struct ml *in) {
    if (!mp_take(p, W_ROWS)) return true;
    p->t->nodes[node].flags |= MF_EXAMINED;
    return mp_need(p, W_EXAMINED) && number(p, in);
}

/* OFFSET n ROWS FETCH FIRST n ROWS ONLY */
static bool fetch_first(struct mp *p, struct ml *in) {
    if (mp_take(p, W_OFFSET)) {
        if (!number(p, in) || (!mp_take(p, W_ROW) && !mp_need(p, W_ROWS))) return false;
        if (!mp_is(p, W_FETCH)) return true;
    }
    if (!mp_need(p, W_FETCH) || (!mp_take(p, W_FIRST) && !mp_need(p, W_NEXT))) return false;
    if (!mp_is(p, W_ROW) && !mp_is(p, W_ROWS) && !number(p, in)) return false;
    if (!mp_take(p, W_ROW) && !mp_need(p, W_ROWS)) return false;
    if (mp_take(p, W_WITH)) return mp_need(p, W_TIES);
    return mp_need(p, W_ONLY);
}

static bool limit(struct mp *p, struct ml *list) {
    uint32_t node = mp_node(p, MN_LIMIT, p->pos);
    struct ml in = {0};
    if (node == 0) return false;
    if (mp_take(p, W_LIMIT)) {
        if (!mp_is(p, W_ROWS)) {
            if (!number(p, &in)) return false;
            if ((mp_take_op(p, ',') || mp_take(p, W_OFFSET)) && !number(p, &in)) return false;
        }
        if (!rows_examined(p, node, &in)) return false;
    } else if (!fetch_first(p, &in)) {
        return false;
    }
    return mp_add(p, list, mp_done(p, node, &in));
}

bool mp_order_limit(struct mp *p, struct ml *list) {
    if (mp_is(p, W_ORDER) && !mp_order(p, list)) return false;
    return !is_limit(p) || limit(p, list);
}

bool mp_where(struct mp *p, struct ml *list) {
    if (!mp_is(p, W_WHERE)) return true;
    uint32_t node = mp_node(p, MN_WHERE, p->pos);
    struct ml in = {0};
    mp_next(p);
    return mp_add(p, &in, mp_expr(p)) && mp_add(p, list, mp_done(p, node, &in));
}

bool mp_partition(struct mp *p) {
    if (!mp_is(p, W_PARTITION) || !mp_op_at(p, 1, '(')) return true;
    mp_next(p);
    struct ml names = {0};
    return mp_name_list(p, &names);
}

static bool lock(struct mp *p, struct ml *list) {
    uint32_t node = mp_node(p, MN_LOCK, p->pos);
    struct ml in = {0};
    if (node == 0) return false;
    if (mp_take(p, W_LOCK)) {
        if (!mp_need(p, W_IN) || !mp_need(p, W_SHARE) || !mp_need(p, W_MODE)) return false;
    } else {
        mp_next(p);
        mp_next(p);
    }
    if (mp_take(p, W_OF)) {
        do {
            uint32_t t = mp_table(p, 0);
            if (!mp_add(p, &in, t)) return false;
            p->t->nodes[t].type = MN_TARGET;
        } while (mp_take_op(p, ','));
    }
    if (mp_take(p, W_WAIT)) {
        if (!number(p, &in)) return false;
    } else if (mp_take(p, W_SKIP)) {
        if (!mp_need(p, W_LOCKED)) return false;
    } else {
        mp_take(p, W_NOWAIT);
    }
    return mp_add(p, list, mp_done(p, node, &in));
}

/* --- INTO --- */

static bool text_behind(struct mp *p, enum my_word w) {
    if (w != MY_W_NONE && !mp_need(p, w)) return false;
    if (p->tok->kind == MY_T_CHARSET) mp_next(p);
    if (p->tok->kind != MY_T_STRING && p->tok->kind != MY_T_BINARY) return mp_syntax(p);
    mp_next(p);
    return true;
}

bool mp_file_format(struct mp *p) {
    if (mp_take(p, W_CHARSET) || (mp_is(p, W_CHARACTER) && mp_is_at(p, 1, W_SET) && (mp_next(p), mp_next(p), true))) {
        if (!mp_is_name(p) && !mp_is(p, W_BINARY) && p->tok->kind != MY_T_STRING) return mp_syntax(p);
        mp_next(p);
    }
    if (mp_take(p, W_FIELDS) || mp_take(p, W_COLUMNS)) {
        for (bool any = false;; any = true) {
            bool ok;
            if (mp_take(p, W_TERMINATED))
                ok = text_behind(p, W_BY);
            else if (mp_is(p, W_OPTIONALLY) || mp_is(p, W_ENCLOSED))
                ok = (mp_take(p, W_OPTIONALLY), true) && mp_need(p, W_ENCLOSED) && text_behind(p, W_BY);
            else if (mp_take(p, W_ESCAPED))
                ok = text_behind(p, W_BY);
            else if (any)
                break;
            else
                ok = mp_syntax(p);
            if (!ok) return false;
        }
    }
    if (mp_take(p, W_LINES)) {
        if (!mp_is(p, W_STARTING) && !mp_is(p, W_TERMINATED)) return mp_syntax(p);
        while (mp_take(p, W_STARTING) || mp_take(p, W_TERMINATED))
            if (!text_behind(p, W_BY)) return false;
    }
    return true;
}

static bool into(struct mp *p, struct ml *list) {
    uint32_t node = mp_node(p, MN_INTO, p->pos);
    if (node == 0) return false;
    mp_next(p);
    if (mp_is(p, W_OUTFILE) || mp_is(p, W_DUMPFILE)) {
        bool out = mp_is(p, W_OUTFILE);
        p->t->nodes[node].word = p->tok->word;
        mp_next(p);
        if (!text_behind(p, MY_W_NONE) || (out && !mp_file_format(p))) return false;
        return mp_add(p, list, mp_done(p, node, NULL));
    }
    do {
        if (p->tok->kind != MY_T_USERVAR) return mp_syntax(p); /* others exist in stored code only */
        mp_next(p);
    } while (mp_take_op(p, ','));
    return mp_add(p, list, mp_done(p, node, NULL));
}

/* --- windows --- */

static bool frame_bound(struct mp *p, struct ml *in) {
    if (mp_take(p, W_CURRENT)) return mp_need(p, W_ROW);
    if (!mp_take(p, W_UNBOUNDED) && !mp_add(p, in, mp_expr(p))) return false;
    return mp_take(p, W_PRECEDING) || mp_need(p, W_FOLLOWING);
}

static bool frame(struct mp *p, struct ml *in) {
    if (!mp_take(p, W_ROWS) && !mp_take(p, W_RANGE) && !mp_take(p, W_GROUPS)) return true;
    if (mp_take(p, W_BETWEEN)) {
        if (!frame_bound(p, in) || !mp_need(p, W_AND)) return false;
    }
    if (!frame_bound(p, in)) return false;
    if (!mp_take(p, W_EXCLUDE)) return true;
    if (mp_take(p, W_CURRENT)) return mp_need(p, W_ROW);
    if (mp_take(p, W_NO)) return mp_need(p, W_OTHERS);
    return mp_take(p, W_GROUP) || mp_need(p, W_TIES);
}

/* ( [name] [PARTITION BY ..] [ORDER BY ..] [frame] ) */
uint32_t mp_window_spec(struct mp *p) {
    uint32_t node = mp_node(p, MN_WINDOW, p->pos);
    struct ml in = {0};
    if (!mp_need_op(p, '(')) return 0;
    if (mp_is_name(p) && !(mp_is(p, W_GROUPS) && !mp_op_at(p, 1, ')'))) mp_next(p);
    if (mp_take(p, W_PARTITION) && (!mp_need(p, W_BY) || !sorted_list(p, &in))) return 0;
    if (mp_is(p, W_ORDER) && !mp_order(p, &in)) return 0;
    return frame(p, &in) && mp_need_op(p, ')') ? mp_done(p, node, &in) : 0;
}

static bool windows(struct mp *p, struct ml *list) {
    if (!mp_is(p, W_WINDOW)) return true;
    mp_next(p);
    do {
        if (!mp_name(p) || !mp_need(p, W_AS) || !mp_add(p, list, mp_window_spec(p))) return false;
    } while (mp_take_op(p, ','));
    return true;
}

/* --- SELECT --- */

static bool option(struct mp *p) {
    switch (mp_word(p)) {
    case W_ALL:
    case W_DISTINCT:
    case W_DISTINCTROW:
    case W_HIGH_PRIORITY:
    case W_STRAIGHT_JOIN:
    case W_SQL_SMALL_RESULT:
    case W_SQL_BIG_RESULT:
    case W_SQL_BUFFER_RESULT:
    case W_SQL_CALC_FOUND_ROWS:
    case W_SQL_NO_CACHE: break;
    case W_SQL_CACHE:
    case W_UNIQUE:
        if (p->maria) break;
        return false;
    default: return false;
    }
    mp_next(p);
    return true;
}

uint32_t mp_items(struct mp *p, enum my_node_type type) {
    uint32_t node = mp_node(p, type, p->pos);
    struct ml in = {0};
    do {
        uint32_t item = mp_op(p, '*') && in.first == 0 ? mp_leaf(p, MN_STAR) : mp_expr(p);
        if (!mp_add(p, &in, item)) return 0;
        bool as = mp_take(p, W_AS), name = mp_is_name(p) || p->tok->kind == MY_T_STRING;
        if (as && !name) return mp_syntax(p);
        if (name && !mp_add(p, &in, mp_leaf(p, MN_ALIAS))) return 0;
    } while (mp_take_op(p, ','));
    return mp_done(p, node, &in);
}

static bool group(struct mp *p, struct ml *list) {
    if (!mp_is(p, W_GROUP)) return true;
    uint32_t node = mp_node(p, MN_GROUP, p->pos);
    struct ml in = {0};
    mp_next(p);
    if (!mp_need(p, W_BY) || !sorted_list(p, &in)) return false;
    if (mp_take(p, W_WITH) && !mp_take(p, W_ROLLUP) && !mp_need(p, W_CUBE)) return false;
    return mp_add(p, list, mp_done(p, node, &in));
}

static uint32_t select(struct mp *p) {
    uint32_t node = mp_node(p, MN_SELECT, p->pos);
    struct ml list = {0};
    mp_next(p);
    while (option(p)) continue;
    if (!mp_add(p, &list, mp_items(p, MN_ITEMS))) return 0;
    if (mp_is(p, W_INTO) && !into(p, &list)) return 0;
    if (mp_is(p, W_FROM)) {
        uint32_t from = mp_node(p, MN_FROM, p->pos);
        struct ml in = {0};
        mp_next(p);
        if (!mp_from_list(p, &in) || !mp_add(p, &list, mp_done(p, from, &in))) return 0;
    }
    if (!mp_where(p, &list) || !group(p, &list)) return 0;
    if (mp_is(p, W_HAVING)) {
        uint32_t having = mp_node(p, MN_HAVING, p->pos);
        struct ml in = {0};
        mp_next(p);
        if (!mp_add(p, &in, mp_expr(p)) || !mp_add(p, &list, mp_done(p, having, &in))) return 0;
    }
    if (!windows(p, &list)) return 0;
    if (p->mysql && mp_take(p, W_QUALIFY) && !mp_add(p, &list, mp_expr(p))) return 0;
    return mp_done(p, node, &list);
}

/* VALUES (1, 2), (3, 4), in MySQL with ROW in front of each */
static uint32_t values(struct mp *p) {
    uint32_t node = mp_node(p, MN_VALUES, p->pos);
    struct ml list = {0};
    mp_next(p);
    do {
        uint32_t row = mp_node(p, MN_ROW, p->pos);
        struct ml in = {0};
        mp_take(p, W_ROW);
        if (!mp_need_op(p, '(')) return 0;
        if (!mp_op(p, ')') && !mp_expr_list(p, &in)) return 0;
        if (!mp_need_op(p, ')') || !mp_add(p, &list, mp_done(p, row, &in))) return 0;
    } while (mp_take_op(p, ','));
    return mp_done(p, node, &list);
}

/* --- set operations --- */

/* Parentheses around a query, nothing else. */
static uint32_t paren_query(struct mp *p) {
    if (!mp_query_starts(p, 0)) return mp_syntax(p);
    uint32_t node = mp_paren(p);
    if (node == 0) return 0;
    if (p->t->nodes[node].type != MN_SUBQUERY) return mp_syntax(p);
    uint32_t q = p->t->nodes[node].first;
    p->t->nodes[q].flags |= MF_PAREN;
    return q;
}

static uint32_t operand(struct mp *p) {
    if (mp_op(p, '(')) return paren_query(p);
    if (mp_is(p, W_SELECT)) return select(p);
    if (mp_is(p, W_VALUES)) return values(p);
    if (mp_is(p, W_VALUE) && p->in_values) return values(p);
    if (!mp_is(p, W_TABLE) || !p->mysql) return mp_syntax(p);
    uint32_t node = mp_node(p, MN_TABLE_Q, p->pos);
    struct ml in = {0};
    mp_next(p);
    return mp_add(p, &in, mp_table(p, POL_SELECT)) ? mp_done(p, node, &in) : 0;
}

static uint32_t set_operation(struct mp *p, uint32_t first) {
    uint32_t node = mp_node(p, MN_UNION, p->t->nodes[first].tok);
    struct ml list = {0};
    mp_add(p, &list, first);
    while (is_set_op(p)) {
        mp_next(p);
        if (!mp_take(p, W_ALL)) mp_take(p, W_DISTINCT);
        if (!mp_add(p, &list, operand(p))) return 0;
    }
    return mp_done(p, node, &list);
}

static bool procedure(struct mp *p, struct ml *list) {
    uint32_t node = mp_node(p, MN_PROCEDURE, p->pos);
    struct ml in = {0};
    mp_next(p);
    if (!mp_name(p) || !mp_need_op(p, '(')) return false;
    if (!mp_op(p, ')') && !mp_expr_list(p, &in)) return false;
    return mp_need_op(p, ')') && mp_add(p, list, mp_done(p, node, &in));
}

static bool tail(struct mp *p, struct ml *list) {
    for (;;) {
        bool ok;
        if (mp_is(p, W_ORDER))
            ok = mp_order(p, list);
        else if (is_limit(p))
            ok = limit(p, list);
        else if (mp_is(p, W_INTO))
            ok = into(p, list);
        else if (is_lock(p))
            ok = lock(p, list);
        else if (mp_is(p, W_PROCEDURE))
            ok = procedure(p, list);
        else
            return true;
        if (!ok) return false;
    }
}

static uint32_t query_of(struct mp *p, uint32_t tok, uint32_t with, uint32_t first) {
    uint32_t node = mp_node(p, MN_QUERY, tok);
    struct ml list = {0};
    if (node == 0 || first == 0) return 0;
    if (with != 0 && !mp_add(p, &list, with)) return 0;
    if (is_set_op(p)) first = set_operation(p, first);
    if (!mp_add(p, &list, first) || !tail(p, &list)) return 0;
    if (is_set_op(p)) return mp_syntax(p);
    return mp_done(p, node, &list);
}

uint32_t mp_query_rest(struct mp *p, uint32_t first) { return query_of(p, p->t->nodes[first].tok, 0, first); }

uint32_t mp_query_with(struct mp *p, uint32_t tok, uint32_t with) { return query_of(p, tok, with, operand(p)); }

uint32_t mp_query(struct mp *p) {
    uint32_t tok = p->pos, with = 0;
    if (!mp_deeper(p)) return 0;
    if (mp_is(p, W_WITH) && (with = mp_with(p)) == 0) return 0;
    uint32_t node = query_of(p, tok, with, operand(p));
    p->depth--;
    return node;
}

/* --- WITH --- */

static uint32_t cte(struct mp *p) {
    uint32_t node = mp_node(p, MN_CTE, p->pos);
    struct ml list = {0};
    if (!mp_name(p)) return 0;
    if (mp_op(p, '(')) {
        uint32_t columns = mp_node(p, MN_COLUMNS, p->pos);
        struct ml names = {0};
        if (!mp_name_list(p, &names) || !mp_add(p, &list, mp_done(p, columns, &names))) return 0;
    }
    if (!mp_need(p, W_AS) || !mp_op(p, '(')) return mp_syntax(p);
    if (!mp_add(p, &list, paren_query(p))) return 0;
    if (p->maria && mp_is(p, W_CYCLE)) {
        struct ml names = {0};
        mp_next(p);
        bool parens = mp_op(p, '(');
        if (parens ? !mp_name_list(p, &names) : !mp_name(p)) return 0;
        while (!parens && mp_take_op(p, ','))
            if (!mp_name(p)) return 0;
        if (!mp_need(p, W_RESTRICT)) return 0;
    }
    return mp_done(p, node, &list);
}

uint32_t mp_with(struct mp *p) {
    uint32_t node = mp_node(p, MN_WITH, p->pos);
    struct ml list = {0};
    mp_next(p);
    bool recursive = mp_take(p, W_RECURSIVE);
    if (node == 0) return 0;
    if (recursive) p->t->nodes[node].flags = MF_RECURSIVE;
    do {
        if (!mp_add(p, &list, cte(p))) return 0;
    } while (mp_take_op(p, ','));
    return mp_done(p, node, &list);
}

/* --- FROM --- */

/* FOR SYSTEM_TIME ..., of MariaDB's versioned tables */
static bool system_time(struct mp *p, struct ml *list) {
    if (!p->maria || !mp_is(p, W_FOR) || !mp_is_at(p, 1, W_SYSTEM_TIME)) return true;
    mp_next(p), mp_next(p);
    if (mp_take(p, W_ALL)) return true;
    bool as_of = mp_take(p, W_AS), between = false;
    if (as_of) {
        if (!mp_need(p, W_OF)) return false;
    } else {
        between = mp_take(p, W_BETWEEN);
        if (!between && !mp_need(p, W_FROM)) return false;
    }
    for (int i = 0; i < (as_of ? 1 : 2); i++) {
        if (i == 1 && !mp_need(p, between ? W_AND : W_TO)) return false;
        bool literal = mp_is(p, W_TIMESTAMP) && (p->t->tokens.t[p->pos + 1].kind == MY_T_STRING || mp_op_at(p, 1, '('));
        if (!literal && (mp_is(p, W_TRANSACTION) || mp_is(p, W_TIMESTAMP)) && !mp_op_at(p, 1, '.')) mp_next(p);
        if (!mp_add(p, list, mp_expr_min(p, 61))) return false;
    }
    return true;
}

static bool index_hints(struct mp *p) {
    while (mp_is(p, W_USE) || mp_is(p, W_FORCE) || mp_is(p, W_IGNORE)) {
        if (!mp_is_at(p, 1, W_INDEX) && !mp_is_at(p, 1, W_KEY)) return mp_syntax(p);
        mp_next(p), mp_next(p);
        if (mp_take(p, W_FOR)) {
            if (!mp_take(p, W_JOIN)) {
                if (!mp_take(p, W_ORDER) && !mp_need(p, W_GROUP)) return false;
                if (!mp_need(p, W_BY)) return false;
            }
        }
        if (!mp_need_op(p, '(')) return false;
        while (!mp_op(p, ')')) {
            if (!mp_take(p, W_PRIMARY) && !mp_name(p)) return false;
            if (!mp_op(p, ')') && !mp_need_op(p, ',')) return false;
        }
        mp_next(p);
    }
    return true;
}

static uint32_t table(struct mp *p) {
    uint32_t node = mp_table(p, 0);
    struct ml list = {0};
    if (node == 0 || !mp_partition(p) || !system_time(p, &list) || !mp_alias(p, &list) || !index_hints(p)) return 0;
    return mp_done(p, node, &list);
}

static uint32_t derived(struct mp *p, uint32_t tok, uint32_t subquery, unsigned flags) {
    uint32_t node = mp_node(p, MN_DERIVED, tok);
    struct ml list = {0};
    if (node == 0 || !mp_add(p, &list, subquery) || !system_time(p, &list) || !mp_alias(p, &list)) return 0;
    p->t->nodes[node].flags = (uint8_t)flags;
    if (mp_op(p, '(')) {
        uint32_t columns = mp_node(p, MN_COLUMNS, p->pos);
        struct ml names = {0};
        if (!mp_name_list(p, &names) || !mp_add(p, &list, mp_done(p, columns, &names))) return 0;
    }
    return mp_done(p, node, &list);
}

static bool path(struct mp *p) {
    if (p->tok->kind == MY_T_CHARSET) mp_next(p);
    if (p->tok->kind != MY_T_STRING && p->tok->kind != MY_T_NSTRING) return mp_syntax(p);
    mp_next(p);
    return true;
}

static bool json_columns(struct mp *p, struct ml *list);

static bool json_column(struct mp *p, struct ml *list) {
    if (mp_is(p, W_NESTED) && (mp_is_at(p, 1, W_PATH) || p->t->tokens.t[p->pos + 1].kind == MY_T_STRING)) {
        mp_next(p);
        mp_take(p, W_PATH);
        return path(p) && json_columns(p, list);
    }
    if (!mp_name(p)) return false;
    if (mp_take(p, W_FOR)) return mp_need(p, W_ORDINALITY);
    if (!mp_type(p)) return false;
    mp_take(p, W_EXISTS);
    if (!mp_need(p, W_PATH) || !path(p)) return false;
    while (!mp_op(p, ',') && !mp_op(p, ')')) { /* NULL | ERROR | DEFAULT literal ON EMPTY | ERROR */
        if (mp_take(p, W_DEFAULT)) {
            if (!mp_add(p, list, mp_expr_min(p, 140))) return false;
        } else if (!mp_take(p, W_NULL) && !mp_need(p, W_ERROR)) {
            return false;
        }
        if (!mp_need(p, W_ON) || (!mp_take(p, W_EMPTY) && !mp_need(p, W_ERROR))) return false;
    }
    return true;
}

static bool json_columns(struct mp *p, struct ml *list) {
    if (!mp_deeper(p) || !mp_need(p, W_COLUMNS) || !mp_need_op(p, '(')) return false;
    do {
        if (!json_column(p, list)) return false;
    } while (mp_take_op(p, ','));
    p->depth--;
    return mp_need_op(p, ')');
}

static uint32_t json_table(struct mp *p) {
    uint32_t node = mp_node(p, MN_JSON_TABLE, p->pos);
    struct ml list = {0};
    mp_next(p), mp_next(p);
    if (!mp_add(p, &list, mp_expr(p)) || !mp_need_op(p, ',') || !mp_add(p, &list, mp_expr(p)) || !json_columns(p, &list)) return 0;
    return mp_need_op(p, ')') && mp_alias(p, &list) ? mp_done(p, node, &list) : 0;
}

static bool from_rest(struct mp *p, struct ml *list);

/* "(" is current. A SUBQUERY whose alias is still to come, or a FROM of what is in the parentheses. */
static uint32_t from_paren(struct mp *p) {
    uint32_t tok = p->pos, node;
    struct ml list = {0};
    if (!mp_deeper(p)) return 0;
    bool nested = mp_op_at(p, 1, '(') && mp_query_starts(p, 1);
    if (!nested && mp_query_starts(p, 1)) {
        p->depth--;
        return mp_paren(p);
    }
    mp_next(p);
    if (nested) {
        uint32_t inner = from_paren(p);
        if (inner == 0) return 0;
        if (p->t->nodes[inner].type == MN_SUBQUERY && (mp_op(p, ')') || mp_query_goes_on(p))) {
            uint32_t q = p->t->nodes[inner].first;
            if (!mp_op(p, ')')) {
                p->t->nodes[q].flags |= MF_PAREN;
                q = mp_query_rest(p, q);
            }
            node = mp_node(p, MN_SUBQUERY, tok);
            p->depth--;
            return mp_add(p, &list, q) && mp_need_op(p, ')') ? mp_done(p, node, &list) : 0;
        }
        if (p->t->nodes[inner].type == MN_SUBQUERY) inner = derived(p, tok + 1, inner, 0);
        if (!mp_add(p, &list, inner) || !from_rest(p, &list)) return 0;
    } else if (!mp_from_list(p, &list)) {
        return 0;
    }
    p->depth--;
    node = mp_node(p, MN_FROM, tok);
    return mp_need_op(p, ')') ? mp_done(p, node, &list) : 0;
}

static bool from_item(struct mp *p, struct ml *list) {
    uint32_t tok = p->pos;
    unsigned lateral = p->mysql && mp_take(p, W_LATERAL) ? MF_LATERAL : 0;
    if (mp_op(p, '(')) {
        uint32_t node = from_paren(p);
        if (node == 0) return false;
        if (p->t->nodes[node].type == MN_SUBQUERY) node = derived(p, tok, node, lateral);
        return mp_add(p, list, node);
    }
    if (lateral && !mp_is(p, W_JSON_TABLE)) return mp_syntax(p);
    if (mp_is(p, W_JSON_TABLE) && mp_op_at(p, 1, '(')) return mp_add(p, list, json_table(p));
    if (mp_take(p, W_DUAL)) return true;
    if (mp_take_op(p, '{')) {
        struct ml in = {0};
        uint32_t node = mp_node(p, MN_FROM, tok);
        return mp_deeper(p) && mp_name(p) && mp_from_list(p, &in) && (p->depth--, mp_need_op(p, '}')) &&
               mp_add(p, list, mp_done(p, node, &in));
    }
    return mp_add(p, list, table(p));
}

/* A join's words; *any says whether there was one. */
static bool join(struct mp *p, bool *any) {
    *any = true;
    if (mp_take_op(p, ',') || mp_take(p, W_JOIN) || mp_take(p, W_STRAIGHT_JOIN)) return true;
    bool natural = mp_take(p, W_NATURAL);
    if (natural && mp_take(p, W_STRAIGHT_JOIN)) return true;
    if (mp_take(p, W_INNER) || mp_take(p, W_CROSS) || natural) {
        if (natural && (mp_take(p, W_LEFT) || mp_take(p, W_RIGHT))) mp_take(p, W_OUTER);
        if (natural) mp_take(p, W_INNER);
        return mp_need(p, W_JOIN);
    }
    if (mp_take(p, W_LEFT) || mp_take(p, W_RIGHT)) {
        mp_take(p, W_OUTER);
        return mp_need(p, W_JOIN);
    }
    *any = false;
    return true;
}

static bool from_rest(struct mp *p, struct ml *list) {
    for (;;) {
        bool any;
        if (mp_is(p, W_ON) && !mp_is_at(p, 1, W_DUPLICATE)) {
            uint32_t node = mp_node(p, MN_ON, p->pos);
            struct ml in = {0};
            mp_next(p);
            if (!mp_add(p, &in, mp_expr(p)) || !mp_add(p, list, mp_done(p, node, &in))) return false;
            continue;
        }
        if (mp_is(p, W_USING) && mp_op_at(p, 1, '(')) {
            uint32_t node = mp_node(p, MN_USING, p->pos);
            struct ml in = {0};
            mp_next(p);
            if (!mp_name_list(p, &in) || !mp_add(p, list, mp_done(p, node, &in))) return false;
            continue;
        }
        if (!join(p, &any)) return false;
        if (!any) return true;
        if (!from_item(p, list)) return false;
    }
}

bool mp_from_list(struct mp *p, struct ml *list) { return from_item(p, list) && from_rest(p, list); }
