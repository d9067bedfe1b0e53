/* Statements that are about the session and the server: SET, SHOW, USE, transactions, PREPARE, locks, maintenance. What is not read to its end is opaque. */
#include "policy/my_parse.h"

#include <string.h>
#include <strings.h>

uint32_t mp_opaque(struct mp *p, enum my_stmt_kind kind, const char *tag, unsigned actions) {
    uint32_t node = mp_stmt_node(p, kind, tag, actions, p->pos);
    while (!mp_at_end(p)) mp_next(p);
    if (node == 0) return 0;
    p->t->nodes[node].flags |= MF_OPAQUE;
    return mp_done(p, node, NULL);
}

uint32_t mp_opaque_text(struct mp *p, const char *tag) {
    uint32_t node = mp_stmt_node(p, MS_OTHER, tag, POL_EXECUTE, p->pos);
    while (p->tok->kind != MY_T_END) mp_next(p);
    if (node == 0) return 0;
    p->t->nodes[node].flags |= MF_OPAQUE;
    return mp_done(p, node, NULL);
}

/* A statement of which nothing matters but what it is: only words, names, texts and numbers follow. */
static uint32_t plain(struct mp *p, enum my_stmt_kind kind, const char *tag, unsigned actions) {
    uint32_t node = mp_stmt_node(p, kind, tag, actions, p->pos);
    for (; !mp_at_end(p); mp_next(p))
        if (mp_op(p, '(') || p->tok->kind == MY_T_PARAM || p->tok->kind == MY_T_SYSVAR) return mp_syntax(p);
    return mp_done(p, node, NULL);
}

/* --- SET --- */

static bool is_scope(const struct mp *p) {
    bool scope = mp_is(p, W_GLOBAL) || mp_is(p, W_SESSION) || mp_is(p, W_LOCAL) || mp_is(p, W_PERSIST) || mp_is(p, W_PERSIST_ONLY);
    return scope && !mp_op_at(p, 1, '=') && !mp_op_at(p, 1, MY_OP_ASSIGN) && !mp_op_at(p, 1, '.');
}

static bool value(struct mp *p, struct ml *in) {
    if (mp_take(p, W_DEFAULT)) return true;
    if (mp_is(p, W_ON) || mp_is(p, W_ALL) || mp_is(p, W_BINARY) || mp_is(p, W_ROW) || mp_is(p, W_SYSTEM)) {
        const struct my_token *next = &p->t->tokens.t[p->pos + 1];
        if (next->kind == MY_T_END || (next->kind == MY_T_OP && (next->word == ',' || next->word == ';')) || mp_is_at(p, 1, W_FOR))
            return mp_add(p, in, mp_leaf(p, MN_NAME));
    }
    return mp_add(p, in, mp_expr(p));
}

/* NAMES x COLLATE y, CHARACTER SET x */
static uint32_t charset(struct mp *p) {
    uint32_t node = mp_node(p, MN_SETTING, p->pos);
    struct ml in = {0};
    if (node == 0) return 0;
    p->t->nodes[node].flags = 1;
    p->t->nodes[node].word = W_NAMES;
    bool names = mp_take(p, W_NAMES);
    if (!names && (mp_take(p, W_CHARACTER) || mp_take(p, W_CHAR))) {
        if (!mp_need(p, W_SET)) return 0;
    } else if (!names) {
        mp_next(p);
    }
    if (mp_take(p, W_DEFAULT)) return mp_done(p, node, NULL);
    if (!mp_is_name(p) && !mp_is(p, W_BINARY) && p->tok->kind != MY_T_STRING) return mp_syntax(p);
    if (!mp_add(p, &in, mp_leaf(p, MN_NAME))) return 0;
    if (names && mp_take(p, W_COLLATE)) {
        if (!mp_is_name(p) && !mp_is(p, W_DEFAULT) && !mp_is(p, W_BINARY) && p->tok->kind != MY_T_STRING) return mp_syntax(p);
        mp_next(p);
    }
    return mp_done(p, node, &in);
}

static uint32_t setting(struct mp *p, enum my_word scope) {
    uint32_t node = mp_node(p, MN_SETTING, p->pos), name;
    struct ml in = {0};
    if (node == 0) return 0;
    if (p->tok->kind == MY_T_SYSVAR) {
        name = mp_expr_min(p, 1000);
    } else if (mp_is_name(p) || mp_is(p, W_DEFAULT)) {
        mp_take(p, W_DEFAULT); /* the default key cache: default.key_buffer_size */
        name = mp_column(p);
    } else {
        return mp_syntax(p);
    }
    if (name == 0) return 0;
    struct my_node *n = &p->t->nodes[node];
    n->flags = p->t->nodes[name].flags;
    n->word = (uint16_t)scope;
    if (p->t->nodes[name].type != MN_SYSVAR && p->t->nodes[name].type != MN_COLUMN) return mp_syntax(p);
    if (!mp_take_op(p, MY_OP_ASSIGN) && !mp_need_op(p, '=')) return 0;
    return value(p, &in) ? mp_done(p, node, &in) : 0;
}

static bool transaction(struct mp *p, struct ml *list, enum my_word scope) { /* SET [SESSION] TRANSACTION READ ONLY, ISOLATION LEVEL .. */
    uint32_t node = mp_node(p, MN_SETTING, p->pos);
    if (node == 0) return false;
    p->t->nodes[node].flags = 1;
    p->t->nodes[node].word = (uint16_t)scope;
    for (mp_next(p); !mp_at_end(p); mp_next(p))
        if (p->tok->kind != MY_T_WORD && !mp_op(p, ',')) return mp_syntax(p);
    return mp_add(p, list, mp_done(p, node, NULL));
}

static bool assignments(struct mp *p, struct ml *list) {
    enum my_word scope = MY_W_NONE;
    do {
        bool ok;
        if (is_scope(p)) {
            scope = mp_word(p);
            mp_next(p);
        }
        if (p->tok->kind == MY_T_USERVAR) {
            uint32_t node = mp_node(p, MN_ASSIGN, p->pos);
            struct ml in = {0};
            ok = mp_add(p, &in, mp_leaf(p, MN_USERVAR)) && (mp_take_op(p, MY_OP_ASSIGN) || mp_need_op(p, '=')) &&
                 mp_add(p, &in, mp_expr(p)) && mp_add(p, list, mp_done(p, node, &in));
        } else if (mp_is(p, W_NAMES) && !mp_op_at(p, 1, '=') && !mp_op_at(p, 1, MY_OP_ASSIGN)) {
            ok = mp_add(p, list, charset(p));
        } else if ((mp_is(p, W_CHARACTER) || mp_is(p, W_CHAR)) && mp_is_at(p, 1, W_SET)) {
            ok = mp_add(p, list, charset(p));
        } else if (mp_is(p, W_CHARSET) && !mp_op_at(p, 1, '=')) {
            ok = mp_add(p, list, charset(p));
        } else if (mp_is(p, W_TRANSACTION) && !mp_op_at(p, 1, '=')) {
            ok = transaction(p, list, scope);
        } else {
            ok = mp_add(p, list, setting(p, scope));
        }
        if (!ok) return false;
    } while (mp_take_op(p, ','));
    return true;
}

uint32_t mp_set(struct mp *p) {
    uint32_t tok = p->pos;
    struct ml list = {0};
    bool statement = p->maria && mp_is_at(p, 1, W_STATEMENT) && !mp_op_at(p, 2, '=') && !mp_op_at(p, 2, '.');
    if ((mp_is_at(p, 1, W_ROLE) && !mp_op_at(p, 2, '=')) || (mp_is_at(p, 1, W_DEFAULT) && mp_is_at(p, 2, W_ROLE)))
        return plain(p, MS_GRANT, "SET ROLE", POL_GRANT);
    if (mp_is_at(p, 1, W_PASSWORD) && !mp_op_at(p, 2, '.')) return mp_opaque(p, MS_GRANT, "SET PASSWORD", POL_GRANT);
    if (mp_is_at(p, 1, W_RESOURCE) && mp_is_at(p, 2, W_GROUP)) return mp_opaque(p, MS_OTHER, "SET RESOURCE GROUP", 0);
    mp_next(p);
    if (statement) mp_next(p);
    if (!assignments(p, &list)) return 0;
    if (!statement) {
        uint32_t node = mp_stmt_node(p, MS_SET, "SET", 0, tok);
        return mp_done(p, node, &list);
    }
    if (!mp_need(p, W_FOR) || !mp_deeper(p) || !mp_add(p, &list, mp_explainable(p))) return 0;
    p->depth--;
    uint32_t node = mp_stmt_node(p, MS_SET, "SET STATEMENT", 0, tok);
    return mp_done(p, node, &list);
}

/* --- SHOW --- */

static bool like_where(struct mp *p, struct ml *list) {
    if (mp_take(p, W_LIKE)) {
        if (p->tok->kind != MY_T_STRING && p->tok->kind != MY_T_PARAM) return mp_syntax(p);
        mp_next(p);
        return true;
    }
    return mp_where(p, list);
}

/* FROM db in front of LIKE and WHERE */
static bool from_db(struct mp *p) { return (!mp_take(p, W_FROM) && !mp_take(p, W_IN)) || mp_name(p); }

static bool show_table(struct mp *p, struct ml *list) { /* FROM t [FROM db] */
    struct ml in = {0};
    if (!mp_take(p, W_FROM) && !mp_need(p, W_IN)) return false;
    uint32_t t = mp_table(p, POL_SELECT);
    if (t == 0) return false;
    if (mp_take(p, W_FROM) || mp_take(p, W_IN)) {
        if (!mp_is_name(p)) return mp_syntax(p);
        if (!mp_add(p, &in, mp_leaf(p, MN_NAME))) return false;
    }
    return mp_add(p, list, mp_done(p, t, &in));
}

static bool show_create(struct mp *p, struct ml *list) {
    mp_next(p);
    if (mp_take(p, W_TABLE) || mp_take(p, W_VIEW) || (p->maria && mp_take(p, W_SEQUENCE))) return mp_add(p, list, mp_table(p, POL_SELECT));
    if (mp_is(p, W_DATABASE) || mp_is(p, W_SCHEMA))
        p->s->catalog = "schemata";
    else if (mp_is(p, W_PROCEDURE) || mp_is(p, W_FUNCTION) || mp_is(p, W_PACKAGE))
        p->s->catalog = "routines";
    else if (mp_is(p, W_TRIGGER))
        p->s->catalog = "triggers";
    else if (mp_is(p, W_EVENT))
        p->s->catalog = "events";
    else if (mp_is(p, W_USER))
        p->s->catalog = MY_ACCOUNTS;
    else
        return mp_syntax(p);
    for (; !mp_at_end(p); mp_next(p)) continue;
    return true;
}

static const char *show_what(struct mp *p, bool *takes_db) {
    static const struct {
        enum my_word word, next;
        const char *catalog; /* "" for what is nobody's secret */
    } what[] = {
        {W_TABLES, MY_W_NONE, "tables"},
        {W_TABLE, W_STATUS, "tables"},
        {W_OPEN, W_TABLES, "tables"},
        {W_DATABASES, MY_W_NONE, "schemata"},
        {W_SCHEMAS, MY_W_NONE, "schemata"},
        {W_TRIGGERS, MY_W_NONE, "triggers"},
        {W_EVENTS, MY_W_NONE, "events"},
        {W_PROCEDURE, W_STATUS, "routines"},
        {W_FUNCTION, W_STATUS, "routines"},
        {W_PACKAGE, W_STATUS, "routines"},
        {W_PROCESSLIST, MY_W_NONE, "processlist"},
        {W_VARIABLES, MY_W_NONE, "session_variables"},
        {W_STATUS, MY_W_NONE, "session_status"},
        {W_PLUGINS, MY_W_NONE, "plugins"},
        {W_ENGINES, MY_W_NONE, "engines"},
        {W_CHARSET, MY_W_NONE, "character_sets"},
        {W_CHARACTER, W_SET, "character_sets"},
        {W_COLLATION, MY_W_NONE, "collations"},
        {W_PRIVILEGES, MY_W_NONE, ""},
    };
    *takes_db = false;
    for (size_t i = 0; i < sizeof what / sizeof *what; i++) {
        if (!mp_is(p, what[i].word) || (what[i].next != MY_W_NONE && !mp_is_at(p, 1, what[i].next))) continue;
        mp_next(p);
        if (what[i].next != MY_W_NONE) mp_next(p);
        *takes_db = true;
        return what[i].catalog;
    }
    return NULL;
}

static bool says(const struct mp *p, unsigned i, const char *word) {
    const struct my_token *t = &p->t->tokens.t[p->pos + i]; /* the last is MY_T_END */
    return (t->kind == MY_T_WORD || t->kind == MY_T_NAME) && t->end - t->at == strlen(word) &&
           strncasecmp(p->t->sql + t->at, word, strlen(word)) == 0;
}

/* What Gatehouse itself answers; to the servers it is no statement. */
static bool shows_grants(struct mp *p) {
    if (!says(p, 0, "gatehouse") || !mp_op_at(p, 1, '.') || !says(p, 2, "grants")) return false; /* nothing is looked at behind the end */
    for (unsigned i = 0; i < 3; i++) mp_next(p);
    return true;
}

uint32_t mp_show(struct mp *p) {
    uint32_t node = mp_stmt_node(p, MS_SHOW, "SHOW", 0, p->pos);
    struct ml list = {0};
    bool takes_db;
    mp_next(p);
    if (shows_grants(p)) {
        p->s->tag = MY_SHOW_GRANTS;
        return mp_done(p, node, NULL);
    }
    while (mp_take(p, W_FULL) || mp_take(p, W_EXTENDED) || mp_take(p, W_SESSION) || mp_take(p, W_LOCAL) || mp_take(p, W_STORAGE) ||
           mp_take(p, W_ALL) || mp_take(p, W_GLOBAL))
        continue;
    if (mp_take(p, W_COLUMNS) || mp_take(p, W_FIELDS) || mp_take(p, W_INDEX) || mp_take(p, W_INDEXES) || mp_take(p, W_KEYS)) {
        if (!show_table(p, &list) || !like_where(p, &list)) return 0;
        return mp_done(p, node, &list);
    }
    if (mp_is(p, W_CREATE)) return show_create(p, &list) ? mp_done(p, node, &list) : 0;
    if (mp_is(p, W_WARNINGS) || mp_is(p, W_ERRORS)) {
        p->s->tag = "SHOW WARNINGS";
        mp_next(p);
        return mp_order_limit(p, &list) ? mp_done(p, node, &list) : 0;
    }
    if (mp_is(p, W_COUNT)) { /* COUNT(*) WARNINGS */
        p->s->tag = "SHOW WARNINGS";
        mp_next(p);
        if (!mp_need_op(p, '(') || !mp_need_op(p, '*') || !mp_need_op(p, ')')) return 0;
        if (!mp_take(p, W_WARNINGS) && !mp_need(p, W_ERRORS)) return 0;
        return mp_done(p, node, &list);
    }
    if (mp_is(p, W_GRANTS)) {
        p->s->catalog = MY_ACCOUNTS;
        for (; !mp_at_end(p); mp_next(p)) continue;
        return mp_done(p, node, NULL);
    }
    const char *catalog = show_what(p, &takes_db);
    if (catalog == NULL) return mp_opaque(p, MS_SHOW, "SHOW", 0);
    p->s->catalog = catalog[0] != '\0' ? catalog : NULL;
    return from_db(p) && like_where(p, &list) ? mp_done(p, node, &list) : 0;
}

/* --- the session --- */

static uint32_t use(struct mp *p) {
    uint32_t node = mp_stmt_node(p, MS_USE, "USE", 0, p->pos);
    struct ml list = {0};
    mp_next(p);
    if (!mp_is_name(p)) return mp_syntax(p);
    return mp_add(p, &list, mp_leaf(p, MN_NAME)) ? mp_done(p, node, &list) : 0;
}

static uint32_t explain(struct mp *p) {
    uint32_t node = mp_stmt_node(p, MS_EXPLAIN, "EXPLAIN", 0, p->pos);
    struct ml list = {0};
    mp_next(p);
    if (mp_is(p, W_FORMAT) && mp_op_at(p, 1, '=')) {
        mp_next(p), mp_next(p);
        if (!mp_is_name(p) && p->tok->kind != MY_T_STRING) return mp_syntax(p);
        mp_next(p);
    } else {
        if (!mp_take(p, W_EXTENDED) && !mp_take(p, W_PARTITIONS) && mp_take(p, W_ANALYZE) && mp_take(p, W_FORMAT)) {
            if (!mp_need_op(p, '=') || !mp_name(p)) return 0;
        }
    }
    if (mp_is(p, W_FOR)) return mp_opaque(p, MS_EXPLAIN, "EXPLAIN", 0); /* FOR CONNECTION: another's statement */
    bool statement = mp_op(p, '(') || mp_is(p, W_SELECT) || mp_is(p, W_INSERT) || mp_is(p, W_REPLACE) || mp_is(p, W_UPDATE) ||
                     mp_is(p, W_DELETE) || mp_is(p, W_WITH) || mp_is(p, W_TABLE) || mp_is(p, W_VALUES);
    if (statement) {
        if (!mp_add(p, &list, mp_explainable(p))) return 0;
        p->s->tag = "EXPLAIN";
        return mp_done(p, node, &list);
    }
    if (!mp_add(p, &list, mp_table(p, POL_SELECT))) return 0;
    if (p->tok->kind == MY_T_STRING || mp_is_name(p)) mp_next(p); /* one column */
    return mp_done(p, node, &list);
}

static uint32_t prepare(struct mp *p) {
    uint32_t node = mp_stmt_node(p, MS_PREPARE, "PREPARE", 0, p->pos);
    struct ml list = {0};
    mp_next(p);
    if (!mp_is_name(p)) return mp_syntax(p);
    if (!mp_add(p, &list, mp_leaf(p, MN_NAME)) || !mp_need(p, W_FROM)) return 0;
    return mp_add(p, &list, mp_expr(p)) ? mp_done(p, node, &list) : 0;
}

static bool using_values(struct mp *p, struct ml *list) {
    if (!mp_take(p, W_USING)) return true;
    do {
        if (!mp_add(p, list, mp_expr(p))) return false;
    } while (mp_take_op(p, ','));
    return true;
}

static uint32_t execute(struct mp *p) {
    bool immediate = p->maria && mp_is_at(p, 1, W_IMMEDIATE);
    uint32_t node = mp_stmt_node(p, immediate ? MS_PREPARE : MS_EXECUTE, immediate ? "EXECUTE IMMEDIATE" : "EXECUTE", 0, p->pos);
    struct ml list = {0};
    mp_next(p);
    if (!mp_is_name(p)) return mp_syntax(p);
    if (!mp_add(p, &list, mp_leaf(p, MN_NAME))) return 0;
    if (immediate && !mp_add(p, &list, mp_expr(p))) return 0;
    return using_values(p, &list) ? mp_done(p, node, &list) : 0;
}

static uint32_t deallocate(struct mp *p) {
    uint32_t node = mp_stmt_node(p, MS_DEALLOCATE, "DEALLOCATE PREPARE", 0, p->pos);
    struct ml list = {0};
    mp_next(p);
    if (!mp_need(p, W_PREPARE)) return 0;
    if (!mp_is_name(p)) return mp_syntax(p);
    return mp_add(p, &list, mp_leaf(p, MN_NAME)) ? mp_done(p, node, &list) : 0;
}

static uint32_t begin(struct mp *p) {
    bool plain_begin = mp_is_at(p, 1, W_WORK) || p->t->tokens.t[p->pos + 1].kind == MY_T_END || mp_op_at(p, 1, ';');
    return plain_begin ? plain(p, MS_TRANSACTION, "BEGIN", 0) : mp_opaque_text(p, "BEGIN NOT ATOMIC");
}

/* --- tables as such --- */

static bool table_list(struct mp *p, struct ml *list, unsigned access) {
    do {
        if (!mp_add(p, list, mp_table(p, access))) return false;
    } while (mp_take_op(p, ','));
    return true;
}

static uint32_t lock_tables(struct mp *p) {
    if (!mp_is_at(p, 1, W_TABLES) && !mp_is_at(p, 1, W_TABLE)) return mp_opaque(p, MS_OTHER, "LOCK", POL_MAINTAIN);
    uint32_t node = mp_stmt_node(p, MS_LOCK, "LOCK TABLES", 0, p->pos);
    struct ml list = {0};
    mp_next(p), mp_next(p);
    do {
        struct ml in = {0};
        uint32_t t = mp_table(p, POL_LOCK);
        if (t == 0 || !mp_alias(p, &in)) return 0;
        mp_take(p, W_LOW_PRIORITY);
        if (!mp_take(p, W_READ) && !mp_need(p, W_WRITE)) return 0;
        if (!mp_take(p, W_LOCAL)) mp_take(p, W_CONCURRENT);
        if (!mp_add(p, &list, mp_done(p, t, &in))) return 0;
    } while (mp_take_op(p, ','));
    if (mp_take(p, W_WAIT))
        mp_next(p);
    else
        mp_take(p, W_NOWAIT);
    return mp_done(p, node, &list);
}

static uint32_t truncate(struct mp *p) {
    uint32_t node = mp_stmt_node(p, MS_TRUNCATE, "TRUNCATE TABLE", 0, p->pos);
    struct ml list = {0};
    mp_next(p);
    mp_take(p, W_TABLE);
    if (!mp_add(p, &list, mp_table(p, POL_TRUNCATE))) return 0;
    if (mp_take(p, W_WAIT))
        mp_next(p);
    else
        mp_take(p, W_NOWAIT);
    return mp_done(p, node, &list);
}

/* ANALYZE, CHECK, OPTIMIZE, REPAIR, CHECKSUM TABLE t, u options */
static uint32_t maintain(struct mp *p, const char *tag) {
    uint32_t node = mp_stmt_node(p, MS_MAINTAIN, tag, 0, p->pos);
    struct ml list = {0};
    mp_next(p);
    if (!mp_take(p, W_NO_WRITE_TO_BINLOG)) mp_take(p, W_LOCAL);
    if (!mp_take(p, W_TABLE) && !mp_take(p, W_TABLES) && !mp_need(p, W_VIEW)) return 0;
    if (!table_list(p, &list, POL_MAINTAIN)) return 0;
    for (; !mp_at_end(p); mp_next(p)) continue; /* options: words, columns, indexes */
    return mp_done(p, node, &list);
}

static uint32_t analyze(struct mp *p) {
    if (mp_is_at(p, 1, W_TABLE) || mp_is_at(p, 1, W_TABLES) || mp_is_at(p, 1, W_NO_WRITE_TO_BINLOG) || mp_is_at(p, 1, W_LOCAL))
        return maintain(p, "ANALYZE TABLE");
    return explain(p); /* MariaDB: runs the statement and tells how */
}

static uint32_t other(struct mp *p) {
    switch (mp_word(p)) {
    case W_GRANT:
    case W_REVOKE: return mp_opaque(p, MS_GRANT, "GRANT", POL_GRANT);
    case W_KILL: return plain(p, MS_OTHER, "KILL", POL_MAINTAIN);
    case W_FLUSH: return mp_opaque(p, MS_MAINTAIN, "FLUSH", POL_MAINTAIN);
    case W_SIGNAL:
    case W_RESIGNAL: return plain(p, MS_OTHER, "SIGNAL", 0);
    case W_IF:
    case W_CASE:
    case W_LOOP:
    case W_WHILE:
    case W_REPEAT:
    case W_FOR:
    case W_DECLARE: return p->maria ? mp_opaque_text(p, "a compound statement") : mp_syntax(p);
    case W_XA:
    case W_HELP:
    case W_GET:
    case W_CACHE:
    case W_PURGE:
    case W_RESET:
    case W_CHANGE:
    case W_START:
    case W_STOP:
    case W_INSTALL:
    case W_UNINSTALL:
    case W_BINLOG:
    case W_BACKUP:
    case W_SHUTDOWN:
    case W_RESTART:
    case W_IMPORT:
    case W_CLONE: return mp_opaque(p, MS_OTHER, my_word_text(mp_word(p)), POL_MAINTAIN);
    default: return mp_syntax(p);
    }
}

uint32_t mp_util(struct mp *p) {
    bool known;
    switch (mp_word(p)) {
    case W_SET: return mp_set(p);
    case W_SHOW: return mp_show(p);
    case W_USE: return use(p);
    case W_EXPLAIN:
    case W_DESCRIBE:
    case W_DESC: return explain(p);
    case W_PREPARE: return prepare(p);
    case W_EXECUTE: return execute(p);
    case W_DEALLOCATE: return deallocate(p);
    case W_BEGIN: return begin(p);
    case W_START:
        if (!mp_is_at(p, 1, W_TRANSACTION)) return other(p);
        return plain(p, MS_TRANSACTION, "START TRANSACTION", 0);
    case W_COMMIT: return plain(p, MS_TRANSACTION, "COMMIT", 0);
    case W_ROLLBACK: return plain(p, MS_TRANSACTION, "ROLLBACK", 0);
    case W_SAVEPOINT: return plain(p, MS_TRANSACTION, "SAVEPOINT", 0);
    case W_RELEASE: return plain(p, MS_TRANSACTION, "RELEASE SAVEPOINT", 0);
    case W_LOCK: return lock_tables(p);
    case W_UNLOCK: return plain(p, MS_OTHER, "UNLOCK TABLES", 0);
    case W_TRUNCATE: return truncate(p);
    case W_ANALYZE: return analyze(p);
    case W_CHECK: return maintain(p, "CHECK TABLE");
    case W_OPTIMIZE: return maintain(p, "OPTIMIZE TABLE");
    case W_REPAIR: return maintain(p, "REPAIR TABLE");
    case W_CHECKSUM: return maintain(p, "CHECKSUM TABLE");
    case W_DROP:
        if (mp_is_at(p, 1, W_PREPARE)) return deallocate(p);
        break;
    default: break;
    }
    uint32_t node = mp_ddl(p, &known);
    return known ? node : other(p);
}
