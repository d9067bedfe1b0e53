/* Expressions, by binding power. A chain of operators of one power is one node with all of its operands, so the tree is no deeper than the text is nested. */
#include "policy/my_parse.h"

enum {
    BP_OR = 10,
    BP_XOR = 20,
    BP_AND = 30,
    BP_NOT = 40,
    BP_COMPARE = 50,
    BP_PREDICATE = 60,
    BP_BITOR = 70,
    BP_BITAND = 80,
    BP_SHIFT = 90,
    BP_PLUS = 100,
    BP_TIMES = 110,
    BP_XORBITS = 120,
    BP_CONCAT = 130,
    BP_UNARY = 140,
    BP_COLLATE = 150,
    BP_ARROW = 160
};

/* --- words --- */

bool mp_is_unit(const struct mp *p) {
    switch (mp_word(p)) {
    case W_MICROSECOND:
    case W_SECOND:
    case W_MINUTE:
    case W_HOUR:
    case W_DAY:
    case W_WEEK:
    case W_MONTH:
    case W_QUARTER:
    case W_YEAR:
    case W_SECOND_MICROSECOND:
    case W_MINUTE_MICROSECOND:
    case W_MINUTE_SECOND:
    case W_HOUR_MICROSECOND:
    case W_HOUR_SECOND:
    case W_HOUR_MINUTE:
    case W_DAY_MICROSECOND:
    case W_DAY_SECOND:
    case W_DAY_MINUTE:
    case W_DAY_HOUR:
    case W_YEAR_MONTH:
    case W_SQL_TSI_SECOND:
    case W_SQL_TSI_MINUTE:
    case W_SQL_TSI_HOUR:
    case W_SQL_TSI_DAY:
    case W_SQL_TSI_WEEK:
    case W_SQL_TSI_MONTH:
    case W_SQL_TSI_QUARTER:
    case W_SQL_TSI_YEAR: return true;
    default: return false;
    }
}

static bool need_unit(struct mp *p) {
    if (!mp_is_unit(p)) return mp_syntax(p);
    mp_next(p);
    return true;
}

/* Reserved, and yet the name of a function. */
static bool is_callable(const struct mp *p) {
    switch (mp_word(p)) {
    case W_IF:
    case W_LEFT:
    case W_RIGHT:
    case W_INSERT:
    case W_REPLACE:
    case W_REPEAT:
    case W_MOD:
    case W_CHAR:
    case W_DATABASE:
    case W_SCHEMA:
    case W_CONVERT:
    case W_ROW_NUMBER:
    case W_RANK:
    case W_DENSE_RANK:
    case W_PERCENT_RANK:
    case W_CUME_DIST:
    case W_NTILE:
    case W_LAG:
    case W_LEAD:
    case W_FIRST_VALUE:
    case W_LAST_VALUE:
    case W_NTH_VALUE:
    case W_GROUPING:
    case W_CUBE:
    case W_VALUES: return true;
    default: return p->tok->kind == MY_T_WORD && my_word_needs_paren(mp_word(p)) && (p->tok->flags & MY_TF_PAREN);
    }
}

static bool is_niladic(const struct mp *p) {
    switch (mp_word(p)) {
    case W_CURRENT_DATE:
    case W_CURRENT_TIME:
    case W_CURRENT_TIMESTAMP:
    case W_CURRENT_USER:
    case W_CURRENT_ROLE:
    case W_LOCALTIME:
    case W_LOCALTIMESTAMP:
    case W_UTC_DATE:
    case W_UTC_TIME:
    case W_UTC_TIMESTAMP: return my_word_reserved(mp_word(p), p->t->o->server);
    default: return false;
    }
}

/* --- types --- */

static bool is_type_word(const struct mp *p) {
    switch (mp_word(p)) {
    case W_BINARY:
    case W_CHAR:
    case W_CHARACTER:
    case W_VARCHAR:
    case W_VARCHARACTER:
    case W_VARBINARY:
    case W_VARYING:
    case W_INT:
    case W_INTEGER:
    case W_INT1:
    case W_INT2:
    case W_INT3:
    case W_INT4:
    case W_INT8:
    case W_TINYINT:
    case W_SMALLINT:
    case W_MEDIUMINT:
    case W_MIDDLEINT:
    case W_BIGINT:
    case W_UNSIGNED:
    case W_ZEROFILL:
    case W_DECIMAL:
    case W_DEC:
    case W_NUMERIC:
    case W_FLOAT:
    case W_FLOAT4:
    case W_FLOAT8:
    case W_DOUBLE:
    case W_REAL:
    case W_PRECISION:
    case W_BLOB:
    case W_TINYBLOB:
    case W_MEDIUMBLOB:
    case W_LONGBLOB:
    case W_TINYTEXT:
    case W_MEDIUMTEXT:
    case W_LONGTEXT:
    case W_LONG:
    case W_SET: return true;
    case W_SIGNED:
    case W_ASCII:
    case W_UNICODE:
    case W_BYTE:
    case W_COMPRESSED: return true;
    default: return false;
    }
}

/* A type's words; after the first only those that go on with it. */
bool mp_type(struct mp *p) {
    if (!is_type_word(p) && !mp_is_name(p)) return mp_syntax(p);
    bool national = mp_is(p, W_NATIONAL);
    mp_next(p);
    if (national) mp_next(p); /* CHAR, VARCHAR, CHARACTER */
    for (;;) {
        if (mp_op(p, '(')) {
            do {
                mp_next(p);
                if (p->tok->kind == MY_T_CHARSET) mp_next(p);
                if (p->tok->kind != MY_T_NUMBER && p->tok->kind != MY_T_STRING && p->tok->kind != MY_T_NSTRING &&
                    p->tok->kind != MY_T_BINARY)
                    return mp_syntax(p);
                mp_next(p);
            } while (mp_op(p, ','));
            if (!mp_need_op(p, ')')) return false;
        } else if ((mp_is(p, W_CHARACTER) || mp_is(p, W_CHAR)) && mp_is_at(p, 1, W_SET)) {
            mp_next(p), mp_next(p);
            if (p->tok->kind != MY_T_STRING && !mp_is_name(p) && !mp_is(p, W_BINARY)) return mp_syntax(p);
            mp_next(p);
        } else if (mp_is(p, W_CHARSET) || mp_is(p, W_COLLATE)) {
            mp_next(p);
            if (p->tok->kind != MY_T_STRING && !mp_is_name(p) && !mp_is(p, W_BINARY)) return mp_syntax(p);
            mp_next(p);
        } else if (is_type_word(p) && !mp_is(p, W_SET)) {
            mp_next(p);
        } else {
            return true;
        }
    }
}

/* --- calls --- */

static bool units_first(enum my_word w) { return w == W_TIMESTAMPADD || w == W_TIMESTAMPDIFF; }

/* [DISTINCT] a, b [ORDER BY ..] [SEPARATOR ..] [LIMIT ..], and what single functions have instead of commas. Behind the opening parenthesis. */
static bool arguments(struct mp *p, struct ml *list, enum my_word w) {
    if (mp_take_op(p, ')')) return true;
    if (w == W_TRIM || w == W_TRIM_ORACLE) {
        bool side = mp_take(p, W_LEADING) || mp_take(p, W_TRAILING) || mp_take(p, W_BOTH);
        if (side && mp_take(p, W_FROM)) return mp_add(p, list, mp_expr(p)) && mp_need_op(p, ')');
    }
    if (w == W_EXTRACT && (!need_unit(p) || !mp_need(p, W_FROM))) return false;
    if (units_first(w) && (!need_unit(p) || !mp_need_op(p, ','))) return false;
    if (w == W_GET_FORMAT) {
        if (!mp_take(p, W_DATE) && !mp_take(p, W_TIME) && !mp_take(p, W_DATETIME) && !mp_take(p, W_TIMESTAMP)) return mp_syntax(p);
        if (!mp_need_op(p, ',')) return false;
    }
    if (!mp_take(p, W_DISTINCT) && !mp_take(p, W_DISTINCTROW)) mp_take(p, W_ALL);
    if (mp_op(p, '*') && mp_op_at(p, 1, ')')) { /* COUNT(*) */
        mp_next(p), mp_next(p);
        return true;
    }
    for (;;) {
        if (!mp_add(p, list, w == W_POSITION ? mp_expr_min(p, BP_BITOR) : mp_expr(p))) return false;
        if (w == W_CAST && mp_take(p, W_AT)) { /* AT TIME ZONE [INTERVAL] '+00:00' */
            if (!mp_need(p, W_TIME) || !mp_need(p, W_ZONE)) return false;
            mp_take(p, W_INTERVAL);
            if (p->tok->kind != MY_T_STRING) return mp_syntax(p);
            mp_next(p);
        }
        if (mp_take(p, W_AS)) {
            bool typed = w == W_CAST || w == W_WEIGHT_STRING || w == W_COLUMN_CREATE || w == W_COLUMN_ADD || w == W_COLUMN_GET;
            if (!typed && p->tok->kind != MY_T_STRING && !mp_is_name(p))
                return mp_syntax(p); /* a loadable function's argument has a name */
            if (typed ? !mp_type(p) : (mp_next(p), false)) return false;
            if (w == W_CAST) mp_take(p, W_ARRAY);
        }
        if ((w == W_CHAR || w == W_CONVERT) && mp_take(p, W_USING)) {
            if (!mp_is_name(p) && !mp_is(p, W_BINARY) && p->tok->kind != MY_T_STRING) return mp_syntax(p);
            mp_next(p);
        }
        if (mp_take_op(p, ',')) {
            if (w != W_CONVERT) continue;
            return mp_type(p) && mp_need_op(p, ')');
        }
        if (w == W_POSITION && mp_take(p, W_IN)) return mp_add(p, list, mp_expr(p)) && mp_need_op(p, ')');
        if ((w == W_TRIM || w == W_TRIM_ORACLE) && mp_take(p, W_FROM)) continue;
        if ((w == W_SUBSTRING || w == W_SUBSTR || w == W_MID) && (mp_take(p, W_FROM) || mp_take(p, W_FOR))) continue;
        break;
    }
    if (w == W_WEIGHT_STRING && mp_take(p, W_LEVEL)) { /* LEVEL 1 DESC REVERSE, 2; LEVEL 1 - 3 */
        for (; !mp_op(p, ')'); mp_next(p))
            if (p->tok->kind != MY_T_NUMBER && !mp_op(p, ',') && !mp_op(p, '-') && !mp_is(p, W_ASC) && !mp_is(p, W_DESC) &&
                !mp_is(p, W_REVERSE))
                return mp_syntax(p);
    }
    if (mp_is(p, W_ORDER) && !mp_order(p, list)) return false;
    if (mp_take(p, W_SEPARATOR)) {
        if (p->tok->kind != MY_T_STRING && p->tok->kind != MY_T_BINARY && p->tok->kind != MY_T_PARAM) return mp_syntax(p);
        mp_next(p);
        while (p->tok->kind == MY_T_STRING) mp_next(p);
    }
    if (mp_is(p, W_LIMIT) && !mp_order_limit(p, list)) return false;
    if (w == W_JSON_VALUE) { /* RETURNING type, NULL | ERROR | DEFAULT literal ON EMPTY | ERROR */
        if (mp_take(p, W_RETURNING) && !mp_type(p)) return false;
        while (!mp_op(p, ')')) {
            if (mp_take(p, W_DEFAULT)) {
                if (!mp_add(p, list, mp_expr_min(p, BP_UNARY))) return false;
            } else if (!mp_take(p, W_NULL) && !mp_need(p, W_ERROR)) {
                return false;
            }
            if (!mp_need(p, W_ON) || (!mp_take(p, W_EMPTY) && !mp_need(p, W_ERROR))) return false;
        }
    }
    return mp_need_op(p, ')');
}

static uint32_t over(struct mp *p) {
    uint32_t node = mp_node(p, MN_OVER, p->pos);
    struct ml list = {0};
    mp_next(p);
    if (mp_op(p, '(')) {
        if (!mp_add(p, &list, mp_window_spec(p))) return 0;
    } else if (!mp_name(p)) {
        return 0;
    }
    return mp_done(p, node, &list);
}

/* NEXTVAL(t), LASTVAL(t), SETVAL(t, n, ..): the sequence is a relation, and what moves it needs INSERT, as to the server. */
static uint32_t sequence(struct mp *p, unsigned access) {
    uint32_t node = mp_node(p, MN_SEQUENCE, p->pos);
    struct ml list = {0};
    mp_next(p), mp_next(p);
    if (!mp_add(p, &list, mp_table(p, access))) return 0;
    while (mp_take_op(p, ','))
        if (!mp_add(p, &list, mp_expr(p))) return 0;
    return mp_need_op(p, ')') ? mp_done(p, node, &list) : 0;
}

/* The name is parsed, nparts long, and an opening parenthesis is the current token. */
static uint32_t call(struct mp *p, uint32_t tok, unsigned nparts, enum my_word w) {
    uint32_t node = mp_node(p, MN_CALL, tok);
    struct ml list = {0};
    if (node == 0 || !mp_deeper(p)) return 0;
    p->t->nodes[node].flags = (uint8_t)nparts;
    p->t->nodes[node].word = (uint16_t)w;
    mp_next(p);
    if (!arguments(p, &list, w)) return 0;
    if (mp_is(p, W_WITHIN) && mp_is_at(p, 1, W_GROUP)) {
        mp_next(p), mp_next(p);
        if (!mp_need_op(p, '(') || !mp_order(p, &list) || !mp_need_op(p, ')')) return 0;
    }
    if (mp_is(p, W_FROM) && (mp_is_at(p, 1, W_FIRST) || mp_is_at(p, 1, W_LAST)) &&
        (mp_is_at(p, 2, W_OVER) || mp_is_at(p, 2, W_RESPECT) || mp_is_at(p, 2, W_IGNORE))) /* NTH_VALUE(..) FROM FIRST OVER .. */
        mp_next(p), mp_next(p);
    if ((mp_is(p, W_RESPECT) || mp_is(p, W_IGNORE)) && mp_is_at(p, 1, W_NULLS)) mp_next(p), mp_next(p);
    if (mp_is(p, W_OVER) && !mp_add(p, &list, over(p))) return 0;
    p->depth--;
    return mp_done(p, node, &list);
}

/* --- primaries --- */

static uint32_t prefix(struct mp *p, unsigned min) {
    uint32_t node = mp_node(p, MN_OP, p->pos);
    struct ml list = {0};
    if (node == 0) return 0;
    p->t->nodes[node].word = p->tok->word;
    mp_next(p);
    return mp_add(p, &list, mp_expr_min(p, min)) ? mp_done(p, node, &list) : 0;
}

static uint32_t case_expr(struct mp *p) {
    uint32_t node = mp_node(p, MN_CASE, p->pos);
    struct ml list = {0};
    mp_next(p);
    if (!mp_is(p, W_WHEN) && !mp_add(p, &list, mp_expr(p))) return 0;
    do {
        if (!mp_need(p, W_WHEN) || !mp_add(p, &list, mp_expr(p)) || !mp_need(p, W_THEN) || !mp_add(p, &list, mp_expr(p))) return 0;
    } while (mp_is(p, W_WHEN));
    if (mp_take(p, W_ELSE) && !mp_add(p, &list, mp_expr(p))) return 0;
    return mp_need(p, W_END) ? mp_done(p, node, &list) : 0;
}

static uint32_t match(struct mp *p) {
    uint32_t node = mp_node(p, MN_MATCH, p->pos);
    struct ml list = {0};
    mp_next(p);
    bool parens = mp_take_op(p, '(');
    do {
        if (!mp_add(p, &list, mp_column(p))) return 0;
    } while (mp_take_op(p, ','));
    if ((parens && !mp_need_op(p, ')')) || !mp_need(p, W_AGAINST) || !mp_need_op(p, '(')) return 0;
    if (!mp_add(p, &list, mp_expr_min(p, BP_BITOR))) return 0;
    if (mp_take(p, W_IN)) {
        if (mp_take(p, W_NATURAL)) {
            if (!mp_need(p, W_LANGUAGE)) return 0;
        } else if (!mp_need(p, W_BOOLEAN)) {
            return 0;
        }
        if (!mp_need(p, W_MODE)) return 0;
    }
    if (mp_take(p, W_WITH) && (!mp_need(p, W_QUERY) || !mp_need(p, W_EXPANSION))) return 0;
    return mp_need_op(p, ')') ? mp_done(p, node, &list) : 0;
}

/* INTERVAL 1 DAY; INTERVAL(n, a, b, ..) is a function. */
static uint32_t interval(struct mp *p) {
    uint32_t node = mp_node(p, MN_INTERVAL, p->pos), value;
    struct ml list = {0};
    mp_next(p);
    if (node == 0) return 0;
    if (mp_op(p, '(')) {
        value = mp_paren(p);
        bool several = value != 0 && p->t->nodes[value].type == MN_ROW && p->t->nodes[p->t->nodes[value].first].next != 0;
        if (several) {
            p->t->nodes[node].type = MN_CALL;
            p->t->nodes[node].flags = 1;
            p->t->nodes[node].word = W_INTERVAL;
            return mp_add(p, &list, value) ? mp_done(p, node, &list) : 0;
        }
        if (value != 0 && !mp_is_unit(p)) value = mp_expr_rest(p, value, 1);
    } else {
        value = mp_expr(p);
    }
    if (!mp_add(p, &list, value)) return 0;
    if (!mp_is_unit(p)) return mp_syntax(p);
    p->t->nodes[node].word = p->tok->word;
    mp_next(p);
    return mp_done(p, node, &list);
}

static uint32_t user_variable(struct mp *p) {
    uint32_t var = mp_leaf(p, MN_USERVAR);
    if (var == 0 || !mp_op(p, MY_OP_ASSIGN)) return var;
    uint32_t node = mp_node(p, MN_ASSIGN, p->t->nodes[var].tok);
    struct ml list = {0};
    mp_next(p);
    return mp_add(p, &list, var) && mp_add(p, &list, mp_expr(p)) ? mp_done(p, node, &list) : 0;
}

static uint32_t system_variable(struct mp *p) {
    uint32_t node = mp_node(p, MN_SYSVAR, p->pos);
    unsigned n = 0;
    mp_next(p);
    do {
        if (p->tok->kind != MY_T_NAME && p->tok->kind != MY_T_WORD && p->tok->kind != MY_T_QUOTED) return mp_syntax(p);
        mp_next(p);
        n++;
    } while (n < 3 && mp_take_op(p, '.'));
    if (node == 0) return 0;
    p->t->nodes[node].flags = (uint8_t)n;
    return mp_done(p, node, NULL);
}

/* 'a' 'b', _utf8'a', DATE'2020-01-01' */
static uint32_t literal(struct mp *p) {
    uint32_t node = mp_node(p, MN_LITERAL, p->pos);
    if (p->tok->kind == MY_T_CHARSET || p->tok->kind == MY_T_WORD) mp_next(p);
    if (p->tok->kind != MY_T_STRING && p->tok->kind != MY_T_BINARY && p->tok->kind != MY_T_NUMBER && p->tok->kind != MY_T_NSTRING)
        return mp_syntax(p);
    bool text = p->tok->kind == MY_T_STRING || p->tok->kind == MY_T_NSTRING;
    mp_next(p);
    while (text && p->tok->kind == MY_T_STRING) mp_next(p);
    return mp_done(p, node, NULL);
}

/* A column, or the call of a function by its name. */
static uint32_t column_or_call(struct mp *p) {
    uint32_t tok = p->pos;
    enum my_word w = mp_word(p);
    uint32_t node = mp_column(p);
    if (node == 0 || !mp_op(p, '(')) return node;
    struct my_node *n = &p->t->nodes[node];
    if (n->type != MN_COLUMN || p->t->tokens.t[tok].kind == MY_T_OP) return mp_syntax(p);
    if (n->flags > 1) w = MY_W_NONE;
    if (w != MY_W_NONE && my_word_needs_paren(w) && !(p->t->tokens.t[tok].flags & MY_TF_PAREN)) w = MY_W_NONE;
    return call(p, tok, n->flags, w);
}

static uint32_t escape(struct mp *p) { /* ODBC's {d '2020-01-01'}, {fn now()} */
    uint32_t node = mp_node(p, MN_ROW, p->pos);
    struct ml list = {0};
    mp_next(p);
    if (!mp_name(p) || !mp_add(p, &list, mp_expr(p)) || !mp_need_op(p, '}')) return 0;
    return mp_done(p, node, &list);
}

static uint32_t exists(struct mp *p) {
    uint32_t node = mp_node(p, MN_EXISTS, p->pos);
    struct ml list = {0};
    mp_next(p);
    if (!mp_op(p, '(') || !mp_add(p, &list, mp_paren(p))) return mp_syntax(p);
    if (p->t->nodes[list.first].type != MN_SUBQUERY) return mp_syntax(p);
    return mp_done(p, node, &list);
}

static uint32_t sequence_value(struct mp *p, unsigned access) { /* NEXT VALUE FOR s */
    uint32_t node = mp_node(p, MN_SEQUENCE, p->pos);
    struct ml list = {0};
    mp_next(p), mp_next(p), mp_next(p);
    return mp_add(p, &list, mp_table(p, access)) ? mp_done(p, node, &list) : 0;
}

static uint32_t sequence_word(struct mp *p, bool *is) {
    *is = p->maria;
    if (!p->maria) return 0;
    if (mp_is_at(p, 1, W_VALUE) && mp_is_at(p, 2, W_FOR)) {
        if (mp_is(p, W_NEXT)) return sequence_value(p, POL_SELECT | POL_INSERT);
        if (mp_is(p, W_PREVIOUS)) return sequence_value(p, POL_SELECT);
    }
    if (mp_op_at(p, 1, '(')) {
        if (mp_is(p, W_NEXTVAL) || mp_is(p, W_SETVAL)) return sequence(p, POL_SELECT | POL_INSERT);
        if (mp_is(p, W_LASTVAL)) return sequence(p, POL_SELECT);
    }
    *is = false;
    return 0;
}

static uint32_t call_word(struct mp *p) {
    uint32_t tok = p->pos;
    enum my_word w = mp_word(p);
    mp_next(p);
    return call(p, tok, 1, w);
}

static uint32_t niladic(struct mp *p) {
    uint32_t tok = p->pos;
    enum my_word w = mp_word(p);
    mp_next(p);
    if (mp_op(p, '(')) return call(p, tok, 1, w);
    uint32_t node = mp_node(p, MN_CALL, tok);
    if (node == 0) return 0;
    p->t->nodes[node].flags = 1;
    p->t->nodes[node].word = (uint16_t)w;
    return mp_done(p, node, NULL);
}

static uint32_t word(struct mp *p) {
    bool next_string = p->t->tokens.t[p->pos + 1].kind == MY_T_STRING; /* the last token is MY_T_END, and this is none */
    switch (mp_word(p)) {
    case W_NULL:
    case W_TRUE:
    case W_FALSE: return mp_leaf(p, MN_LITERAL);
    case W_NOT: return prefix(p, p->t->o->mode & MY_HIGH_NOT_PRECEDENCE ? BP_UNARY : BP_NOT);
    case W_BINARY: return prefix(p, BP_UNARY);
    case W_CASE: return case_expr(p);
    case W_EXISTS: return exists(p);
    case W_INTERVAL: return interval(p);
    case W_MATCH: return match(p);
    case W_DATE:
    case W_TIME:
    case W_TIMESTAMP:
        if (next_string) return literal(p);
        break;
    case W_DEFAULT:
        if (mp_op_at(p, 1, '(')) {
            mp_next(p);
            return mp_paren(p);
        }
        return p->in_values ? mp_leaf(p, MN_DEFAULT) : mp_syntax(p);
    case W_IGNORE: return p->in_values && p->maria ? mp_leaf(p, MN_DEFAULT) : mp_syntax(p);
    case W_ROW:
        if (!mp_op_at(p, 1, '(')) break;
        mp_next(p);
        return mp_paren(p);
    case W_SOME:
    case W_ANY:
        if (!mp_op_at(p, 1, '(') || !mp_query_starts(p, 1)) break;
        mp_next(p);
        return mp_paren(p);
    case W_ALL: mp_next(p); return mp_op(p, '(') && mp_query_starts(p, 0) ? mp_paren(p) : mp_syntax(p);
    default: break;
    }
    bool is;
    uint32_t node = sequence_word(p, &is);
    if (is) return node;
    if (is_niladic(p)) return niladic(p);
    if (is_callable(p) && mp_op_at(p, 1, '(')) return call_word(p);
    return column_or_call(p);
}

static uint32_t operator_first(struct mp *p) {
    switch (p->tok->word) {
    case '(': return mp_paren(p);
    case '{': return escape(p);
    case '.': return column_or_call(p);
    case '-':
    case '+':
    case '~':
    case '!': return prefix(p, BP_UNARY);
    default: return mp_syntax(p);
    }
}

static uint32_t primary(struct mp *p) {
    switch ((enum my_token_kind)p->tok->kind) {
    case MY_T_STRING:
    case MY_T_NSTRING:
    case MY_T_CHARSET: return literal(p);
    case MY_T_NUMBER:
    case MY_T_BINARY:
    case MY_T_NULL: return mp_leaf(p, MN_LITERAL);
    case MY_T_PARAM: return mp_leaf(p, MN_PARAM);
    case MY_T_USERVAR: return user_variable(p);
    case MY_T_SYSVAR: return system_variable(p);
    case MY_T_NAME:
    case MY_T_QUOTED: return column_or_call(p);
    case MY_T_WORD: return word(p);
    case MY_T_OP: return operator_first(p);
    case MY_T_END:
    case MY_T_HINT: break;
    }
    return mp_syntax(p);
}

/* --- operators --- */

static unsigned power_of_word(const struct mp *p) {
    switch (mp_word(p)) {
    case W_OR: return BP_OR;
    case W_XOR: return BP_XOR;
    case W_AND: return BP_AND;
    case W_IS: return BP_COMPARE;
    case W_LIKE:
    case W_IN:
    case W_BETWEEN:
    case W_REGEXP:
    case W_RLIKE: return BP_PREDICATE;
    case W_SOUNDS: return mp_is_at(p, 1, W_LIKE) ? BP_PREDICATE : 0;
    case W_MEMBER: return p->mysql && (mp_is_at(p, 1, W_OF) || mp_op_at(p, 1, '(')) ? BP_PREDICATE : 0;
    case W_NOT:
        return mp_is_at(p, 1, W_LIKE) || mp_is_at(p, 1, W_IN) || mp_is_at(p, 1, W_BETWEEN) || mp_is_at(p, 1, W_REGEXP) ||
                       mp_is_at(p, 1, W_RLIKE)
                   ? BP_PREDICATE
                   : 0;
    case W_DIV:
    case W_MOD: return BP_TIMES;
    case W_COLLATE: return BP_COLLATE;
    default: return 0;
    }
}

static unsigned power(const struct mp *p) {
    if (p->tok->kind == MY_T_WORD) return power_of_word(p);
    if (p->tok->kind != MY_T_OP) return 0;
    switch (p->tok->word) {
    case MY_OP_OR: return p->t->o->mode & MY_PIPES_AS_CONCAT ? BP_CONCAT : BP_OR;
    case MY_OP_AND: return BP_AND;
    case '=':
    case '<':
    case '>':
    case MY_OP_LE:
    case MY_OP_GE:
    case MY_OP_NE:
    case MY_OP_NULLSAFE: return BP_COMPARE;
    case '|': return BP_BITOR;
    case '&': return BP_BITAND;
    case MY_OP_SHL:
    case MY_OP_SHR: return BP_SHIFT;
    case '+':
    case '-': return BP_PLUS;
    case '*':
    case '/':
    case '%': return BP_TIMES;
    case '^': return BP_XORBITS;
    case MY_OP_ARROW:
    case MY_OP_ARROW2: return BP_ARROW;
    default: return 0;
    }
}

static bool is_test(struct mp *p) { /* IS [NOT] NULL and the like */
    mp_take(p, W_NOT);
    return mp_take(p, W_NULL) || mp_take(p, W_TRUE) || mp_take(p, W_FALSE) || mp_take(p, W_UNKNOWN) || mp_syntax(p);
}

static bool collation(struct mp *p) {
    if (!mp_is_name(p) && !mp_is(p, W_BINARY) && !mp_is(p, W_DEFAULT) && p->tok->kind != MY_T_STRING) return mp_syntax(p);
    mp_next(p);
    return true;
}

/* The operator is current; its right operands are added. */
static bool operands(struct mp *p, unsigned bp, struct ml *list) {
    mp_take(p, W_NOT);
    enum my_word w = mp_word(p);
    mp_next(p);
    switch (w) {
    case W_IS: return is_test(p);
    case W_COLLATE: return collation(p);
    case W_IN: return (mp_op(p, '(') || mp_syntax(p)) && mp_add(p, list, mp_paren(p));
    case W_BETWEEN:
        return mp_add(p, list, mp_expr_min(p, BP_PREDICATE + 1)) && mp_need(p, W_AND) && mp_add(p, list, mp_expr_min(p, BP_PREDICATE + 1));
    case W_LIKE:
        return mp_add(p, list, mp_expr_min(p, BP_PREDICATE + 1)) &&
               (!mp_take(p, W_ESCAPE) || mp_add(p, list, mp_expr_min(p, BP_PREDICATE + 1)));
    case W_SOUNDS: mp_next(p); break;
    case W_MEMBER: mp_take(p, W_OF); break;
    default: break;
    }
    return mp_add(p, list, mp_expr_min(p, bp + 1));
}

uint32_t mp_expr_rest(struct mp *p, uint32_t left, unsigned min) {
    struct ml list = {0};
    unsigned last = 0, bp;
    while (left != 0 && (bp = power(p)) != 0 && bp >= min) {
        if (bp != last) {
            uint32_t node = mp_node(p, MN_OP, p->t->nodes[left].tok);
            if (node == 0) return 0;
            p->t->nodes[node].word = p->tok->word;
            list = (struct ml){0};
            mp_add(p, &list, left);
            p->t->nodes[node].first = left;
            left = node;
            last = bp;
        }
        if (!operands(p, bp, &list)) return 0;
        p->t->nodes[left].end = p->pos;
    }
    return left;
}

uint32_t mp_expr_min(struct mp *p, unsigned min) {
    if (!mp_deeper(p)) return 0;
    uint32_t node = mp_expr_rest(p, primary(p), min);
    p->depth--;
    return node;
}

uint32_t mp_expr(struct mp *p) { return mp_expr_min(p, 1); }

bool mp_expr_list(struct mp *p, struct ml *list) {
    do {
        if (!mp_add(p, list, mp_expr(p))) return false;
    } while (mp_take_op(p, ','));
    return true;
}

/* --- parentheses --- */

static uint32_t subquery(struct mp *p, uint32_t tok, uint32_t query) {
    uint32_t node = mp_node(p, MN_SUBQUERY, tok);
    struct ml list = {0};
    return mp_add(p, &list, query) ? mp_done(p, node, &list) : 0;
}

/* ((SELECT 1) ...: what the inner parentheses hold decides together with what follows them. */
static uint32_t paren_in_paren(struct mp *p, uint32_t tok, struct ml *list) {
    uint32_t inner = mp_paren(p);
    if (inner == 0) return 0;
    if (p->t->nodes[inner].type == MN_SUBQUERY) {
        if (mp_op(p, ')')) {
            mp_next(p);
            return subquery(p, tok, p->t->nodes[inner].first);
        }
        if (mp_query_goes_on(p)) {
            uint32_t q = p->t->nodes[inner].first;
            p->t->nodes[q].flags |= MF_PAREN;
            q = mp_query_rest(p, q);
            return q != 0 && mp_need_op(p, ')') ? subquery(p, tok, q) : 0;
        }
    }
    mp_add(p, list, mp_expr_rest(p, inner, 1));
    return list->first;
}

uint32_t mp_paren(struct mp *p) {
    uint32_t tok = p->pos, node;
    struct ml list = {0};
    if (!mp_deeper(p)) return 0;
    bool nested = mp_op_at(p, 1, '(') && mp_query_starts(p, 1), query = !nested && mp_query_starts(p, 1);
    mp_next(p);
    if (query) {
        node = mp_query(p);
        p->depth--;
        return node != 0 && mp_need_op(p, ')') ? subquery(p, tok, node) : 0;
    }
    if (nested) {
        node = paren_in_paren(p, tok, &list);
        if (node == 0 || list.first == 0) {
            p->depth--;
            return node;
        }
        if (mp_take_op(p, ',') && !mp_expr_list(p, &list)) return 0;
    } else if (!mp_expr_list(p, &list)) {
        return 0;
    }
    p->depth--;
    node = mp_node(p, MN_ROW, tok);
    return mp_need_op(p, ')') ? mp_done(p, node, &list) : 0;
}
