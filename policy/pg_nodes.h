/* The node types of PostgreSQL 15's raw parse trees, as libpg_query prints them, with every field that the grammar can fill. Whatever is not in this
 * table is not understood, and so denied: a new field of a newer libpg_query shows up as a refusal, never as something overlooked.
 *
 * Made from libpg_query 15-4.0.0's pg_query.proto, without the nodes and fields that only parse analysis fills. */
#ifndef GH_POLICY_PG_NODES_H
#define GH_POLICY_PG_NODES_H

#include <stddef.h>
#include <stdint.h>

// clang-format off
#define PG_NODE_TYPES(X) \
    X(A_ArrayExpr) X(A_Const) X(A_Expr) X(A_Indices) X(A_Indirection) X(A_Star) X(AccessPriv) X(Alias) X(AlterCollationStmt) \
    X(AlterDatabaseRefreshCollStmt) X(AlterDatabaseSetStmt) X(AlterDatabaseStmt) X(AlterDefaultPrivilegesStmt) X(AlterDomainStmt) \
    X(AlterEnumStmt) X(AlterEventTrigStmt) X(AlterExtensionContentsStmt) X(AlterExtensionStmt) X(AlterFdwStmt) X(AlterForeignServerStmt) \
    X(AlterFunctionStmt) X(AlterObjectDependsStmt) X(AlterObjectSchemaStmt) X(AlterOpFamilyStmt) X(AlterOperatorStmt) X(AlterOwnerStmt) \
    X(AlterPolicyStmt) X(AlterPublicationStmt) X(AlterRoleSetStmt) X(AlterRoleStmt) X(AlterSeqStmt) X(AlterStatsStmt) \
    X(AlterSubscriptionStmt) X(AlterSystemStmt) X(AlterTSConfigurationStmt) X(AlterTSDictionaryStmt) X(AlterTableCmd) \
    X(AlterTableMoveAllStmt) X(AlterTableSpaceOptionsStmt) X(AlterTableStmt) X(AlterTypeStmt) X(AlterUserMappingStmt) X(BitString) \
    X(BoolExpr) X(Boolean) X(BooleanTest) X(CTECycleClause) X(CTESearchClause) X(CallStmt) X(CaseExpr) X(CaseWhen) X(CheckPointStmt) \
    X(ClosePortalStmt) X(ClusterStmt) X(CoalesceExpr) X(CollateClause) X(ColumnDef) X(ColumnRef) X(CommentStmt) X(CommonTableExpr) \
    X(CompositeTypeStmt) X(Constraint) X(ConstraintsSetStmt) X(CopyStmt) X(CreateAmStmt) X(CreateCastStmt) X(CreateConversionStmt) \
    X(CreateDomainStmt) X(CreateEnumStmt) X(CreateEventTrigStmt) X(CreateExtensionStmt) X(CreateFdwStmt) X(CreateForeignServerStmt) \
    X(CreateForeignTableStmt) X(CreateFunctionStmt) X(CreateOpClassStmt) X(CreateOpFamilyStmt) X(CreatePLangStmt) X(CreatePolicyStmt) \
    X(CreatePublicationStmt) X(CreateRangeStmt) X(CreateRoleStmt) X(CreateSchemaStmt) X(CreateSeqStmt) X(CreateStatsStmt) X(CreateStmt) \
    X(CreateSubscriptionStmt) X(CreateTableAsStmt) X(CreateTableSpaceStmt) X(CreateTransformStmt) X(CreateTrigStmt) \
    X(CreateUserMappingStmt) X(CreatedbStmt) X(CurrentOfExpr) X(DeallocateStmt) X(DeclareCursorStmt) X(DefElem) X(DefineStmt) \
    X(DeleteStmt) X(DiscardStmt) X(DoStmt) X(DropOwnedStmt) X(DropRoleStmt) X(DropStmt) X(DropSubscriptionStmt) X(DropTableSpaceStmt) \
    X(DropUserMappingStmt) X(DropdbStmt) X(ExecuteStmt) X(ExplainStmt) X(FetchStmt) X(Float) X(FuncCall) X(FunctionParameter) \
    X(GrantRoleStmt) X(GrantStmt) X(GroupingFunc) X(GroupingSet) X(ImportForeignSchemaStmt) X(IndexElem) X(IndexStmt) X(InferClause) \
    X(InsertStmt) X(Integer) X(IntoClause) X(JoinExpr) X(List) X(ListenStmt) X(LoadStmt) X(LockStmt) X(LockingClause) X(MergeStmt) \
    X(MergeWhenClause) X(MinMaxExpr) X(MultiAssignRef) X(NamedArgExpr) X(NotifyStmt) X(NullTest) X(ObjectWithArgs) X(OnConflictClause) \
    X(ParamRef) X(PartitionBoundSpec) X(PartitionCmd) X(PartitionElem) X(PartitionRangeDatum) X(PartitionSpec) X(PrepareStmt) \
    X(PublicationObjSpec) X(PublicationTable) X(RangeFunction) X(RangeSubselect) X(RangeTableFunc) X(RangeTableFuncCol) \
    X(RangeTableSample) X(RangeVar) X(RawStmt) X(ReassignOwnedStmt) X(RefreshMatViewStmt) X(ReindexStmt) X(RenameStmt) \
    X(ReplicaIdentityStmt) X(ResTarget) X(ReturnStmt) X(RoleSpec) X(RowExpr) X(RuleStmt) X(SQLValueFunction) X(SecLabelStmt) \
    X(SelectStmt) X(SetToDefault) X(SortBy) X(StatsElem) X(String) X(SubLink) X(TableLikeClause) X(TransactionStmt) X(TruncateStmt) \
    X(TypeCast) X(TypeName) X(UnlistenStmt) X(UpdateStmt) X(VacuumRelation) X(VacuumStmt) X(VariableSetStmt) X(VariableShowStmt) \
    X(ViewStmt) X(WindowDef) X(WithClause) X(XmlExpr) X(XmlSerialize)
// clang-format on

enum pg_node {
    NT_NONE,
#define X(name) NT_##name,
    PG_NODE_TYPES(X)
#undef X
        NT_COUNT
};

enum pg_field_kind {
    PG_SCALAR = 1, /* a number, word, text: holds no node */
    PG_NODE,       /* {"Type": {...}}, or a list of such */
    PG_TYPED,      /* {...}: the fields of the type that the table names */
};
struct pg_field {
    const char *name;
    uint8_t len, kind;
    uint8_t type; /* PG_TYPED: enum pg_node */
};

/* The type called name; NT_NONE when it is not in the table. */
enum pg_node pg_node_of(const char *name, size_t len);
const char *pg_node_name(enum pg_node type);
/* NULL when the type has no such field. */
const struct pg_field *pg_field_of(enum pg_node type, const char *name, size_t len);

#endif
