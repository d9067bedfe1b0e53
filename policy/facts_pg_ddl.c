/* Data definition and privileges: what is created, altered, dropped, granted. Most of it names objects that are no relations; then
 * the action stands for itself and only a rule for everything grants it. What makes code or reaches outside is opaque. */
#include "policy/facts_pg.h"

#include <string.h>

#define OPAQUE 1u

static const struct {
    enum pg_node type;
    const char *tag;
    unsigned actions; /* of the statement as a whole */
    unsigned access;  /* to every relation that it names */
    unsigned flags;
} simple[] = {
    {NT_AlterTableMoveAllStmt, "ALTER TABLE ALL", POL_ALTER, 0, OPAQUE},
    {NT_AlterDomainStmt, "ALTER DOMAIN", POL_ALTER, 0, 0},
    {NT_AlterEnumStmt, "ALTER TYPE", POL_ALTER, 0, 0},
    {NT_AlterTypeStmt, "ALTER TYPE", POL_ALTER, 0, OPAQUE},
    {NT_AlterCollationStmt, "ALTER COLLATION", POL_ALTER, 0, 0},
    {NT_AlterStatsStmt, "ALTER STATISTICS", POL_ALTER, 0, 0},
    {NT_AlterTSDictionaryStmt, "ALTER TEXT SEARCH DICTIONARY", POL_ALTER, 0, OPAQUE},
    {NT_AlterTSConfigurationStmt, "ALTER TEXT SEARCH CONFIGURATION", POL_ALTER, 0, 0},
    {NT_AlterFunctionStmt, "ALTER FUNCTION", POL_ALTER, 0, OPAQUE},
    {NT_AlterOperatorStmt, "ALTER OPERATOR", POL_ALTER, 0, OPAQUE},
    {NT_AlterEventTrigStmt, "ALTER EVENT TRIGGER", POL_ALTER, 0, OPAQUE},
    {NT_AlterExtensionStmt, "ALTER EXTENSION", POL_ALTER, 0, OPAQUE},
    {NT_AlterExtensionContentsStmt, "ALTER EXTENSION", POL_ALTER, 0, OPAQUE},
    {NT_AlterFdwStmt, "ALTER FOREIGN DATA WRAPPER", POL_ALTER, 0, OPAQUE},
    {NT_AlterForeignServerStmt, "ALTER SERVER", POL_ALTER, 0, OPAQUE},
    {NT_AlterUserMappingStmt, "ALTER USER MAPPING", POL_ALTER, 0, OPAQUE},
    {NT_AlterTableSpaceOptionsStmt, "ALTER TABLESPACE", POL_ALTER, 0, OPAQUE},
    {NT_AlterPublicationStmt, "ALTER PUBLICATION", POL_ALTER, POL_SELECT, OPAQUE},
    {NT_AlterSubscriptionStmt, "ALTER SUBSCRIPTION", POL_ALTER, 0, OPAQUE},
    {NT_AlterDatabaseStmt, "ALTER DATABASE", POL_ALTER, 0, OPAQUE},
    {NT_AlterDatabaseRefreshCollStmt, "ALTER DATABASE", POL_ALTER, 0, OPAQUE},
    {NT_AlterPolicyStmt, "ALTER POLICY", POL_GRANT, POL_ALTER, 0},
    {NT_CreatePolicyStmt, "CREATE POLICY", POL_GRANT, POL_ALTER, 0},
    {NT_CreateDomainStmt, "CREATE DOMAIN", POL_CREATE, 0, 0},
    {NT_CreateEnumStmt, "CREATE TYPE", POL_CREATE, 0, 0},
    {NT_CompositeTypeStmt, "CREATE TYPE", 0, POL_CREATE, 0},
    {NT_CreateRangeStmt, "CREATE TYPE", POL_CREATE, 0, OPAQUE},
    {NT_DefineStmt, "CREATE", POL_CREATE, 0, OPAQUE},
    {NT_CreateStatsStmt, "CREATE STATISTICS", 0, POL_ALTER, 0},
    {NT_IndexStmt, "CREATE INDEX", 0, POL_CREATE, 0},
    {NT_AlterSeqStmt, "ALTER SEQUENCE", 0, POL_ALTER, 0},
    {NT_CreatedbStmt, "CREATE DATABASE", POL_CREATE, 0, OPAQUE},
    {NT_DropdbStmt, "DROP DATABASE", POL_DROP, 0, OPAQUE},
    {NT_CreateTableSpaceStmt, "CREATE TABLESPACE", POL_CREATE | POL_FILES, 0, OPAQUE},
    {NT_DropTableSpaceStmt, "DROP TABLESPACE", POL_DROP, 0, OPAQUE},
    {NT_CreatePLangStmt, "CREATE LANGUAGE", POL_CREATE, 0, OPAQUE},
    {NT_CreateConversionStmt, "CREATE CONVERSION", POL_CREATE, 0, OPAQUE},
    {NT_CreateCastStmt, "CREATE CAST", POL_CREATE, 0, OPAQUE},
    {NT_CreateOpFamilyStmt, "CREATE OPERATOR FAMILY", POL_CREATE, 0, OPAQUE},
    {NT_CreateTransformStmt, "CREATE TRANSFORM", POL_CREATE, 0, OPAQUE},
    {NT_CreateAmStmt, "CREATE ACCESS METHOD", POL_CREATE, 0, OPAQUE},
    {NT_CreateFdwStmt, "CREATE FOREIGN DATA WRAPPER", POL_CREATE, 0, OPAQUE},
    {NT_CreateForeignServerStmt, "CREATE SERVER", POL_CREATE, 0, OPAQUE},
    {NT_CreateUserMappingStmt, "CREATE USER MAPPING", POL_CREATE, 0, OPAQUE},
    {NT_DropUserMappingStmt, "DROP USER MAPPING", POL_DROP, 0, OPAQUE},
    {NT_CreateExtensionStmt, "CREATE EXTENSION", POL_CREATE, 0, OPAQUE},
    {NT_CreateEventTrigStmt, "CREATE EVENT TRIGGER", POL_CREATE, 0, OPAQUE},
    {NT_CreatePublicationStmt, "CREATE PUBLICATION", POL_CREATE, POL_SELECT, OPAQUE},
    {NT_CreateSubscriptionStmt, "CREATE SUBSCRIPTION", POL_CREATE, 0, OPAQUE},
    {NT_DropSubscriptionStmt, "DROP SUBSCRIPTION", POL_DROP, 0, OPAQUE},
    {NT_CreateRoleStmt, "CREATE ROLE", POL_GRANT, 0, 0},
    {NT_AlterRoleStmt, "ALTER ROLE", POL_GRANT, 0, 0},
    {NT_DropRoleStmt, "DROP ROLE", POL_GRANT, 0, 0},
    {NT_GrantRoleStmt, "GRANT ROLE", POL_GRANT, 0, 0},
    {NT_ReassignOwnedStmt, "REASSIGN OWNED", POL_GRANT, 0, OPAQUE},
    {NT_DropOwnedStmt, "DROP OWNED", POL_GRANT | POL_DROP, 0, OPAQUE},
};

/* Statements whose inside is not looked at: another session's settings, code, someone else's tables. */
static const struct {
    enum pg_node type;
    const char *tag;
    unsigned actions;
} closed[] = {
    {NT_CreateFunctionStmt, "CREATE FUNCTION", POL_CREATE},
    {NT_CreateOpClassStmt, "CREATE OPERATOR CLASS", POL_CREATE},
    {NT_AlterOpFamilyStmt, "ALTER OPERATOR FAMILY", POL_ALTER},
    {NT_ImportForeignSchemaStmt, "IMPORT FOREIGN SCHEMA", POL_CREATE},
    {NT_LoadStmt, "LOAD", POL_FILES},
    {NT_AlterSystemStmt, "ALTER SYSTEM", POL_SET},
    {NT_AlterDatabaseSetStmt, "ALTER DATABASE", POL_ALTER | POL_SET},
    {NT_AlterRoleSetStmt, "ALTER ROLE", POL_GRANT | POL_SET},
    {NT_AlterDefaultPrivilegesStmt, "ALTER DEFAULT PRIVILEGES", POL_GRANT},
    {NT_AlterObjectDependsStmt, "ALTER", POL_ALTER},
    {NT_SecLabelStmt, "SECURITY LABEL", POL_GRANT},
};

#define ROWS (POL_SELECT | POL_INSERT | POL_UPDATE | POL_DELETE)

/* What the statement makes goes on using what the text names. */
static void keeps(struct fx *x, unsigned carries) {
    x->c.s->keeps = true;
    x->c.s->carries |= carries;
}

static bool start(struct fx *x, enum pol_kind kind, const char *tag, unsigned actions) {
    x->c.s->kind = kind;
    x->c.s->tag = tag;
    x->c.s->actions |= actions;
    x->c.s->reads_only = false;
    return true;
}

static bool is_relation_type(const struct fx *x, uint32_t i) {
    static const char *const types[] = {"OBJECT_TABLE",    "OBJECT_VIEW",          "OBJECT_MATVIEW",
                                        "OBJECT_SEQUENCE", "OBJECT_FOREIGN_TABLE", "OBJECT_INDEX"};
    for (size_t k = 0; k < sizeof types / sizeof *types; k++)
        if (jt_str_is(x->t, i, types[k])) return true;
    return false;
}

/* What belongs to a relation and is named by it: TABLE name . OBJECT name. */
static bool is_part_type(const struct fx *x, uint32_t i) {
    static const char *const types[] = {"OBJECT_COLUMN", "OBJECT_TRIGGER", "OBJECT_RULE", "OBJECT_POLICY", "OBJECT_TABCONSTRAINT"};
    for (size_t k = 0; k < sizeof types / sizeof *types; k++)
        if (jt_str_is(x->t, i, types[k])) return true;
    return false;
}

/* An object given as a list of names; without being a relation, or a part of one, it needs the action as such. */
static bool named_object(struct fx *x, uint32_t type, uint32_t object, unsigned action) {
    const char *parts[4];
    uint32_t fields;
    bool whole = is_relation_type(x, type), part = is_part_type(x, type);
    if (!whole && !part) {
        x->c.s->actions |= action;
        return true;
    }
    if (fx_node(x, object, &fields) != NT_List) return fx_fail(x, POL_NOT_UNDERSTOOD, "%s of this object is not understood", x->c.s->tag);
    size_t n = fx_parts(x, jt_get(x->t, fields, "items"), parts, 4);
    if (n > 4 || n < (part ? 2u : 1u)) return fx_fail(x, POL_NOT_UNDERSTOOD, "%s of this object is not understood", x->c.s->tag);
    return fx_named_relation(x, parts, part ? n - 1 : n, part && action == POL_DROP ? POL_ALTER : action, x->c.s->location);
}

static bool drop(struct fx *x, uint32_t i) {
    start(x, POL_K_DDL, "DROP", 0);
    uint32_t type = jt_get(x->t, i, "removeType"), objects = jt_get(x->t, i, "objects");
    static const struct {
        const char *type, *tag;
    } tags[] = {{"OBJECT_TABLE", "DROP TABLE"},
                {"OBJECT_VIEW", "DROP VIEW"},
                {"OBJECT_INDEX", "DROP INDEX"},
                {"OBJECT_SCHEMA", "DROP SCHEMA"},
                {"OBJECT_FUNCTION", "DROP FUNCTION"},
                {"OBJECT_SEQUENCE", "DROP SEQUENCE"},
                {"OBJECT_MATVIEW", "DROP MATERIALIZED VIEW"},
                {"OBJECT_TYPE", "DROP TYPE"},
                {"OBJECT_TRIGGER", "DROP TRIGGER"},
                {"OBJECT_EXTENSION", "DROP EXTENSION"}};
    for (size_t k = 0; k < sizeof tags / sizeof *tags; k++)
        if (jt_str_is(x->t, type, tags[k].type)) x->c.s->tag = tags[k].tag;
    /* CASCADE drops what the statement does not name */
    if (jt_str_is(x->t, jt_get(x->t, i, "behavior"), "DROP_CASCADE")) x->c.s->opaque = true;
    for (uint32_t c = objects + 1; objects != 0 && c < jt_end(x->t, objects); c = jt_skip(x->t, c))
        if (!named_object(x, type, c, POL_DROP)) return false;
    return true;
}

static bool comment(struct fx *x, uint32_t i) {
    start(x, POL_K_DDL, "COMMENT", 0);
    return named_object(x, jt_get(x->t, i, "objtype"), jt_get(x->t, i, "object"), POL_ALTER);
}

/* The relation under another name or in another schema: that one must be creatable, so that no rule can be walked around by renaming. */
static bool moved(struct fx *x, uint32_t rel, const char *schema, const char *name) {
    if (schema == NULL && jt_get(x->t, rel, "schemaname") != 0) schema = fx_text(x, jt_get(x->t, rel, "schemaname"));
    if (name == NULL) name = fx_text(x, jt_get(x->t, rel, "relname"));
    if (name == NULL) return fx_fail(x, POL_NOT_UNDERSTOOD, "a relation without a name is not understood");
    return fx_relation(x, schema, name, POL_CREATE, fx_location(x, rel));
}

static bool rename_object(struct fx *x, uint32_t i) {
    uint32_t type = jt_get(x->t, i, "renameType"), rel = jt_get(x->t, i, "relation");
    start(x, POL_K_DDL, "RENAME", 0);
    if (jt_str_is(x->t, jt_get(x->t, i, "behavior"), "DROP_CASCADE")) x->c.s->opaque = true;
    if (rel == 0) {
        x->c.s->actions |= jt_str_is(x->t, type, "OBJECT_ROLE") ? POL_GRANT : POL_ALTER;
        if (jt_str_is(x->t, type, "OBJECT_SCHEMA")) x->c.s->opaque = true; /* moves every relation in it */
        return true;
    }
    if (!fx_target(x, rel, POL_ALTER)) return false;
    if (!is_relation_type(x, type)) return true;
    x->c.s->moves = true;
    const char *name = fx_text(x, jt_get(x->t, i, "newname"));
    return name != NULL ? moved(x, rel, NULL, name) : fx_fail(x, POL_NOT_UNDERSTOOD, "a RENAME without a name is not understood");
}

static bool set_schema(struct fx *x, uint32_t i) {
    uint32_t rel = jt_get(x->t, i, "relation");
    start(x, POL_K_DDL, "ALTER ... SET SCHEMA", 0);
    if (rel == 0) {
        x->c.s->actions |= POL_ALTER;
        x->c.s->opaque = true; /* functions, extensions */
        return true;
    }
    const char *schema = fx_text(x, jt_get(x->t, i, "newschema"));
    if (schema == NULL) return fx_fail(x, POL_NOT_UNDERSTOOD, "a SET SCHEMA without a name is not understood");
    x->c.s->moves = true;
    return fx_target(x, rel, POL_ALTER) && moved(x, rel, schema, NULL);
}

static bool owner(struct fx *x, uint32_t i) {
    start(x, POL_K_GRANT, "ALTER ... OWNER TO", POL_GRANT);
    return fx_target(x, jt_get(x->t, i, "relation"), POL_ALTER);
}

static bool grant(struct fx *x, uint32_t i) {
    start(x, POL_K_GRANT, jt_bool(x->t, jt_get(x->t, i, "is_grant")) ? "GRANT" : "REVOKE", 0);
    uint32_t objects = jt_get(x->t, i, "objects"), type = jt_get(x->t, i, "objtype");
    bool relations = (jt_str_is(x->t, type, "OBJECT_TABLE") || jt_str_is(x->t, type, "OBJECT_SEQUENCE")) &&
                     jt_str_is(x->t, jt_get(x->t, i, "targtype"), "ACL_TARGET_OBJECT");
    if (!relations) {
        x->c.s->actions |= POL_GRANT;
        return true;
    }
    for (uint32_t c = objects + 1; objects != 0 && c < jt_end(x->t, objects); c = jt_skip(x->t, c)) {
        uint32_t fields;
        if (fx_node(x, c, &fields) != NT_RangeVar) return fx_fail(x, POL_NOT_UNDERSTOOD, "a GRANT on this object is not understood");
        if (!fx_target(x, fields, POL_GRANT)) return false;
    }
    return true;
}

static bool create_table(struct fx *x, uint32_t i) {
    start(x, POL_K_DDL, "CREATE TABLE", 0);
    keeps(x, 0);
    x->access = POL_ALTER; /* INHERITS, PARTITION OF */
    x->c.s->moves = jt_get(x->t, i, "inhRelations") != 0;
    if (jt_get(x->t, i, "partbound") != 0) x->c.s->tells = POL_ALTER; /* rows of the default partition */
    return fx_created(x, jt_get(x->t, i, "relation")) && fx_walk_fields(x, NT_CreateStmt, i, (const char *const[]){"relation", NULL});
}

static bool create_foreign_table(struct fx *x, uint32_t i) {
    if (!create_table(x, jt_get(x->t, i, "base"))) return false;
    x->c.s->opaque = true;
    return start(x, POL_K_DDL, "CREATE FOREIGN TABLE", POL_CREATE);
}

static bool create_sequence(struct fx *x, uint32_t i) {
    start(x, POL_K_DDL, "CREATE SEQUENCE", 0);
    return fx_created(x, jt_get(x->t, i, "sequence")) && fx_walk_fields(x, NT_CreateSeqStmt, i, (const char *const[]){"sequence", NULL});
}

static bool create_table_as(struct fx *x, uint32_t i) {
    uint32_t into = jt_get(x->t, i, "into");
    if (!fx_statement(x, jt_get(x->t, i, "query"))) return false; /* a query, or EXECUTE */
    bool matview = jt_str_is(x->t, jt_get(x->t, i, "objtype"), "OBJECT_MATVIEW");
    start(x, POL_K_DDL, matview ? "CREATE MATERIALIZED VIEW" : "CREATE TABLE AS", 0);
    if (matview) keeps(x, POL_SELECT); /* REFRESH reads again */
    return fx_into(x, into);
}

static bool create_view(struct fx *x, uint32_t i) {
    start(x, POL_K_DDL, "CREATE VIEW", 0);
    keeps(x, ROWS); /* which views can be written through is the server's to say, and differs between versions */
    uint32_t view = jt_get(x->t, i, "view");
    bool replace = jt_bool(x->t, jt_get(x->t, i, "replace")) && !jt_str_is(x->t, jt_get(x->t, view, "relpersistence"), "t") &&
                   !jt_str_is(x->t, jt_get(x->t, view, "schemaname"), "pg_temp");
    if (replace && !fx_target(x, view, POL_DROP)) return false; /* others read what was there */
    return fx_created(x, view) && fx_walk_fields(x, NT_ViewStmt, i, (const char *const[]){"view", NULL});
}

static bool create_schema(struct fx *x, uint32_t i) {
    start(x, POL_K_DDL, "CREATE SCHEMA", POL_CREATE);
    /* its elements' plain names mean the new schema's objects */
    if (jt_get(x->t, i, "schemaElts") != 0 || jt_get(x->t, i, "authrole") != 0) x->c.s->opaque = true;
    return true;
}

static bool create_trigger(struct fx *x, uint32_t i) {
    start(x, POL_K_DDL, "CREATE TRIGGER", 0);
    x->c.s->opaque = true;
    return fx_target(x, jt_get(x->t, i, "relation"), POL_ALTER);
}

static bool create_rule(struct fx *x, uint32_t i) {
    start(x, POL_K_DDL, "CREATE RULE", 0);
    x->c.s->opaque = true;
    return fx_target(x, jt_get(x->t, i, "relation"), POL_ALTER);
}

/* Only such constraints of a new column as no row can be at odds with. */
static bool quiet_column(const struct fx *x, uint32_t def) {
    static const char *const quiet[] = {"CONSTR_NULL", "CONSTR_NOTNULL", "CONSTR_DEFAULT", "CONSTR_IDENTITY"};
    uint32_t fields, list;
    if (fx_node(x, def, &fields) != NT_ColumnDef) return false;
    list = jt_get(x->t, fields, "constraints");
    for (uint32_t c = list + 1; list != 0 && c < jt_end(x->t, list); c = jt_skip(x->t, c)) {
        bool is = false;
        if (fx_node(x, c, &fields) != NT_Constraint) return false;
        for (size_t k = 0; k < sizeof quiet / sizeof *quiet; k++) is = is || jt_str_is(x->t, jt_get(x->t, fields, "contype"), quiet[k]);
        if (!is) return false;
    }
    return true;
}

/* An ALTER TABLE action that evaluates nothing on rows, and compares none. */
static bool quiet_action(const struct fx *x, uint32_t cmd) {
    static const char *const quiet[] = {
        "AT_AddIdentity",
        "AT_AddInherit",
        "AT_AddOf",
        "AT_AlterConstraint",
        "AT_ChangeOwner",
        "AT_ClusterOn",
        "AT_ColumnDefault",
        "AT_DetachPartition",
        "AT_DetachPartitionFinalize",
        "AT_DisableRowSecurity",
        "AT_DisableRule",
        "AT_DisableTrig",
        "AT_DisableTrigAll",
        "AT_DisableTrigUser",
        "AT_DropCluster",
        "AT_DropColumn",
        "AT_DropConstraint",
        "AT_DropExpression",
        "AT_DropIdentity",
        "AT_DropInherit",
        "AT_DropNotNull",
        "AT_DropOf",
        "AT_DropOids",
        "AT_EnableAlwaysRule",
        "AT_EnableAlwaysTrig",
        "AT_EnableReplicaRule",
        "AT_EnableReplicaTrig",
        "AT_EnableRowSecurity",
        "AT_EnableRule",
        "AT_EnableTrig",
        "AT_EnableTrigAll",
        "AT_EnableTrigUser",
        "AT_ForceRowSecurity",
        "AT_GenericOptions",
        "AT_NoForceRowSecurity",
        "AT_ReplicaIdentity",
        "AT_ResetOptions",
        "AT_ResetRelOptions",
        "AT_SetAccessMethod",
        "AT_SetCompression",
        "AT_SetIdentity",
        "AT_SetLogged",
        "AT_SetOptions",
        "AT_SetRelOptions",
        "AT_SetStatistics",
        "AT_SetStorage",
        "AT_SetTableSpace",
        "AT_SetUnLogged",
    };
    uint32_t subtype = jt_get(x->t, cmd, "subtype");
    if (subtype == 0 || jt_str_is(x->t, subtype, "AT_AddColumn")) return quiet_column(x, jt_get(x->t, cmd, "def"));
    for (size_t k = 0; k < sizeof quiet / sizeof *quiet; k++)
        if (jt_str_is(x->t, subtype, quiet[k])) return true;
    return false;
}

static bool alter_table(struct fx *x, uint32_t i) {
    start(x, POL_K_DDL, "ALTER TABLE", 0);
    uint32_t cmds = jt_get(x->t, i, "cmds"), fields;
    keeps(x, 0);
    x->access = POL_ALTER;
    for (uint32_t c = cmds + 1; cmds != 0 && c < jt_end(x->t, cmds); c = jt_skip(x->t, c)) {
        if (fx_node(x, c, &fields) != NT_AlterTableCmd) return fx_fail(x, POL_NOT_UNDERSTOOD, "an ALTER TABLE action is not understood");
        uint32_t subtype = jt_get(x->t, fields, "subtype");
        if (!quiet_action(x, fields)) x->c.s->tells = POL_ALTER;
        if (jt_str_is(x->t, subtype, "AT_ChangeOwner")) x->c.s->actions |= POL_GRANT;
        if (jt_str_is(x->t, subtype, "AT_AddInherit") || jt_str_is(x->t, subtype, "AT_AttachPartition")) x->c.s->moves = true;
        if (jt_str_is(x->t, jt_get(x->t, fields, "behavior"), "DROP_CASCADE")) x->c.s->opaque = true;
    }
    return fx_walk_fields(x, NT_AlterTableStmt, i, NULL);
}

/* Of columns as they are, and of rows that may be alike, it fails for none. */
static bool quiet_index(const struct fx *x, uint32_t i) {
    uint32_t fields, list = jt_get(x->t, i, "indexParams"), method = jt_get(x->t, i, "accessMethod");
    if (jt_bool(x->t, jt_get(x->t, i, "unique")) || jt_get(x->t, i, "whereClause") != 0) return false;
    if (method != 0 && !jt_str_is(x->t, method, "btree") && !jt_str_is(x->t, method, "hash")) return false;
    for (uint32_t c = list + 1; list != 0 && c < jt_end(x->t, list); c = jt_skip(x->t, c))
        if (fx_node(x, c, &fields) != NT_IndexElem || jt_get(x->t, fields, "expr") != 0) return false;
    return true;
}

static bool simple_statement(struct fx *x, enum pg_node type, uint32_t i, bool *known) {
    for (size_t k = 0; k < sizeof closed / sizeof *closed; k++) {
        if (closed[k].type != type) continue;
        x->c.s->opaque = true;
        return start(x, POL_K_DDL, closed[k].tag, closed[k].actions);
    }
    for (size_t k = 0; k < sizeof simple / sizeof *simple; k++) {
        if (simple[k].type != type) continue;
        start(x, (simple[k].actions & POL_GRANT) != 0 ? POL_K_GRANT : POL_K_DDL, simple[k].tag, simple[k].actions);
        if (simple[k].flags & OPAQUE) x->c.s->opaque = true;
        keeps(x, 0); /* expressions of indexes, domains, policies */
        if (type == NT_IndexStmt && !quiet_index(x, i)) x->c.s->tells = POL_CREATE;
        x->access = simple[k].access != 0 ? simple[k].access : POL_ALTER;
        return fx_walk_fields(x, type, i, NULL);
    }
    *known = false;
    return true;
}

bool fx_ddl(struct fx *x, enum pg_node type, uint32_t i, bool *known) {
    *known = true;
    switch (type) {
    case NT_DropStmt: return drop(x, i);
    case NT_CommentStmt: return comment(x, i);
    case NT_RenameStmt: return rename_object(x, i);
    case NT_AlterObjectSchemaStmt: return set_schema(x, i);
    case NT_AlterOwnerStmt: return owner(x, i);
    case NT_GrantStmt: return grant(x, i);
    case NT_CreateStmt: return create_table(x, i);
    case NT_CreateForeignTableStmt: return create_foreign_table(x, i);
    case NT_CreateSeqStmt: return create_sequence(x, i);
    case NT_CreateTableAsStmt: return create_table_as(x, i);
    case NT_ViewStmt: return create_view(x, i);
    case NT_CreateSchemaStmt: return create_schema(x, i);
    case NT_CreateTrigStmt: return create_trigger(x, i);
    case NT_RuleStmt: return create_rule(x, i);
    case NT_AlterTableStmt: return alter_table(x, i);
    default: return simple_statement(x, type, i, known);
    }
}
