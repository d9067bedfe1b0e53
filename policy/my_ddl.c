/* Data definition: which objects, and what its expressions and queries reach. What could do more than the text of its definitions says is opaque. */
#include "policy/my_parse.h"

static void flag(struct mp *p, uint32_t node, unsigned flags) {
    if (node != 0) p->t->nodes[node].flags |= (uint8_t)flags;
}

static void opaque(struct mp *p, uint32_t node) { flag(p, node, MF_OPAQUE); }

static bool add_table(struct mp *p, struct ml *list, unsigned access) { return mp_add(p, list, mp_table(p, access)); }

static bool table_list(struct mp *p, struct ml *list, unsigned access) {
    do {
        if (!add_table(p, list, access)) return false;
    } while (mp_take_op(p, ','));
    return true;
}

static bool if_exists(struct mp *p) {
    if (!mp_take(p, W_IF)) return true;
    mp_take(p, W_NOT);
    return mp_need(p, W_EXISTS);
}

/* --- definitions --- */

/* Engines whose tables are rows that the server keeps itself. Others read files, other servers, or other tables. */
static bool own_engine(const struct mp *p) {
    return mp_is(p, W_INNODB) || mp_is(p, W_MYISAM) || mp_is(p, W_ARIA) || mp_is(p, W_MEMORY) || mp_is(p, W_HEAP);
}

static bool engine(struct mp *p, uint32_t node) {
    mp_next(p);
    mp_take_op(p, '=');
    if (!own_engine(p)) opaque(p, node);
    return true;
}

/* Options and clauses that name other tables, or reach outside. *any: this was one. */
static bool special(struct mp *p, uint32_t node, struct ml *list, bool *any) {
    *any = true;
    switch (mp_word(p)) {
    case W_REFERENCES: mp_next(p); return add_table(p, list, POL_ALTER);
    case W_RENAME:
        mp_next(p);
        if (mp_take(p, W_COLUMN) || mp_take(p, W_INDEX) || mp_take(p, W_KEY)) return true;
        if (!mp_take(p, W_TO) && !mp_take(p, W_AS)) mp_take_op(p, '=');
        flag(p, node, MF_MOVES);
        return add_table(p, list, POL_CREATE);
    case W_EXCHANGE:
    case W_CONVERT:
        mp_next(p);
        while (!mp_at_end(p) && !mp_is(p, W_TABLE) && !mp_is(p, W_SET) && !mp_is(p, W_CHARSET)) mp_next(p);
        if (!mp_take(p, W_TABLE)) return true; /* CONVERT TO CHARACTER SET */
        flag(p, node, MF_MOVES);
        return add_table(p, list, POL_ALTER | POL_CREATE | POL_DROP);
    case W_ENGINE: return engine(p, node);
    case W_DEFAULT:
        mp_next(p);
        if (mp_at_end(p)) return true; /* ALTER COLUMN a DROP DEFAULT */
        if (mp_is(p, W_CHARACTER) || mp_is(p, W_CHARSET) || mp_is(p, W_COLLATE) || mp_op(p, '=') || mp_op(p, ',') || mp_op(p, ')'))
            return true;
        return mp_add(p, list, mp_expr_min(p, 140));
    case W_UNION:
    case W_CONNECTION:
    case W_DIRECTORY:
    case W_TABLESPACE:
    case W_DISCARD:
    case W_IMPORT:
    case W_SECONDARY_ENGINE:
    case W_SECONDARY_LOAD:
    case W_SECONDARY_UNLOAD:
        opaque(p, node);
        mp_next(p);
        return true;
    default: *any = false; return true;
    }
}

/* An opening parenthesis behind one of these holds an expression. */
static bool before_expression(const struct mp *p) {
    if (p->pos == 0) return false;
    const struct my_token *t = &p->t->tokens.t[p->pos - 1];
    if (t->kind == MY_T_OP) return t->word == '(' || t->word == ',';
    if (t->kind != MY_T_WORD) return false;
    return t->word == W_AS || t->word == W_CHECK || t->word == W_RANGE || t->word == W_LIST || t->word == W_HASH || t->word == W_THAN ||
           t->word == W_IN;
}

/* Columns, indexes, partitions, options, up to the statement's end or the query of CREATE TABLE ... SELECT. */
static bool definitions(struct mp *p, uint32_t node, struct ml *list, bool query) {
    unsigned depth = 0;
    while (!mp_at_end(p)) {
        bool any;
        if (depth == 0 && query && (mp_query_starts(p, 0) || (mp_is(p, W_AS) && mp_query_starts(p, 1)))) return true;
        if (!special(p, node, list, &any)) return false;
        if (any) continue;
        if (mp_op(p, '(')) {
            if (mp_query_starts(p, 1)) return mp_syntax(p);
            if (before_expression(p)) {
                if (!mp_add(p, list, mp_paren(p))) return false;
                continue;
            }
            depth++;
        } else if (mp_op(p, ')')) {
            if (depth-- == 0) return mp_syntax(p);
        } else if (mp_is(p, W_SELECT) || p->tok->kind == MY_T_SYSVAR || p->tok->kind == MY_T_USERVAR) {
            return mp_syntax(p);
        }
        mp_next(p);
    }
    return depth == 0 || mp_syntax(p);
}

/* --- what errors tell --- */

/* A new column of which no value has to be unlike others, or fit anything. Up to its comma, or the end; at its name. */
static bool quiet_column(struct mp *p) {
    bool quiet = (mp_word(p) == MY_W_NONE && mp_is_name(p));
    for (unsigned depth = 0; !mp_at_end(p) && (depth > 0 || !mp_op(p, ',')); mp_next(p)) {
        if (mp_op(p, '(')) depth++;
        if (mp_op(p, ')')) depth -= depth > 0;
        quiet = quiet && !mp_is(p, W_UNIQUE) && !mp_is(p, W_PRIMARY) && !mp_is(p, W_KEY) && !mp_is(p, W_CHECK) && !mp_is(p, W_AS) &&
                !mp_is(p, W_GENERATED) && !mp_is(p, W_REFERENCES) && !mp_is(p, W_PARTITION);
    }
    return quiet;
}

/* A clause of ALTER TABLE, up to its comma or the end. DROP COLUMN is none of these: the rest of a unique index may have to be unique then. */
static bool quiet_clause(struct mp *p) {
    bool exchange = mp_is(p, W_EXCHANGE), quiet = exchange || mp_is(p, W_RENAME) || mp_is(p, W_ALTER);
    if (mp_take(p, W_ADD)) {
        if (mp_is(p, W_INDEX) || mp_is(p, W_KEY))
            quiet = true;
        else {
            mp_take(p, W_COLUMN);
            if (mp_take(p, W_IF)) mp_next(p), mp_next(p); /* NOT EXISTS */
            return quiet_column(p);
        }
    } else if (mp_take(p, W_DROP))
        quiet = mp_is(p, W_INDEX) || mp_is(p, W_KEY) || mp_is(p, W_PRIMARY) || mp_is(p, W_FOREIGN) || mp_is(p, W_CONSTRAINT) ||
                mp_is(p, W_CHECK);
    for (unsigned depth = 0; !mp_at_end(p) && (depth > 0 || !mp_op(p, ',')); mp_next(p)) {
        if (mp_op(p, '(')) depth++;
        if (mp_op(p, ')')) depth -= depth > 0;
        quiet = quiet && (exchange || !mp_is(p, W_PARTITION)); /* PARTITION BY stands behind the last one without a comma */
    }
    return quiet;
}

/* Behind the table's name: the servers' errors quote values that do not fit a type or a character set, or are not unique. */
static bool quiet_alter(const struct mp *at) {
    struct mp look = *at;
    bool quiet = true;
    do quiet = quiet_clause(&look) && quiet;
    while (mp_take_op(&look, ','));
    return quiet;
}

/* --- CREATE --- */

/* What stands between CREATE or ALTER and the kind of object. */
struct prefix {
    bool temporary, replace;
    bool definer; /* DEFINER = another account than the session's own */
    bool plain;   /* of an index: values may be alike, and are not taken apart */
};

static bool is_object_word(const struct mp *p) {
    return mp_is(p, W_OR) || mp_is(p, W_UNIQUE) || mp_is(p, W_FULLTEXT) || mp_is(p, W_SPATIAL) || mp_is(p, W_SQL) || mp_is(p, W_SECURITY) ||
           mp_is(p, W_INVOKER) || mp_is(p, W_DEFINER) || mp_is(p, W_ONLINE) || mp_is(p, W_OFFLINE) || mp_is(p, W_IGNORE) ||
           mp_is(p, W_AGGREGATE) || mp_is(p, W_UNDO) || mp_is(p, W_VECTOR);
}

/* At the "=" of DEFINER = x; the last token of the value is current then. CURRENT_ROLE is a role's name to MySQL. */
static bool own_definer(struct mp *p) {
    mp_next(p);
    bool own = mp_is(p, W_CURRENT_USER) || (p->maria && mp_is(p, W_CURRENT_ROLE));
    if (mp_op_at(p, 1, '(')) mp_next(p), mp_next(p);
    if (p->tok->kind == MY_T_END || p->t->tokens.t[p->pos + 1].kind != MY_T_USERVAR) return own;
    mp_next(p); /* name@host */
    return false;
}

static void prefix_words(struct mp *p, struct prefix *as) {
    for (; !mp_at_end(p); mp_next(p)) {
        if (mp_is(p, W_TEMPORARY))
            as->temporary = true;
        else if (mp_is(p, W_REPLACE))
            as->replace = true;
        else if (mp_is(p, W_ALGORITHM))
            mp_next(p), mp_next(p);
        else if (mp_is(p, W_DEFINER) && mp_op_at(p, 1, '='))
            mp_next(p), as->definer = !own_definer(p) || as->definer;
        else if (mp_is(p, W_UNIQUE) || mp_is(p, W_FULLTEXT) || mp_is(p, W_SPATIAL) || mp_is(p, W_VECTOR))
            as->plain = false;
        else if (!is_object_word(p))
            return;
    }
}

static bool has_expressions(const struct mp *p, const struct ml *list) {
    for (uint32_t c = list->first; c != 0; c = p->t->nodes[c].next)
        if (p->t->nodes[c].type != MN_TABLE) return true;
    return false;
}

static unsigned created(bool temporary, bool replace) { return temporary ? POL_TEMP : POL_CREATE | (replace ? POL_DROP : 0u); }

static uint32_t create_table(struct mp *p, uint32_t tok, bool temporary, bool replace) {
    uint32_t node = mp_stmt_node(p, MS_DDL, "CREATE TABLE", 0, tok);
    struct ml list = {0};
    mp_next(p);
    if (!if_exists(p) || !add_table(p, &list, created(temporary, replace))) return 0;
    bool like = mp_is(p, W_LIKE) || (mp_op(p, '(') && mp_is_at(p, 1, W_LIKE));
    if (like) {
        bool paren = mp_take_op(p, '(');
        mp_next(p);
        if (!add_table(p, &list, POL_SELECT) || (paren && !mp_need_op(p, ')'))) return 0;
        return mp_done(p, node, &list);
    }
    if (!definitions(p, node, &list, true)) return 0;
    mp_take(p, W_AS);
    if (mp_at_end(p) || has_expressions(p, &list)) flag(p, node, MF_KEEPS); /* defaults, generated columns */
    if (!mp_at_end(p) && !mp_add(p, &list, mp_query(p))) return 0;
    return mp_done(p, node, &list);
}

static uint32_t create_view(struct mp *p, uint32_t tok, const char *tag, unsigned access, const struct prefix *as) {
    uint32_t node = mp_stmt_node(p, MS_DDL, tag, 0, tok);
    struct ml list = {0}, names = {0};
    flag(p, node, MF_VIEW | (as->definer ? MF_DEFINER : 0u));
    mp_next(p);
    if (!if_exists(p) || !add_table(p, &list, access)) return 0;
    if (mp_op(p, '(') && !mp_name_list(p, &names)) return 0;
    if (!mp_need(p, W_AS) || !mp_add(p, &list, mp_query(p))) return 0;
    while (!mp_at_end(p)) /* WITH CASCADED CHECK OPTION */
        if (p->tok->kind != MY_T_WORD)
            return mp_syntax(p);
        else
            mp_next(p);
    return mp_done(p, node, &list);
}

static uint32_t index_on(struct mp *p, uint32_t tok, const char *tag, bool plain) {
    uint32_t node = mp_stmt_node(p, MS_DDL, tag, 0, tok);
    struct ml list = {0};
    mp_next(p);
    if (!if_exists(p)) return 0;
    while (!mp_at_end(p) && !mp_is(p, W_ON)) mp_next(p); /* its name, USING BTREE */
    if (!mp_need(p, W_ON) || !add_table(p, &list, POL_ALTER) || !definitions(p, node, &list, false)) return 0;
    if (!plain || has_expressions(p, &list)) flag(p, node, MF_TELLS);
    return mp_done(p, node, &list);
}

static uint32_t alter_table(struct mp *p, uint32_t tok) {
    uint32_t node = mp_stmt_node(p, MS_DDL, "ALTER TABLE", 0, tok);
    struct ml list = {0};
    flag(p, node, MF_KEEPS);
    mp_next(p);
    if (!if_exists(p) || !add_table(p, &list, POL_ALTER)) return 0;
    if (!quiet_alter(p)) flag(p, node, MF_TELLS);
    return definitions(p, node, &list, false) ? mp_done(p, node, &list) : 0;
}

static uint32_t sequence(struct mp *p, uint32_t tok, const char *tag, unsigned access) {
    uint32_t node = mp_stmt_node(p, MS_DDL, tag, 0, tok);
    struct ml list = {0};
    flag(p, node, MF_KEEPS);
    mp_next(p);
    return if_exists(p) && add_table(p, &list, access) && definitions(p, node, &list, false) ? mp_done(p, node, &list) : 0;
}

static uint32_t create(struct mp *p) {
    uint32_t tok = p->pos;
    struct prefix as = {.plain = true};
    mp_next(p);
    prefix_words(p, &as);
    switch (mp_word(p)) {
    case W_TABLE: return create_table(p, tok, as.temporary, as.replace);
    case W_VIEW: return create_view(p, tok, "CREATE VIEW", POL_CREATE | (as.replace ? POL_DROP : 0u), &as);
    case W_INDEX: return index_on(p, tok, "CREATE INDEX", as.plain);
    case W_SEQUENCE: return sequence(p, tok, "CREATE SEQUENCE", created(as.temporary, as.replace));
    case W_DATABASE:
    case W_SCHEMA: return mp_opaque(p, MS_DDL, "CREATE DATABASE", POL_CREATE);
    case W_USER:
    case W_ROLE: return mp_opaque(p, MS_GRANT, "CREATE USER", POL_GRANT);
    case W_SERVER:
    case W_TABLESPACE:
    case W_LOGFILE:
    case W_SPATIAL:
    case W_RESOURCE: return mp_opaque(p, MS_OTHER, "CREATE", POL_CREATE);
    default: return mp_opaque_text(p, "CREATE"); /* PROCEDURE, FUNCTION, TRIGGER, EVENT, ...: stored code with semicolons in it */
    }
}

static uint32_t alter(struct mp *p) {
    uint32_t tok = p->pos;
    struct prefix as = {0};
    mp_next(p);
    prefix_words(p, &as);
    switch (mp_word(p)) {
    case W_TABLE: return alter_table(p, tok);
    case W_VIEW: return create_view(p, tok, "ALTER VIEW", POL_ALTER, &as);
    case W_SEQUENCE: return p->maria ? sequence(p, tok, "ALTER SEQUENCE", POL_ALTER) : mp_syntax(p);
    case W_DATABASE:
    case W_SCHEMA: return mp_opaque(p, MS_DDL, "ALTER DATABASE", POL_ALTER);
    case W_USER:
    case W_ROLE: return mp_opaque(p, MS_GRANT, "ALTER USER", POL_GRANT);
    default: return mp_opaque_text(p, "ALTER");
    }
}

static uint32_t drop(struct mp *p) {
    uint32_t tok = p->pos;
    mp_next(p);
    mp_take(p, W_TEMPORARY);
    if (mp_is(p, W_TABLE) || mp_is(p, W_TABLES) || mp_is(p, W_VIEW) || (p->maria && mp_is(p, W_SEQUENCE))) {
        const char *tag = mp_is(p, W_VIEW) ? "DROP VIEW" : "DROP TABLE";
        uint32_t node = mp_stmt_node(p, MS_DDL, tag, 0, tok);
        struct ml list = {0};
        mp_next(p);
        if (!if_exists(p) || !table_list(p, &list, POL_DROP)) return 0;
        if (!mp_take(p, W_RESTRICT)) mp_take(p, W_CASCADE);
        if (mp_take(p, W_WAIT))
            mp_next(p);
        else
            mp_take(p, W_NOWAIT);
        return mp_done(p, node, &list);
    }
    if (mp_is(p, W_INDEX)) return index_on(p, tok, "DROP INDEX", true);
    if (mp_is(p, W_USER) || mp_is(p, W_ROLE)) return mp_opaque(p, MS_GRANT, "DROP USER", POL_GRANT);
    return mp_opaque(p, MS_DDL, "DROP", POL_DROP);
}

static uint32_t rename_tables(struct mp *p) {
    if (mp_is_at(p, 1, W_USER)) return mp_opaque(p, MS_GRANT, "RENAME USER", POL_GRANT);
    uint32_t node = mp_stmt_node(p, MS_DDL, "RENAME TABLE", 0, p->pos);
    struct ml list = {0};
    flag(p, node, MF_MOVES);
    mp_next(p);
    if (!mp_take(p, W_TABLES) && !mp_need(p, W_TABLE)) return 0;
    if (!if_exists(p)) return 0;
    do {
        if (!add_table(p, &list, POL_ALTER | POL_DROP)) return 0;
        if (mp_take(p, W_WAIT))
            mp_next(p);
        else
            mp_take(p, W_NOWAIT);
        if (!mp_need(p, W_TO) || !add_table(p, &list, POL_CREATE)) return 0;
    } while (mp_take_op(p, ','));
    return mp_done(p, node, &list);
}

uint32_t mp_ddl(struct mp *p, bool *known) {
    *known = true;
    switch (mp_word(p)) {
    case W_CREATE: return create(p);
    case W_ALTER: return alter(p);
    case W_DROP: return drop(p);
    case W_RENAME: return rename_tables(p);
    default: *known = false; return 0;
    }
}
