#include "policy/pg_nodes.h"

#include <string.h>

#define S(n)                                                                                                                               \
    { n, sizeof n - 1, PG_SCALAR, NT_NONE }
#define N(n)                                                                                                                               \
    { n, sizeof n - 1, PG_NODE, NT_NONE }
#define T(n, t)                                                                                                                            \
    { n, sizeof n - 1, PG_TYPED, NT_##t }
#define END                                                                                                                                \
    { NULL, 0, 0, NT_NONE }

_Static_assert(NT_COUNT <= UINT8_MAX, "pg_field.type is a byte");

// clang-format off
static const struct pg_field f_A_ArrayExpr[] = {N("elements"), S("location"), END};
static const struct pg_field f_A_Const[] = {T("ival", Integer), T("fval", Float), T("boolval", Boolean), T("sval", String),
    T("bsval", BitString), S("isnull"), S("location"), END};
static const struct pg_field f_A_Expr[] = {S("kind"), N("name"), N("lexpr"), N("rexpr"), S("location"), END};
static const struct pg_field f_A_Indices[] = {S("is_slice"), N("lidx"), N("uidx"), END};
static const struct pg_field f_A_Indirection[] = {N("arg"), N("indirection"), END};
static const struct pg_field f_A_Star[] = {END};
static const struct pg_field f_AccessPriv[] = {S("priv_name"), N("cols"), END};
static const struct pg_field f_Alias[] = {S("aliasname"), N("colnames"), END};
static const struct pg_field f_AlterCollationStmt[] = {N("collname"), END};
static const struct pg_field f_AlterDatabaseRefreshCollStmt[] = {S("dbname"), END};
static const struct pg_field f_AlterDatabaseSetStmt[] = {S("dbname"), T("setstmt", VariableSetStmt), END};
static const struct pg_field f_AlterDatabaseStmt[] = {S("dbname"), N("options"), END};
static const struct pg_field f_AlterDefaultPrivilegesStmt[] = {N("options"), T("action", GrantStmt), END};
static const struct pg_field f_AlterDomainStmt[] = {S("subtype"), N("typeName"), S("name"), N("def"), S("behavior"), S("missing_ok"),
    END};
static const struct pg_field f_AlterEnumStmt[] = {N("typeName"), S("oldVal"), S("newVal"), S("newValNeighbor"), S("newValIsAfter"),
    S("skipIfNewValExists"), END};
static const struct pg_field f_AlterEventTrigStmt[] = {S("trigname"), S("tgenabled"), END};
static const struct pg_field f_AlterExtensionContentsStmt[] = {S("extname"), S("action"), S("objtype"), N("object"), END};
static const struct pg_field f_AlterExtensionStmt[] = {S("extname"), N("options"), END};
static const struct pg_field f_AlterFdwStmt[] = {S("fdwname"), N("func_options"), N("options"), END};
static const struct pg_field f_AlterForeignServerStmt[] = {S("servername"), S("version"), N("options"), S("has_version"), END};
static const struct pg_field f_AlterFunctionStmt[] = {S("objtype"), T("func", ObjectWithArgs), N("actions"), END};
static const struct pg_field f_AlterObjectDependsStmt[] = {S("objectType"), T("relation", RangeVar), N("object"), T("extname", String),
    S("remove"), END};
static const struct pg_field f_AlterObjectSchemaStmt[] = {S("objectType"), T("relation", RangeVar), N("object"), S("newschema"),
    S("missing_ok"), END};
static const struct pg_field f_AlterOpFamilyStmt[] = {N("opfamilyname"), S("amname"), S("isDrop"), N("items"), END};
static const struct pg_field f_AlterOperatorStmt[] = {T("opername", ObjectWithArgs), N("options"), END};
static const struct pg_field f_AlterOwnerStmt[] = {S("objectType"), T("relation", RangeVar), N("object"), T("newowner", RoleSpec), END};
static const struct pg_field f_AlterPolicyStmt[] = {S("policy_name"), T("table", RangeVar), N("roles"), N("qual"), N("with_check"), END};
static const struct pg_field f_AlterPublicationStmt[] = {S("pubname"), N("options"), N("pubobjects"), S("for_all_tables"), S("action"),
    END};
static const struct pg_field f_AlterRoleSetStmt[] = {T("role", RoleSpec), S("database"), T("setstmt", VariableSetStmt), END};
static const struct pg_field f_AlterRoleStmt[] = {T("role", RoleSpec), N("options"), S("action"), END};
static const struct pg_field f_AlterSeqStmt[] = {T("sequence", RangeVar), N("options"), S("for_identity"), S("missing_ok"), END};
static const struct pg_field f_AlterStatsStmt[] = {N("defnames"), S("stxstattarget"), S("missing_ok"), END};
static const struct pg_field f_AlterSubscriptionStmt[] = {S("kind"), S("subname"), S("conninfo"), N("publication"), N("options"), END};
static const struct pg_field f_AlterSystemStmt[] = {T("setstmt", VariableSetStmt), END};
static const struct pg_field f_AlterTSConfigurationStmt[] = {S("kind"), N("cfgname"), N("tokentype"), N("dicts"), S("override"),
    S("replace"), S("missing_ok"), END};
static const struct pg_field f_AlterTSDictionaryStmt[] = {N("dictname"), N("options"), END};
static const struct pg_field f_AlterTableCmd[] = {S("subtype"), S("name"), S("num"), T("newowner", RoleSpec), N("def"), S("behavior"),
    S("missing_ok"), S("recurse"), END};
static const struct pg_field f_AlterTableMoveAllStmt[] = {S("orig_tablespacename"), S("objtype"), N("roles"), S("new_tablespacename"),
    S("nowait"), END};
static const struct pg_field f_AlterTableSpaceOptionsStmt[] = {S("tablespacename"), N("options"), S("isReset"), END};
static const struct pg_field f_AlterTableStmt[] = {T("relation", RangeVar), N("cmds"), S("objtype"), S("missing_ok"), END};
static const struct pg_field f_AlterTypeStmt[] = {N("typeName"), N("options"), END};
static const struct pg_field f_AlterUserMappingStmt[] = {T("user", RoleSpec), S("servername"), N("options"), END};
static const struct pg_field f_BitString[] = {S("bsval"), END};
static const struct pg_field f_BoolExpr[] = {S("boolop"), N("args"), S("location"), END};
static const struct pg_field f_Boolean[] = {S("boolval"), END};
static const struct pg_field f_BooleanTest[] = {N("arg"), S("booltesttype"), S("location"), END};
static const struct pg_field f_CTECycleClause[] = {N("cycle_col_list"), S("cycle_mark_column"), N("cycle_mark_value"),
    N("cycle_mark_default"), S("cycle_path_column"), S("location"), END};
static const struct pg_field f_CTESearchClause[] = {N("search_col_list"), S("search_breadth_first"), S("search_seq_column"),
    S("location"), END};
static const struct pg_field f_CallStmt[] = {T("funccall", FuncCall), END};
static const struct pg_field f_CaseExpr[] = {N("arg"), N("args"), N("defresult"), S("location"), END};
static const struct pg_field f_CaseWhen[] = {N("expr"), N("result"), S("location"), END};
static const struct pg_field f_CheckPointStmt[] = {END};
static const struct pg_field f_ClosePortalStmt[] = {S("portalname"), END};
static const struct pg_field f_ClusterStmt[] = {T("relation", RangeVar), S("indexname"), N("params"), END};
static const struct pg_field f_CoalesceExpr[] = {N("args"), S("location"), END};
static const struct pg_field f_CollateClause[] = {N("arg"), N("collname"), S("location"), END};
static const struct pg_field f_ColumnDef[] = {S("colname"), T("typeName", TypeName), S("compression"), S("inhcount"), S("is_local"),
    S("is_not_null"), S("is_from_type"), S("storage"), N("raw_default"), S("identity"), T("identitySequence", RangeVar), S("generated"),
    T("collClause", CollateClause), N("constraints"), N("fdwoptions"), S("location"), END};
static const struct pg_field f_ColumnRef[] = {N("fields"), S("location"), END};
static const struct pg_field f_CommentStmt[] = {S("objtype"), N("object"), S("comment"), END};
static const struct pg_field f_CommonTableExpr[] = {S("ctename"), N("aliascolnames"), S("ctematerialized"), N("ctequery"),
    T("search_clause", CTESearchClause), T("cycle_clause", CTECycleClause), S("location"), END};
static const struct pg_field f_CompositeTypeStmt[] = {T("typevar", RangeVar), N("coldeflist"), END};
static const struct pg_field f_Constraint[] = {S("contype"), S("conname"), S("deferrable"), S("initdeferred"), S("location"),
    S("is_no_inherit"), N("raw_expr"), S("generated_when"), S("nulls_not_distinct"), N("keys"), N("including"), N("exclusions"),
    N("options"), S("indexname"), S("indexspace"), S("reset_default_tblspc"), S("access_method"), N("where_clause"),
    T("pktable", RangeVar), N("fk_attrs"), N("pk_attrs"), S("fk_matchtype"), S("fk_upd_action"), S("fk_del_action"),
    N("fk_del_set_cols"), S("skip_validation"), S("initially_valid"), END};
static const struct pg_field f_ConstraintsSetStmt[] = {N("constraints"), S("deferred"), END};
static const struct pg_field f_CopyStmt[] = {T("relation", RangeVar), N("query"), N("attlist"), S("is_from"), S("is_program"),
    S("filename"), N("options"), N("whereClause"), END};
static const struct pg_field f_CreateAmStmt[] = {S("amname"), N("handler_name"), S("amtype"), END};
static const struct pg_field f_CreateCastStmt[] = {T("sourcetype", TypeName), T("targettype", TypeName), T("func", ObjectWithArgs),
    S("context"), S("inout"), END};
static const struct pg_field f_CreateConversionStmt[] = {N("conversion_name"), S("for_encoding_name"), S("to_encoding_name"),
    N("func_name"), S("def"), END};
static const struct pg_field f_CreateDomainStmt[] = {N("domainname"), T("typeName", TypeName), T("collClause", CollateClause),
    N("constraints"), END};
static const struct pg_field f_CreateEnumStmt[] = {N("typeName"), N("vals"), END};
static const struct pg_field f_CreateEventTrigStmt[] = {S("trigname"), S("eventname"), N("whenclause"), N("funcname"), END};
static const struct pg_field f_CreateExtensionStmt[] = {S("extname"), S("if_not_exists"), N("options"), END};
static const struct pg_field f_CreateFdwStmt[] = {S("fdwname"), N("func_options"), N("options"), END};
static const struct pg_field f_CreateForeignServerStmt[] = {S("servername"), S("servertype"), S("version"), S("fdwname"),
    S("if_not_exists"), N("options"), END};
static const struct pg_field f_CreateForeignTableStmt[] = {T("base", CreateStmt), S("servername"), N("options"), END};
static const struct pg_field f_CreateFunctionStmt[] = {S("is_procedure"), S("replace"), N("funcname"), N("parameters"),
    T("returnType", TypeName), N("options"), N("sql_body"), END};
static const struct pg_field f_CreateOpClassStmt[] = {N("opclassname"), N("opfamilyname"), S("amname"), T("datatype", TypeName),
    N("items"), S("isDefault"), END};
static const struct pg_field f_CreateOpFamilyStmt[] = {N("opfamilyname"), S("amname"), END};
static const struct pg_field f_CreatePLangStmt[] = {S("replace"), S("plname"), N("plhandler"), N("plinline"), N("plvalidator"),
    S("pltrusted"), END};
static const struct pg_field f_CreatePolicyStmt[] = {S("policy_name"), T("table", RangeVar), S("cmd_name"), S("permissive"), N("roles"),
    N("qual"), N("with_check"), END};
static const struct pg_field f_CreatePublicationStmt[] = {S("pubname"), N("options"), N("pubobjects"), S("for_all_tables"), END};
static const struct pg_field f_CreateRangeStmt[] = {N("typeName"), N("params"), END};
static const struct pg_field f_CreateRoleStmt[] = {S("stmt_type"), S("role"), N("options"), END};
static const struct pg_field f_CreateSchemaStmt[] = {S("schemaname"), T("authrole", RoleSpec), N("schemaElts"), S("if_not_exists"), END};
static const struct pg_field f_CreateSeqStmt[] = {T("sequence", RangeVar), N("options"), S("for_identity"), S("if_not_exists"), END};
static const struct pg_field f_CreateStatsStmt[] = {N("defnames"), N("stat_types"), N("exprs"), N("relations"), S("stxcomment"),
    S("if_not_exists"), END};
static const struct pg_field f_CreateStmt[] = {T("relation", RangeVar), N("tableElts"), N("inhRelations"),
    T("partbound", PartitionBoundSpec), T("partspec", PartitionSpec), T("ofTypename", TypeName), N("constraints"), N("options"),
    S("oncommit"), S("tablespacename"), S("accessMethod"), S("if_not_exists"), END};
static const struct pg_field f_CreateSubscriptionStmt[] = {S("subname"), S("conninfo"), N("publication"), N("options"), END};
static const struct pg_field f_CreateTableAsStmt[] = {N("query"), T("into", IntoClause), S("objtype"), S("is_select_into"),
    S("if_not_exists"), END};
static const struct pg_field f_CreateTableSpaceStmt[] = {S("tablespacename"), T("owner", RoleSpec), S("location"), N("options"), END};
static const struct pg_field f_CreateTransformStmt[] = {S("replace"), T("type_name", TypeName), S("lang"), T("fromsql", ObjectWithArgs),
    T("tosql", ObjectWithArgs), END};
static const struct pg_field f_CreateTrigStmt[] = {S("replace"), S("isconstraint"), S("trigname"), T("relation", RangeVar),
    N("funcname"), N("args"), S("row"), S("timing"), S("events"), N("columns"), N("whenClause"), N("transitionRels"), S("deferrable"),
    S("initdeferred"), T("constrrel", RangeVar), END};
static const struct pg_field f_CreateUserMappingStmt[] = {T("user", RoleSpec), S("servername"), S("if_not_exists"), N("options"), END};
static const struct pg_field f_CreatedbStmt[] = {S("dbname"), N("options"), END};
static const struct pg_field f_CurrentOfExpr[] = {S("cursor_name"), S("cursor_param"), END};
static const struct pg_field f_DeallocateStmt[] = {S("name"), END};
static const struct pg_field f_DeclareCursorStmt[] = {S("portalname"), S("options"), N("query"), END};
static const struct pg_field f_DefElem[] = {S("defnamespace"), S("defname"), N("arg"), S("defaction"), S("location"), END};
static const struct pg_field f_DefineStmt[] = {S("kind"), S("oldstyle"), N("defnames"), N("args"), N("definition"), S("if_not_exists"),
    S("replace"), END};
static const struct pg_field f_DeleteStmt[] = {T("relation", RangeVar), N("usingClause"), N("whereClause"), N("returningList"),
    T("withClause", WithClause), END};
static const struct pg_field f_DiscardStmt[] = {S("target"), END};
static const struct pg_field f_DoStmt[] = {N("args"), END};
static const struct pg_field f_DropOwnedStmt[] = {N("roles"), S("behavior"), END};
static const struct pg_field f_DropRoleStmt[] = {N("roles"), S("missing_ok"), END};
static const struct pg_field f_DropStmt[] = {N("objects"), S("removeType"), S("behavior"), S("missing_ok"), S("concurrent"), END};
static const struct pg_field f_DropSubscriptionStmt[] = {S("subname"), S("missing_ok"), S("behavior"), END};
static const struct pg_field f_DropTableSpaceStmt[] = {S("tablespacename"), S("missing_ok"), END};
static const struct pg_field f_DropUserMappingStmt[] = {T("user", RoleSpec), S("servername"), S("missing_ok"), END};
static const struct pg_field f_DropdbStmt[] = {S("dbname"), S("missing_ok"), N("options"), END};
static const struct pg_field f_ExecuteStmt[] = {S("name"), N("params"), END};
static const struct pg_field f_ExplainStmt[] = {N("query"), N("options"), END};
static const struct pg_field f_FetchStmt[] = {S("direction"), S("howMany"), S("portalname"), S("ismove"), END};
static const struct pg_field f_Float[] = {S("fval"), END};
static const struct pg_field f_FuncCall[] = {N("funcname"), N("args"), N("agg_order"), N("agg_filter"), T("over", WindowDef),
    S("agg_within_group"), S("agg_star"), S("agg_distinct"), S("func_variadic"), S("funcformat"), S("location"), END};
static const struct pg_field f_FunctionParameter[] = {S("name"), T("argType", TypeName), S("mode"), N("defexpr"), END};
static const struct pg_field f_GrantRoleStmt[] = {N("granted_roles"), N("grantee_roles"), S("is_grant"), S("admin_opt"),
    T("grantor", RoleSpec), S("behavior"), END};
static const struct pg_field f_GrantStmt[] = {S("is_grant"), S("targtype"), S("objtype"), N("objects"), N("privileges"), N("grantees"),
    S("grant_option"), T("grantor", RoleSpec), S("behavior"), END};
static const struct pg_field f_GroupingFunc[] = {N("args"), S("location"), END};
static const struct pg_field f_GroupingSet[] = {S("kind"), N("content"), S("location"), END};
static const struct pg_field f_ImportForeignSchemaStmt[] = {S("server_name"), S("remote_schema"), S("local_schema"), S("list_type"),
    N("table_list"), N("options"), END};
static const struct pg_field f_IndexElem[] = {S("name"), N("expr"), S("indexcolname"), N("collation"), N("opclass"), N("opclassopts"),
    S("ordering"), S("nulls_ordering"), END};
static const struct pg_field f_IndexStmt[] = {S("idxname"), T("relation", RangeVar), S("accessMethod"), S("tableSpace"),
    N("indexParams"), N("indexIncludingParams"), N("options"), N("whereClause"), N("excludeOpNames"), S("idxcomment"), S("unique"),
    S("nulls_not_distinct"), S("primary"), S("isconstraint"), S("deferrable"), S("initdeferred"), S("concurrent"), S("if_not_exists"),
    S("reset_default_tblspc"), END};
static const struct pg_field f_InferClause[] = {N("indexElems"), N("whereClause"), S("conname"), S("location"), END};
static const struct pg_field f_InsertStmt[] = {T("relation", RangeVar), N("cols"), N("selectStmt"),
    T("onConflictClause", OnConflictClause), N("returningList"), T("withClause", WithClause), S("override"), END};
static const struct pg_field f_Integer[] = {S("ival"), END};
static const struct pg_field f_IntoClause[] = {T("rel", RangeVar), N("colNames"), S("accessMethod"), N("options"), S("onCommit"),
    S("tableSpaceName"), S("skipData"), END};
static const struct pg_field f_JoinExpr[] = {S("jointype"), S("isNatural"), N("larg"), N("rarg"), N("usingClause"),
    T("join_using_alias", Alias), N("quals"), T("alias", Alias), END};
static const struct pg_field f_List[] = {N("items"), END};
static const struct pg_field f_ListenStmt[] = {S("conditionname"), END};
static const struct pg_field f_LoadStmt[] = {S("filename"), END};
static const struct pg_field f_LockStmt[] = {N("relations"), S("mode"), S("nowait"), END};
static const struct pg_field f_LockingClause[] = {N("lockedRels"), S("strength"), S("waitPolicy"), END};
static const struct pg_field f_MergeStmt[] = {T("relation", RangeVar), N("sourceRelation"), N("joinCondition"), N("mergeWhenClauses"),
    T("withClause", WithClause), END};
static const struct pg_field f_MergeWhenClause[] = {S("matched"), S("commandType"), S("override"), N("condition"), N("targetList"),
    N("values"), END};
static const struct pg_field f_MinMaxExpr[] = {S("op"), N("args"), S("location"), END};
static const struct pg_field f_MultiAssignRef[] = {N("source"), S("colno"), S("ncolumns"), END};
static const struct pg_field f_NamedArgExpr[] = {N("arg"), S("name"), S("argnumber"), S("location"), END};
static const struct pg_field f_NotifyStmt[] = {S("conditionname"), S("payload"), END};
static const struct pg_field f_NullTest[] = {N("arg"), S("nulltesttype"), S("location"), END};
static const struct pg_field f_ObjectWithArgs[] = {N("objname"), N("objargs"), N("objfuncargs"), S("args_unspecified"), END};
static const struct pg_field f_OnConflictClause[] = {S("action"), T("infer", InferClause), N("targetList"), N("whereClause"),
    S("location"), END};
static const struct pg_field f_ParamRef[] = {S("number"), S("location"), END};
static const struct pg_field f_PartitionBoundSpec[] = {S("strategy"), S("is_default"), S("modulus"), S("remainder"), N("listdatums"),
    N("lowerdatums"), N("upperdatums"), S("location"), END};
static const struct pg_field f_PartitionCmd[] = {T("name", RangeVar), T("bound", PartitionBoundSpec), S("concurrent"), END};
static const struct pg_field f_PartitionElem[] = {S("name"), N("expr"), N("collation"), N("opclass"), S("location"), END};
static const struct pg_field f_PartitionRangeDatum[] = {S("kind"), N("value"), S("location"), END};
static const struct pg_field f_PartitionSpec[] = {S("strategy"), N("partParams"), S("location"), END};
static const struct pg_field f_PrepareStmt[] = {S("name"), N("argtypes"), N("query"), END};
static const struct pg_field f_PublicationObjSpec[] = {S("pubobjtype"), S("name"), T("pubtable", PublicationTable), S("location"), END};
static const struct pg_field f_PublicationTable[] = {T("relation", RangeVar), N("whereClause"), N("columns"), END};
static const struct pg_field f_RangeFunction[] = {S("lateral"), S("ordinality"), S("is_rowsfrom"), N("functions"), T("alias", Alias),
    N("coldeflist"), END};
static const struct pg_field f_RangeSubselect[] = {S("lateral"), N("subquery"), T("alias", Alias), END};
static const struct pg_field f_RangeTableFunc[] = {S("lateral"), N("docexpr"), N("rowexpr"), N("namespaces"), N("columns"),
    T("alias", Alias), S("location"), END};
static const struct pg_field f_RangeTableFuncCol[] = {S("colname"), T("typeName", TypeName), S("for_ordinality"), S("is_not_null"),
    N("colexpr"), N("coldefexpr"), S("location"), END};
static const struct pg_field f_RangeTableSample[] = {N("relation"), N("method"), N("args"), N("repeatable"), S("location"), END};
static const struct pg_field f_RangeVar[] = {S("catalogname"), S("schemaname"), S("relname"), S("inh"), S("relpersistence"),
    T("alias", Alias), S("location"), END};
static const struct pg_field f_RawStmt[] = {N("stmt"), S("stmt_location"), S("stmt_len"), END};
static const struct pg_field f_ReassignOwnedStmt[] = {N("roles"), T("newrole", RoleSpec), END};
static const struct pg_field f_RefreshMatViewStmt[] = {S("concurrent"), S("skipData"), T("relation", RangeVar), END};
static const struct pg_field f_ReindexStmt[] = {S("kind"), T("relation", RangeVar), S("name"), N("params"), END};
static const struct pg_field f_RenameStmt[] = {S("renameType"), S("relationType"), T("relation", RangeVar), N("object"), S("subname"),
    S("newname"), S("behavior"), S("missing_ok"), END};
static const struct pg_field f_ReplicaIdentityStmt[] = {S("identity_type"), S("name"), END};
static const struct pg_field f_ResTarget[] = {S("name"), N("indirection"), N("val"), S("location"), END};
static const struct pg_field f_ReturnStmt[] = {N("returnval"), END};
static const struct pg_field f_RoleSpec[] = {S("roletype"), S("rolename"), S("location"), END};
static const struct pg_field f_RowExpr[] = {N("args"), S("row_format"), N("colnames"), S("location"), END};
static const struct pg_field f_RuleStmt[] = {T("relation", RangeVar), S("rulename"), N("whereClause"), S("event"), S("instead"),
    N("actions"), S("replace"), END};
static const struct pg_field f_SQLValueFunction[] = {S("op"), S("type"), S("typmod"), S("location"), END};
static const struct pg_field f_SecLabelStmt[] = {S("objtype"), N("object"), S("provider"), S("label"), END};
static const struct pg_field f_SelectStmt[] = {N("distinctClause"), T("intoClause", IntoClause), N("targetList"), N("fromClause"),
    N("whereClause"), N("groupClause"), S("groupDistinct"), N("havingClause"), N("windowClause"), N("valuesLists"), N("sortClause"),
    N("limitOffset"), N("limitCount"), S("limitOption"), N("lockingClause"), T("withClause", WithClause), S("op"), S("all"),
    T("larg", SelectStmt), T("rarg", SelectStmt), END};
static const struct pg_field f_SetToDefault[] = {S("typeMod"), S("collation"), S("location"), END};
static const struct pg_field f_SortBy[] = {N("node"), S("sortby_dir"), S("sortby_nulls"), N("useOp"), S("location"), END};
static const struct pg_field f_StatsElem[] = {S("name"), N("expr"), END};
static const struct pg_field f_String[] = {S("sval"), END};
static const struct pg_field f_SubLink[] = {S("subLinkType"), N("testexpr"), N("operName"), N("subselect"), S("location"), END};
static const struct pg_field f_TableLikeClause[] = {T("relation", RangeVar), S("options"), END};
static const struct pg_field f_TransactionStmt[] = {S("kind"), N("options"), S("savepoint_name"), S("gid"), S("chain"), END};
static const struct pg_field f_TruncateStmt[] = {N("relations"), S("restart_seqs"), S("behavior"), END};
static const struct pg_field f_TypeCast[] = {N("arg"), T("typeName", TypeName), S("location"), END};
static const struct pg_field f_TypeName[] = {N("names"), S("setof"), S("pct_type"), N("typmods"), S("typemod"), N("arrayBounds"),
    S("location"), END};
static const struct pg_field f_UnlistenStmt[] = {S("conditionname"), END};
static const struct pg_field f_UpdateStmt[] = {T("relation", RangeVar), N("targetList"), N("whereClause"), N("fromClause"),
    N("returningList"), T("withClause", WithClause), END};
static const struct pg_field f_VacuumRelation[] = {T("relation", RangeVar), S("oid"), N("va_cols"), END};
static const struct pg_field f_VacuumStmt[] = {N("options"), N("rels"), S("is_vacuumcmd"), END};
static const struct pg_field f_VariableSetStmt[] = {S("kind"), S("name"), N("args"), S("is_local"), END};
static const struct pg_field f_VariableShowStmt[] = {S("name"), END};
static const struct pg_field f_ViewStmt[] = {T("view", RangeVar), N("aliases"), N("query"), S("replace"), N("options"),
    S("withCheckOption"), END};
static const struct pg_field f_WindowDef[] = {S("name"), S("refname"), N("partitionClause"), N("orderClause"), S("frameOptions"),
    N("startOffset"), N("endOffset"), S("location"), END};
static const struct pg_field f_WithClause[] = {N("ctes"), S("recursive"), S("location"), END};
static const struct pg_field f_XmlExpr[] = {S("op"), S("name"), N("named_args"), N("arg_names"), N("args"), S("xmloption"), S("type"),
    S("typmod"), S("location"), END};
static const struct pg_field f_XmlSerialize[] = {S("xmloption"), N("expr"), T("typeName", TypeName), S("location"), END};
// clang-format on

static const struct {
    const char *name;
    size_t len;
    const struct pg_field *fields;
} nodes[NT_COUNT] = {{"", 0, NULL},
#define X(name) {#name, sizeof #name - 1, f_##name},
                     PG_NODE_TYPES(X)
#undef X
};

/* name -> type: found some ten thousand times for a long statement. Filled before main(), read by all threads. */
#define SLOTS 1024u
static uint8_t slots[SLOTS];

static size_t slot_of(const char *name, size_t len) {
    uint32_t h = (uint32_t)len;
    for (size_t i = 0; i < len; i++) h = h * 31 + (unsigned char)name[i];
    return (h ^ h >> 10) & (SLOTS - 1);
}

__attribute__((constructor)) static void fill_slots(void) {
    for (size_t i = 1; i < NT_COUNT; i++) {
        size_t at = slot_of(nodes[i].name, nodes[i].len);
        while (slots[at] != NT_NONE) at = (at + 1) & (SLOTS - 1);
        slots[at] = (uint8_t)i;
    }
}

enum pg_node pg_node_of(const char *name, size_t len) {
    for (size_t at = slot_of(name, len); slots[at] != NT_NONE; at = (at + 1) & (SLOTS - 1))
        if (nodes[slots[at]].len == len && memcmp(nodes[slots[at]].name, name, len) == 0) return (enum pg_node)slots[at];
    return NT_NONE;
}

const char *pg_node_name(enum pg_node type) { return type < NT_COUNT ? nodes[type].name : ""; }

const struct pg_field *pg_field_of(enum pg_node type, const char *name, size_t len) {
    for (const struct pg_field *f = nodes[type].fields; f->name != NULL; f++)
        if (f->len == len && memcmp(f->name, name, len) == 0) return f;
    return NULL;
}
