/* One statement: its kind, its tag, and everything that is neither a query nor data definition. */
#include "policy/facts_pg.h"

#include <stdio.h>
#include <string.h>

static bool set_kind(struct fx *x, enum pol_kind kind, const char *tag, unsigned actions) {
    x->c.s->kind = kind;
    x->c.s->tag = tag;
    x->c.s->actions |= actions;
    return true;
}

static bool writes(struct fx *x) {
    x->c.s->reads_only = false;
    return true;
}

/* The inner statement of EXPLAIN, PREPARE, DECLARE, COPY (query): its facts, under the outer one's kind and tag. */
static bool inner_statement(struct fx *x, uint32_t node, enum pol_kind kind, const char *tag) {
    if (!fx_statement(x, node)) return false;
    return set_kind(x, kind, tag, 0);
}

/* --- settings --- */

/* Integers of zero or less come without their value in libpg_query 15's JSON: read them from the text. */
static const char *integer_text(struct fx *x, uint32_t fields, uint32_t ival) {
    uint32_t v = jt_get(x->t, ival, "ival");
    char digits[24];
    if (v != 0) {
        snprintf(digits, sizeof digits, "%lld", (long long)jt_int(x->t, v, 0));
    } else {
        const char *p = x->sql + fx_location(x, fields), *end = x->sql + x->len;
        size_t n = 0;
        if (p < end && *p == '-') digits[n++] = *p++;
        while (p < end && (*p == ' ' || *p == '\n' || *p == '\t')) p++;
        while (p < end && *p >= '0' && *p <= '9' && n < sizeof digits - 1) digits[n++] = *p++;
        digits[n] = '\0';
        if (n == 0 || digits[n - 1] == '-') return "0";
    }
    const char *copy = pol_strdup(x->c.arena, digits);
    if (copy == NULL) fx_no_memory(x);
    return copy;
}

const char *fx_const_text(struct fx *x, uint32_t node) {
    uint32_t fields, v;
    enum pg_node type = fx_node(x, node, &fields);
    if (type == NT_TypeCast) type = fx_node(x, jt_get(x->t, fields, "arg"), &fields); /* SET TIME ZONE INTERVAL '1' */
    if (type != NT_A_Const) return NULL;
    x->values = true;
    if ((v = jt_get(x->t, fields, "sval")) != 0) {
        uint32_t text = jt_get(x->t, v, "sval");
        return text == 0 ? "" : fx_text(x, text);
    }
    if ((v = jt_get(x->t, fields, "fval")) != 0) return fx_text(x, jt_get(x->t, v, "fval"));
    if ((v = jt_get(x->t, fields, "ival")) != 0) return integer_text(x, fields, v);
    if ((v = jt_get(x->t, fields, "boolval")) != 0) return jt_bool(x->t, jt_get(x->t, v, "boolval")) ? "true" : "false";
    return NULL;
}

/* Settings whose value is a list of identifiers (GUC_LIST_QUOTE): each item is quoted where it must be, as the server does. */
static bool is_name_list(const char *name) {
    static const char *const names[] = {"search_path",
                                        "temp_tablespaces",
                                        "session_preload_libraries",
                                        "shared_preload_libraries",
                                        "local_preload_libraries",
                                        "unix_socket_directories",
                                        NULL};
    for (size_t i = 0; names[i] != NULL; i++)
        if (strcasecmp(names[i], name) == 0) return true;
    return false;
}

static bool is_plain_name(const char *s) {
    if (!((*s >= 'a' && *s <= 'z') || *s == '_')) return false;
    for (; *s != '\0'; s++)
        if (!((*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') || *s == '_')) return false;
    return true;
}

static size_t append_item(char *out, const char *item, bool quote) {
    char *p = out;
    if (quote) *p++ = '"';
    for (; *item != '\0'; item++) {
        if (quote && *item == '"') *p++ = '"';
        *p++ = *item;
    }
    if (quote) *p++ = '"';
    return (size_t)(p - out);
}

/* All arguments as one text: a, "B". */
static const char *setting_value(struct fx *x, const char *name, uint32_t args) {
    bool names = is_name_list(name);
    size_t room = 1;
    for (uint32_t c = args + 1; args != 0 && c < jt_end(x->t, args); c = jt_skip(x->t, c)) {
        const char *item = fx_const_text(x, c);
        if (item == NULL) return NULL;
        room += strlen(item) * 2 + 4;
    }
    char *out = pol_alloc(x->c.arena, room), *p = out;
    if (out == NULL) return NULL;
    for (uint32_t c = args + 1; args != 0 && c < jt_end(x->t, args); c = jt_skip(x->t, c)) {
        const char *item = fx_const_text(x, c);
        if (item == NULL) return NULL;
        if (p != out) *p++ = ',', *p++ = ' ';
        p += append_item(p, item, names && !is_plain_name(item));
    }
    return out;
}

/* SET TRANSACTION and BEGIN's options: DefElems named as settings. */
static bool transaction_modes(struct fx *x, uint32_t list, const char *prefix, bool local) {
    for (uint32_t c = list + 1; list != 0 && c < jt_end(x->t, list); c = jt_skip(x->t, c)) {
        uint32_t fields;
        if (fx_node(x, c, &fields) != NT_DefElem) return fx_fail(x, POL_NOT_UNDERSTOOD, "a transaction mode is not understood");
        const char *name = fx_text(x, jt_get(x->t, fields, "defname")), *value = fx_const_text(x, jt_get(x->t, fields, "arg"));
        if (name == NULL || value == NULL) return fx_fail(x, POL_NOT_UNDERSTOOD, "a transaction mode is not understood");
        size_t room = strlen(prefix) + strlen(name) + 1;
        char *full = pol_alloc(x->c.arena, room);
        if (full == NULL) return fx_no_memory(x);
        snprintf(full, room, "%s%s", prefix, name);
        if (!fx_setting(x, full, value, local, false)) return false;
    }
    return true;
}

static bool set_multi(struct fx *x, uint32_t i, const char *name) {
    uint32_t args = jt_get(x->t, i, "args");
    if (strcmp(name, "TRANSACTION") == 0) return transaction_modes(x, args, "", true);
    if (strcmp(name, "SESSION CHARACTERISTICS") == 0) return transaction_modes(x, args, "default_", false);
    if (strcmp(name, "TRANSACTION SNAPSHOT") == 0) { /* another session's view of the data, by a name it gave away */
        const char *id = setting_value(x, name, args);
        return id != NULL ? fx_setting(x, "transaction_snapshot", id, true, false)
                          : fx_fail(x, POL_NOT_UNDERSTOOD, "SET TRANSACTION SNAPSHOT is not understood in this form");
    }
    return fx_fail(x, POL_NOT_UNDERSTOOD, "SET %.60s is not understood", name);
}

static bool variable_set(struct fx *x, uint32_t i) {
    uint32_t kind = jt_get(x->t, i, "kind"), name_at = jt_get(x->t, i, "name");
    bool local = jt_bool(x->t, jt_get(x->t, i, "is_local"));
    set_kind(x, POL_K_SET, "SET", 0);
    if (jt_str_is(x->t, kind, "VAR_RESET_ALL")) {
        x->c.s->tag = "RESET";
        return fx_setting(x, "all", NULL, false, false);
    }
    const char *name = fx_text(x, name_at);
    if (name == NULL) return fx_fail(x, POL_NOT_UNDERSTOOD, "a SET without a name is not understood");
    if (jt_str_is(x->t, kind, "VAR_SET_MULTI")) return set_multi(x, i, name);
    if (jt_str_is(x->t, kind, "VAR_RESET")) x->c.s->tag = "RESET";
    if (jt_str_is(x->t, kind, "VAR_RESET") || jt_str_is(x->t, kind, "VAR_SET_DEFAULT")) return fx_setting(x, name, NULL, local, false);
    if (!jt_str_is(x->t, kind, "VAR_SET_VALUE")) return fx_fail(x, POL_NOT_UNDERSTOOD, "SET %.60s FROM CURRENT is not understood", name);
    const char *value = setting_value(x, name, jt_get(x->t, i, "args"));
    if (value == NULL) return fx_fail(x, POL_NOT_UNDERSTOOD, "the value of SET %.60s is not understood", name);
    return fx_setting(x, name, value, local, false);
}

static bool variable_show(struct fx *x, uint32_t i) {
    const char *name = fx_text(x, jt_get(x->t, i, "name"));
    set_kind(x, POL_K_SHOW, "SHOW", 0);
    return name != NULL ? fx_setting(x, name, NULL, false, true)
                        : fx_fail(x, POL_NOT_UNDERSTOOD, "a SHOW without a name is not understood");
}

static bool discard(struct fx *x, uint32_t i) {
    set_kind(x, POL_K_DISCARD, "DISCARD", 0);
    uint32_t target = jt_get(x->t, i, "target");
    if (target != 0 && !jt_str_is(x->t, target, "DISCARD_ALL")) return true;
    x->c.s->forget_all_statements = x->c.s->forget_all_portals = true;
    x->c.s->forget_statement = "";
    return fx_setting(x, "all", NULL, false, false);
}

/* --- the session's own objects --- */

static bool prepare(struct fx *x, uint32_t i) {
    x->c.s->forget_statement = fx_text(x, jt_get(x->t, i, "name"));
    if (x->c.s->forget_statement == NULL) return fx_fail(x, POL_NOT_UNDERSTOOD, "a PREPARE without a name is not understood");
    return fx_walk(x, jt_get(x->t, i, "argtypes")) && inner_statement(x, jt_get(x->t, i, "query"), POL_K_PREPARE, "PREPARE");
}

static bool execute(struct fx *x, uint32_t i) {
    set_kind(x, POL_K_EXECUTE, "EXECUTE", 0);
    writes(x); /* what it runs is known to whoever saw the PREPARE */
    x->c.s->uses_statement = fx_text(x, jt_get(x->t, i, "name"));
    if (x->c.s->uses_statement == NULL) return fx_fail(x, POL_NOT_UNDERSTOOD, "an EXECUTE without a name is not understood");
    return fx_walk_fields(x, NT_ExecuteStmt, i, NULL);
}

static bool deallocate(struct fx *x, uint32_t i) {
    uint32_t name = jt_get(x->t, i, "name");
    set_kind(x, POL_K_DEALLOCATE, "DEALLOCATE", 0);
    x->c.s->forget_all_statements = name == 0;
    x->c.s->forget_statement = name == 0 ? "" : fx_text(x, name);
    return x->c.err->rc == POL_PARSED;
}

static bool declare(struct fx *x, uint32_t i) {
    x->c.s->forget_portal = fx_text(x, jt_get(x->t, i, "portalname"));
    if (x->c.s->forget_portal == NULL) return fx_fail(x, POL_NOT_UNDERSTOOD, "a cursor without a name is not understood");
    x->c.s->hold = (jt_int(x->t, jt_get(x->t, i, "options"), 0) & 0x20) != 0; /* CURSOR_OPT_HOLD */
    return inner_statement(x, jt_get(x->t, i, "query"), POL_K_DECLARE, "DECLARE CURSOR");
}

static bool fetch(struct fx *x, uint32_t i) {
    set_kind(x, POL_K_FETCH, jt_bool(x->t, jt_get(x->t, i, "ismove")) ? "MOVE" : "FETCH", 0);
    x->c.s->uses_portal = fx_text(x, jt_get(x->t, i, "portalname"));
    return x->c.s->uses_portal != NULL ? true : fx_fail(x, POL_NOT_UNDERSTOOD, "a cursor without a name is not understood");
}

static bool close_portal(struct fx *x, uint32_t i) {
    uint32_t name = jt_get(x->t, i, "portalname");
    set_kind(x, POL_K_CLOSE, "CLOSE", 0);
    x->c.s->forget_all_portals = name == 0;
    x->c.s->forget_portal = name == 0 ? "" : fx_text(x, name);
    x->c.s->uses_portal = name == 0 ? NULL : x->c.s->forget_portal;
    return x->c.err->rc == POL_PARSED;
}

static bool transaction(struct fx *x, uint32_t i) {
    static const struct {
        const char *kind, *tag;
        bool two_phase;
        enum pol_bounds bounds;
    } kinds[] = {
        {"TRANS_STMT_BEGIN", "BEGIN", false, POL_B_NONE},
        {"TRANS_STMT_START", "START TRANSACTION", false, POL_B_NONE},
        {"TRANS_STMT_COMMIT", "COMMIT", false, POL_B_END},
        {"TRANS_STMT_ROLLBACK", "ROLLBACK", false, POL_B_END},
        {"TRANS_STMT_SAVEPOINT", "SAVEPOINT", false, POL_B_SAVEPOINT},
        {"TRANS_STMT_RELEASE", "RELEASE", false, POL_B_RELEASE},
        {"TRANS_STMT_ROLLBACK_TO", "ROLLBACK TO SAVEPOINT", false, POL_B_BACK},
        {"TRANS_STMT_PREPARE", "PREPARE TRANSACTION", true, POL_B_END},
        {"TRANS_STMT_COMMIT_PREPARED", "COMMIT PREPARED", true, POL_B_NONE},
        {"TRANS_STMT_ROLLBACK_PREPARED", "ROLLBACK PREPARED", true, POL_B_NONE},
    };
    uint32_t kind = jt_get(x->t, i, "kind");
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        if (!jt_str_is(x->t, kind, kinds[k].kind)) continue;
        set_kind(x, POL_K_TRANSACTION, kinds[k].tag, 0);
        /* a prepared transaction outlives the session, and another's may be ended by its name */
        x->c.s->opaque = kinds[k].two_phase;
        x->c.s->bounds = kinds[k].bounds;
        x->c.s->savepoint = fx_text(x, jt_get(x->t, i, "savepoint_name"));
        if (x->c.err->rc != POL_PARSED) return false;
        return transaction_modes(x, jt_get(x->t, i, "options"), "", true);
    }
    return fx_fail(x, POL_NOT_UNDERSTOOD, "a transaction statement of an unknown kind is not understood");
}

/* --- COPY, LOCK, TRUNCATE, maintenance, messages --- */

static bool copy(struct fx *x, uint32_t i) {
    bool from = jt_bool(x->t, jt_get(x->t, i, "is_from")),
         file = jt_get(x->t, i, "filename") != 0 || jt_bool(x->t, jt_get(x->t, i, "is_program"));
    uint32_t query = jt_get(x->t, i, "query");
    if (query != 0 && !inner_statement(x, query, POL_K_COPY, "COPY")) return false;
    set_kind(x, POL_K_COPY, "COPY", file ? POL_FILES : 0u);
    x->c.s->copy_in = from && !file;
    x->c.s->copy_out = !from && !file;
    if (from || file) writes(x);
    return fx_target(x, jt_get(x->t, i, "relation"), from ? POL_INSERT : POL_SELECT) &&
           fx_walk_fields(x, NT_CopyStmt, i, (const char *const[]){"query", "relation", NULL});
}

static bool each_relation(struct fx *x, uint32_t list, unsigned access) {
    for (uint32_t c = list + 1; list != 0 && c < jt_end(x->t, list); c = jt_skip(x->t, c)) {
        uint32_t fields, inner;
        enum pg_node type = fx_node(x, c, &fields);
        inner = type == NT_VacuumRelation ? jt_get(x->t, fields, "relation") : type == NT_RangeVar ? fields : 0;
        if (inner == 0) return fx_fail(x, POL_NOT_UNDERSTOOD, "a list of relations is not understood");
        if (!fx_target(x, inner, access)) return false;
    }
    return true;
}

static bool truncate_tables(struct fx *x, uint32_t i) {
    set_kind(x, POL_K_TRUNCATE, "TRUNCATE TABLE", 0);
    /* CASCADE empties tables that the statement does not name */
    x->c.s->opaque = jt_str_is(x->t, jt_get(x->t, i, "behavior"), "DROP_CASCADE");
    return each_relation(x, jt_get(x->t, i, "relations"), POL_TRUNCATE) &&
           fx_walk_fields(x, NT_TruncateStmt, i, (const char *const[]){"relations", NULL});
}

static bool lock_tables(struct fx *x, uint32_t i) {
    set_kind(x, POL_K_LOCK, "LOCK TABLE", 0);
    return each_relation(x, jt_get(x->t, i, "relations"), POL_LOCK);
}

static bool vacuum(struct fx *x, uint32_t i) {
    uint32_t rels = jt_get(x->t, i, "rels");
    set_kind(x, POL_K_MAINTAIN, jt_bool(x->t, jt_get(x->t, i, "is_vacuumcmd")) ? "VACUUM" : "ANALYZE", rels == 0 ? POL_MAINTAIN : 0u);
    writes(x);
    return each_relation(x, rels, POL_MAINTAIN) && fx_walk_fields(x, NT_VacuumStmt, i, (const char *const[]){"rels", NULL});
}

static bool maintain(struct fx *x, enum pg_node type, uint32_t i, const char *tag, unsigned access) {
    uint32_t rel = jt_get(x->t, i, "relation");
    set_kind(x, POL_K_MAINTAIN, tag, rel == 0 ? access : 0u);
    writes(x);
    return fx_target(x, rel, access) && fx_walk_fields(x, type, i, (const char *const[]){"relation", NULL});
}

static bool call(struct fx *x, uint32_t i) {
    set_kind(x, POL_K_CALL, "CALL", POL_EXECUTE);
    writes(x);
    x->c.s->opaque = true;
    return fx_walk_fields(x, NT_CallStmt, i, NULL);
}

static bool code_block(struct fx *x) {
    set_kind(x, POL_K_DO, "DO", POL_EXECUTE);
    writes(x);
    x->c.s->opaque = true;
    return true;
}

static bool into_clause(struct fx *x, uint32_t fields) {
    for (; fields != 0; fields = jt_get(x->t, fields, "larg"))
        if (jt_get(x->t, fields, "intoClause") != 0) return true;
    return false;
}

/* LIMIT ALL and LIMIT NULL are none. An expression may be NULL, so it counts for none. */
static bool has_limit(const struct fx *x, uint32_t fields) {
    uint32_t limit;
    enum pg_node type = fx_node(x, jt_get(x->t, fields, "limitCount"), &limit);
    return type == NT_ParamRef || (type == NT_A_Const && (jt_get(x->t, limit, "ival") != 0 || jt_get(x->t, limit, "fval") != 0));
}

static bool query_statement(struct fx *x, enum pg_node type, uint32_t fields, bool *known) {
    *known = true;
    switch (type) {
    case NT_SelectStmt:
        if (!fx_named_settings(x, fields)) return false;
        x->c.s->limited = has_limit(x, fields);
        set_kind(x, POL_K_SELECT, into_clause(x, fields) ? "SELECT INTO" : "SELECT", 0);
        break;
    case NT_InsertStmt: set_kind(x, POL_K_INSERT, "INSERT", 0); break;
    case NT_UpdateStmt: set_kind(x, POL_K_UPDATE, "UPDATE", 0); break;
    case NT_DeleteStmt: set_kind(x, POL_K_DELETE, "DELETE", 0); break;
    case NT_MergeStmt: set_kind(x, POL_K_MERGE, "MERGE", 0); break;
    default: *known = false; return true;
    }
    return fx_walk_as(x, type, fields);
}

static bool other_statement(struct fx *x, enum pg_node type, uint32_t i) {
    switch (type) {
    case NT_VariableSetStmt: return variable_set(x, i);
    case NT_VariableShowStmt: return variable_show(x, i);
    case NT_TransactionStmt: return transaction(x, i);
    case NT_ConstraintsSetStmt: /* names constraints, not relations, whatever their node type */
        return set_kind(x, POL_K_TRANSACTION, "SET CONSTRAINTS", 0);
    case NT_DiscardStmt: return discard(x, i);
    case NT_ExplainStmt: return inner_statement(x, jt_get(x->t, i, "query"), POL_K_EXPLAIN, "EXPLAIN");
    case NT_PrepareStmt: return prepare(x, i);
    case NT_ExecuteStmt: return execute(x, i);
    case NT_DeallocateStmt: return deallocate(x, i);
    case NT_DeclareCursorStmt: return declare(x, i);
    case NT_FetchStmt: return fetch(x, i);
    case NT_ClosePortalStmt: return close_portal(x, i);
    case NT_CopyStmt: return copy(x, i);
    case NT_TruncateStmt: return truncate_tables(x, i);
    case NT_LockStmt: return lock_tables(x, i);
    case NT_VacuumStmt: return vacuum(x, i);
    case NT_RefreshMatViewStmt: return maintain(x, type, i, "REFRESH MATERIALIZED VIEW", POL_MAINTAIN);
    case NT_ClusterStmt: return maintain(x, type, i, "CLUSTER", POL_ALTER);
    case NT_ReindexStmt: return maintain(x, type, i, "REINDEX", POL_ALTER);
    case NT_CheckPointStmt: writes(x); return set_kind(x, POL_K_MAINTAIN, "CHECKPOINT", POL_MAINTAIN);
    case NT_CallStmt: return call(x, i);
    case NT_DoStmt: return code_block(x);
    case NT_NotifyStmt: writes(x); return set_kind(x, POL_K_NOTIFY, "NOTIFY", POL_NOTIFY);
    case NT_ListenStmt: return set_kind(x, POL_K_NOTIFY, "LISTEN", POL_NOTIFY);
    case NT_UnlistenStmt: /* only stops hearing: drivers reset a session with it */ return set_kind(x, POL_K_NOTIFY, "UNLISTEN", 0);
    default:
        return fx_fail(x, POL_NOT_UNDERSTOOD, "the statement %s is not understood", type != NT_NONE ? pg_node_name(type) : "of this kind");
    }
}

bool fx_statement(struct fx *x, uint32_t node) {
    uint32_t fields;
    enum pg_node type = fx_node(x, node, &fields);
    bool known = false;
    if (!query_statement(x, type, fields, &known)) return false;
    if (!known && !fx_ddl(x, type, fields, &known)) return false;
    return known || other_statement(x, type, fields);
}
