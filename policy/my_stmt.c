/* Statements that read and change rows. */
#include "policy/my_parse.h"

static void words(struct mp *p, const enum my_word *list) { /* options, in any order */
    for (const enum my_word *w = list; *w != MY_W_NONE;) w = mp_take(p, *w) ? list : w + 1;
}

/* --- SET a = 1, b = DEFAULT --- */

static uint32_t sets(struct mp *p) {
    uint32_t node = mp_node(p, MN_SETS, p->pos);
    struct ml list = {0};
    bool before = p->in_values;
    p->in_values = true;
    do {
        uint32_t set = mp_node(p, MN_SET, p->pos);
        struct ml in = {0};
        if (!mp_add(p, &in, mp_column(p))) return 0;
        if (p->t->nodes[in.first].type != MN_COLUMN) return mp_syntax(p);
        if (!mp_take_op(p, MY_OP_ASSIGN) && !mp_need_op(p, '=')) return 0;
        if (!mp_add(p, &in, mp_expr(p)) || !mp_add(p, &list, mp_done(p, set, &in))) return 0;
    } while (mp_take_op(p, ','));
    p->in_values = before;
    return mp_done(p, node, &list);
}

static bool returning(struct mp *p, struct ml *list) {
    if (!p->maria || !mp_is(p, W_RETURNING)) return true;
    mp_next(p);
    return mp_add(p, list, mp_items(p, MN_RETURNING));
}

/* --- INSERT, REPLACE --- */

static bool row_alias(struct mp *p, struct ml *list) {
    if (!p->mysql || !mp_take(p, W_AS)) return true;
    if (!mp_is_name(p)) return mp_syntax(p);
    if (!mp_add(p, list, mp_leaf(p, MN_ALIAS))) return false;
    struct ml names = {0};
    uint32_t columns = mp_node(p, MN_COLUMNS, p->pos);
    return !mp_op(p, '(') || (mp_name_list(p, &names) && mp_add(p, list, mp_done(p, columns, &names)));
}

static bool source(struct mp *p, struct ml *list) {
    if (mp_op(p, '(') && !mp_query_starts(p, 0)) {
        uint32_t columns = mp_node(p, MN_COLUMNS, p->pos);
        struct ml names = {0};
        if (!mp_name_list(p, &names) || !mp_add(p, list, mp_done(p, columns, &names))) return false;
    }
    if (mp_take(p, W_SET)) return mp_add(p, list, sets(p)) && row_alias(p, list);
    if (!mp_is(p, W_VALUES) && !mp_is(p, W_VALUE)) return mp_add(p, list, mp_query(p));
    p->in_values = true;
    if (!mp_add(p, list, mp_query(p))) return false;
    p->in_values = false;
    return row_alias(p, list);
}

uint32_t mp_insert(struct mp *p) {
    uint32_t tok = p->pos;
    bool replace = mp_take(p, W_REPLACE);
    if (!replace) mp_next(p);
    uint32_t node = mp_stmt_node(p, MS_INSERT, replace ? "REPLACE" : "INSERT", 0, tok);
    struct ml list = {0};
    if (node == 0) return 0;
    p->t->nodes[node].flags = replace ? MF_REPLACE : 0;
    words(p, (const enum my_word[]){W_LOW_PRIORITY, W_DELAYED, W_HIGH_PRIORITY, W_IGNORE, MY_W_NONE});
    mp_take(p, W_INTO);
    unsigned access = replace ? POL_INSERT | POL_DELETE : POL_INSERT;
    if (!mp_add(p, &list, mp_table(p, access)) || !mp_partition(p) || !source(p, &list)) return 0;
    if (!replace && mp_take(p, W_ON)) {
        if (!mp_need(p, W_DUPLICATE) || !mp_need(p, W_KEY) || !mp_need(p, W_UPDATE)) return 0;
        p->values_function = true;
        if (!mp_add(p, &list, sets(p))) return 0;
        p->values_function = false;
    }
    return returning(p, &list) ? mp_done(p, node, &list) : 0;
}

/* --- UPDATE, DELETE --- */

static bool portion(struct mp *p, struct ml *list) {
    if (!p->maria || !mp_is(p, W_FOR) || !mp_is_at(p, 1, W_PORTION)) return true;
    mp_next(p), mp_next(p);
    return mp_need(p, W_OF) && mp_name(p) && mp_need(p, W_FROM) && mp_add(p, list, mp_expr_min(p, 70)) && mp_need(p, W_TO) &&
           mp_add(p, list, mp_expr_min(p, 70));
}

static bool where_order_limit(struct mp *p, struct ml *list) { return mp_where(p, list) && mp_order_limit(p, list); }

uint32_t mp_update(struct mp *p, uint32_t with) {
    uint32_t node = mp_stmt_node(p, MS_UPDATE, "UPDATE", 0, p->pos), tables;
    struct ml list = {0}, in = {0};
    mp_next(p);
    if (node == 0 || (with != 0 && !mp_add(p, &list, with))) return 0;
    words(p, (const enum my_word[]){W_LOW_PRIORITY, W_IGNORE, MY_W_NONE});
    tables = mp_node(p, MN_USING_TABLES, p->pos);
    if (!mp_from_list(p, &in) || !portion(p, &in) || !mp_add(p, &list, mp_done(p, tables, &in))) return 0;
    if (!mp_need(p, W_SET) || !mp_add(p, &list, sets(p)) || !where_order_limit(p, &list) || !returning(p, &list)) return 0;
    return mp_done(p, node, &list);
}

static uint32_t target(struct mp *p) {
    uint32_t node = mp_table(p, 0);
    if (node == 0) return 0;
    p->t->nodes[node].type = MN_TARGET;
    if (mp_op(p, '.') && mp_op_at(p, 1, '*')) mp_next(p), mp_next(p);
    return mp_done(p, node, NULL);
}

/* name.* would take the point for one more part of the name */
static uint32_t target_wild(struct mp *p) {
    if (!mp_op_at(p, 1, '.') || !mp_op_at(p, 2, '*')) return target(p);
    uint32_t node = mp_node(p, MN_TARGET, p->pos);
    if (node == 0 || !mp_name(p)) return 0;
    p->t->nodes[node].flags = 1;
    mp_next(p), mp_next(p);
    return mp_done(p, node, NULL);
}

static bool targets(struct mp *p, struct ml *list) {
    do {
        if (!mp_add(p, list, target_wild(p))) return false;
    } while (mp_take_op(p, ','));
    return true;
}

static bool using_tables(struct mp *p, struct ml *list) {
    uint32_t tables = mp_node(p, MN_USING_TABLES, p->pos);
    struct ml in = {0};
    return mp_from_list(p, &in) && mp_add(p, list, mp_done(p, tables, &in));
}

static bool before_system_time(struct mp *p, struct ml *list) { /* DELETE HISTORY */
    if (!p->maria || !mp_is(p, W_BEFORE)) return true;
    mp_next(p);
    if (!mp_need(p, W_SYSTEM_TIME)) return false;
    if (p->t->tokens.t[p->pos].kind != MY_T_END && p->t->tokens.t[p->pos + 1].kind != MY_T_STRING && !mp_take(p, W_TIMESTAMP))
        mp_take(p, W_TRANSACTION);
    return mp_add(p, list, mp_expr_min(p, 70));
}

uint32_t mp_delete(struct mp *p, uint32_t with) {
    uint32_t node = mp_stmt_node(p, MS_DELETE, "DELETE", 0, p->pos);
    struct ml list = {0};
    mp_next(p);
    if (node == 0 || (with != 0 && !mp_add(p, &list, with))) return 0;
    words(p, (const enum my_word[]){W_LOW_PRIORITY, W_QUICK, W_IGNORE, MY_W_NONE});
    if (p->maria && mp_is(p, W_HISTORY) && mp_is_at(p, 1, W_FROM)) mp_next(p);
    bool from = mp_take(p, W_FROM);
    struct ml first = {0};
    if (!mp_add(p, &first, target_wild(p))) return 0;
    if (!from || mp_op(p, ',') || mp_is(p, W_USING)) {
        p->t->nodes[node].flags |= MF_MULTI;
        if (!mp_add(p, &list, first.first) || (mp_take_op(p, ',') && !targets(p, &list)) || !mp_need(p, from ? W_USING : W_FROM) ||
            !using_tables(p, &list) || !mp_where(p, &list))
            return 0;
        return returning(p, &list) ? mp_done(p, node, &list) : 0;
    }
    struct my_node *t = &p->t->nodes[first.first];
    struct ml in = {0};
    t->type = MN_TABLE;
    t->word = POL_DELETE;
    if (!portion(p, &in) || !mp_partition(p) || !mp_alias(p, &in) || !mp_partition(p) || !before_system_time(p, &in)) return 0;
    mp_done(p, first.first, &in);
    if (!mp_add(p, &list, first.first) || !where_order_limit(p, &list) || !returning(p, &list)) return 0;
    return mp_done(p, node, &list);
}

/* --- LOAD DATA --- */

static bool load_fields(struct mp *p, struct ml *list) {
    if (!mp_take_op(p, '(')) return true;
    if (mp_take_op(p, ')')) return true;
    do {
        bool var = p->tok->kind == MY_T_USERVAR;
        if (!mp_add(p, list, var ? mp_leaf(p, MN_USERVAR) : mp_column(p))) return false;
    } while (mp_take_op(p, ','));
    return mp_need_op(p, ')');
}

uint32_t mp_load(struct mp *p) {
    uint32_t tok = p->pos;
    mp_next(p);
    if (!mp_take(p, W_DATA) && !mp_take(p, W_XML)) return mp_opaque(p, MS_OTHER, "LOAD", POL_MAINTAIN); /* LOAD INDEX INTO CACHE */
    uint32_t node = mp_stmt_node(p, MS_LOAD, "LOAD DATA", 0, tok);
    struct ml list = {0};
    words(p, (const enum my_word[]){W_LOW_PRIORITY, W_CONCURRENT, MY_W_NONE});
    if (node != 0 && mp_take(p, W_LOCAL)) p->t->nodes[node].flags = MF_LOCAL;
    if (!mp_need(p, W_INFILE)) return 0;
    if (p->tok->kind != MY_T_STRING) return mp_syntax(p);
    mp_next(p);
    bool replace = mp_take(p, W_REPLACE);
    if (!replace) mp_take(p, W_IGNORE);
    if (!mp_need(p, W_INTO) || !mp_need(p, W_TABLE)) return 0;
    if (!mp_add(p, &list, mp_table(p, replace ? POL_INSERT | POL_DELETE : POL_INSERT)) || !mp_partition(p)) return 0;
    if (mp_is(p, W_CHARACTER) || mp_is(p, W_CHARSET)) {
        if (!mp_file_format(p)) return 0;
    }
    if (mp_take(p, W_ROWS)) {
        if (!mp_need(p, W_IDENTIFIED) || !mp_need(p, W_BY)) return 0;
        if (p->tok->kind != MY_T_STRING) return mp_syntax(p);
        mp_next(p);
    }
    if (!mp_file_format(p)) return 0;
    if (mp_take(p, W_IGNORE)) {
        if (p->tok->kind != MY_T_NUMBER) return mp_syntax(p);
        mp_next(p);
        if (!mp_take(p, W_LINES) && !mp_need(p, W_ROWS)) return 0;
    }
    if (!load_fields(p, &list)) return 0;
    if (mp_take(p, W_SET) && !mp_add(p, &list, sets(p))) return 0;
    return mp_done(p, node, &list);
}

/* --- CALL, DO, HANDLER --- */

static uint32_t call(struct mp *p) {
    uint32_t node = mp_stmt_node(p, MS_CALL, "CALL", POL_EXECUTE, p->pos);
    struct ml list = {0}, in = {0};
    mp_next(p);
    uint32_t fn = mp_column(p);
    if (node == 0 || fn == 0 || p->t->nodes[fn].type != MN_COLUMN) return mp_syntax(p);
    p->t->nodes[fn].type = MN_CALL;
    mp_add(p, &list, fn);
    if (mp_take_op(p, '(') && ((!mp_op(p, ')') && !mp_expr_list(p, &in)) || !mp_need_op(p, ')'))) return 0;
    mp_done(p, fn, &in);
    return mp_done(p, node, &list);
}

static uint32_t do_stmt(struct mp *p) {
    uint32_t node = mp_stmt_node(p, MS_DO, "DO", 0, p->pos);
    struct ml list = {0};
    mp_next(p);
    return mp_add(p, &list, mp_items(p, MN_ITEMS)) ? mp_done(p, node, &list) : 0;
}

static uint32_t handler(struct mp *p) {
    uint32_t node = mp_stmt_node(p, MS_HANDLER, "HANDLER", 0, p->pos);
    struct ml list = {0};
    mp_next(p);
    if (!mp_add(p, &list, mp_table(p, POL_SELECT))) return 0;
    if (mp_take(p, W_OPEN)) {
        if (!mp_at_end(p)) /* READ would name the alias, which may be another table's name */
            return mp_fail(p, POL_NOT_UNDERSTOOD, "an alias in HANDLER .. OPEN is not understood: open the table by its own name");
    } else if (!mp_take(p, W_CLOSE)) {
        if (!mp_need(p, W_READ)) return 0;
        if (!mp_take(p, W_FIRST) && !mp_take(p, W_NEXT)) {
            if (!mp_name(p)) return 0;
            bool step = mp_take(p, W_FIRST) || mp_take(p, W_NEXT) || mp_take(p, W_PREV) || mp_take(p, W_LAST);
            if (!step) {
                bool op =
                    mp_take_op(p, '=') || mp_take_op(p, '<') || mp_take_op(p, '>') || mp_take_op(p, MY_OP_LE) || mp_take_op(p, MY_OP_GE);
                if (!op || !mp_op(p, '(')) return mp_syntax(p);
                if (!mp_add(p, &list, mp_paren(p))) return 0;
            }
        }
        if (!mp_where(p, &list) || !mp_order_limit(p, &list)) return 0;
    }
    return mp_done(p, node, &list);
}

/* --- which statement --- */

static uint32_t query(struct mp *p, uint32_t tok, uint32_t with) {
    uint32_t node = mp_stmt_node(p, MS_QUERY, "SELECT", 0, tok);
    struct ml list = {0};
    uint32_t q = with != 0 ? mp_query_with(p, tok, with) : mp_query(p);
    return mp_add(p, &list, q) ? mp_done(p, node, &list) : 0;
}

uint32_t mp_explainable(struct mp *p) {
    uint32_t tok = p->pos, with;
    switch (mp_word(p)) {
    case W_WITH:
        if ((with = mp_with(p)) == 0) return 0;
        if (mp_is(p, W_UPDATE)) return mp_update(p, with);
        if (mp_is(p, W_DELETE)) return mp_delete(p, with);
        return query(p, tok, with);
    case W_SELECT:
    case W_TABLE:
    case W_VALUES: return query(p, tok, 0);
    case W_INSERT:
    case W_REPLACE: return mp_insert(p);
    case W_UPDATE: return mp_update(p, 0);
    case W_DELETE: return mp_delete(p, 0);
    default: return mp_op(p, '(') ? query(p, tok, 0) : mp_syntax(p);
    }
}

uint32_t mp_statement(struct mp *p) {
    switch (mp_word(p)) {
    case W_WITH:
    case W_SELECT:
    case W_TABLE:
    case W_VALUES:
    case W_INSERT:
    case W_REPLACE:
    case W_UPDATE:
    case W_DELETE: return mp_explainable(p);
    case W_LOAD: return mp_load(p);
    case W_CALL: return call(p);
    case W_DO: return do_stmt(p);
    case W_HANDLER: return handler(p);
    default: return mp_op(p, '(') ? mp_explainable(p) : mp_util(p);
    }
}
