#include "policy/pg_catalog.h"

#include "policy/words.h"

#include <stddef.h>
#include <string.h>

/* The relations of PostgreSQL 15's pg_catalog that psql's \d commands, drivers and ORMs read. Not here, and so in need of a grant of their own:
 * pg_stats, pg_statistic, pg_statistic_ext_data, pg_stats_ext (samples of column values); pg_stat_*, pg_locks, pg_prepared_xacts, pg_cursors,
 * pg_prepared_statements (statements, other sessions); pg_sequences (last values); pg_authid, pg_shadow, pg_user_mapping(s),
 * pg_subscription, pg_foreign_server, pg_foreign_table, pg_db_role_setting (secrets, ways out); pg_largeobject(_metadata) (data);
 * pg_file_settings, pg_hba_file_rules, pg_ident_file_mappings, pg_config (files); pg_seclabel(s), pg_replication_*; pg_settings (primary_conninfo and commands, to a login role with
 * rights on the server: SHOW of the harmless ones is enough). */
// clang-format off
static const char *const harmless[] = {
    "pg_aggregate", "pg_am", "pg_amop", "pg_amproc", "pg_attrdef", "pg_attribute", "pg_auth_members", "pg_available_extension_versions",
    "pg_available_extensions", "pg_cast", "pg_class", "pg_collation", "pg_constraint", "pg_conversion", "pg_database", "pg_default_acl",
    "pg_depend", "pg_description", "pg_enum", "pg_event_trigger", "pg_extension", "pg_foreign_data_wrapper", "pg_group",
    "pg_index", "pg_indexes", "pg_inherits", "pg_init_privs", "pg_language", "pg_matviews", "pg_namespace", "pg_opclass",
    "pg_operator", "pg_opfamily", "pg_parameter_acl", "pg_partitioned_table", "pg_policies", "pg_policy", "pg_proc", "pg_publication",
    "pg_publication_namespace", "pg_publication_rel", "pg_publication_tables", "pg_range", "pg_rewrite", "pg_roles", "pg_rules",
    "pg_sequence", "pg_shdepend", "pg_shdescription", "pg_statistic_ext", "pg_tables", "pg_tablespace", "pg_timezone_abbrevs",
    "pg_timezone_names", "pg_transform", "pg_trigger", "pg_ts_config", "pg_ts_config_map", "pg_ts_dict", "pg_ts_parser", "pg_ts_template",
    "pg_type", "pg_user", "pg_views",
};

/* The others, in every PostgreSQL from 13 to 18: they need a grant, and an unqualified name means them. */
static const char *const others[] = {
    "pg_authid", "pg_config", "pg_cursors", "pg_db_role_setting", "pg_file_settings", "pg_foreign_server", "pg_foreign_table",
    "pg_hba_file_rules", "pg_largeobject", "pg_largeobject_metadata", "pg_locks", "pg_prepared_statements", "pg_prepared_xacts",
    "pg_replication_origin", "pg_replication_origin_status", "pg_replication_slots", "pg_seclabel", "pg_seclabels", "pg_sequences",
    "pg_settings", "pg_shadow", "pg_shmem_allocations", "pg_shseclabel", "pg_stat_activity", "pg_stat_all_indexes",
    "pg_stat_all_tables", "pg_stat_archiver", "pg_stat_bgwriter", "pg_stat_database", "pg_stat_database_conflicts", "pg_stat_gssapi",
    "pg_stat_progress_analyze", "pg_stat_progress_basebackup", "pg_stat_progress_cluster", "pg_stat_progress_create_index",
    "pg_stat_progress_vacuum", "pg_stat_replication", "pg_stat_slru", "pg_stat_ssl", "pg_stat_subscription", "pg_stat_sys_indexes",
    "pg_stat_sys_tables", "pg_stat_user_functions", "pg_stat_user_indexes", "pg_stat_user_tables", "pg_stat_wal_receiver",
    "pg_stat_xact_all_tables", "pg_stat_xact_sys_tables", "pg_stat_xact_user_functions", "pg_stat_xact_user_tables",
    "pg_statio_all_indexes", "pg_statio_all_sequences", "pg_statio_all_tables", "pg_statio_sys_indexes", "pg_statio_sys_sequences",
    "pg_statio_sys_tables", "pg_statio_user_indexes", "pg_statio_user_sequences", "pg_statio_user_tables", "pg_statistic",
    "pg_statistic_ext_data", "pg_stats", "pg_stats_ext", "pg_subscription", "pg_subscription_rel", "pg_user_mapping",
    "pg_user_mappings",
};

/* Not here: the option views of foreign servers, tables and user mappings (passwords). */
static const char *const information_schema[] = {
    "administrable_role_authorizations", "applicable_roles", "attributes", "character_sets", "check_constraint_routine_usage",
    "check_constraints", "collation_character_set_applicability", "collations", "column_column_usage", "column_domain_usage",
    "column_privileges", "column_udt_usage", "columns", "constraint_column_usage", "constraint_table_usage", "data_type_privileges",
    "domain_constraints", "domain_udt_usage", "domains", "element_types", "enabled_roles", "foreign_data_wrappers", "foreign_tables",
    "information_schema_catalog_name", "key_column_usage", "parameters", "referential_constraints", "role_column_grants",
    "role_routine_grants", "role_table_grants", "role_udt_grants", "role_usage_grants", "routine_column_usage", "routine_privileges",
    "routine_routine_usage", "routine_sequence_usage", "routine_table_usage", "routines", "schemata", "sequences", "sql_features",
    "sql_implementation_info", "sql_parts", "sql_sizing", "table_constraints", "table_privileges", "tables", "transforms",
    "triggered_update_columns", "triggers", "udt_privileges", "usage_privileges", "user_defined_types", "view_column_usage",
    "view_routine_usage", "view_table_usage", "views",
};
// clang-format on

bool pg_catalog_harmless(const char *relation) { return POL_IN(harmless, relation); }
bool pg_catalog_relation(const char *relation) { return POL_IN(harmless, relation) || POL_IN(others, relation); }
bool pg_information_schema_harmless(const char *relation) { return POL_IN(information_schema, relation); }

const char *pg_catalog_out_of_order(void) {
    const char *word = NULL;
    if (word == NULL) word = POL_OUT_OF_ORDER(harmless);
    if (word == NULL) word = POL_OUT_OF_ORDER(information_schema);
    if (word == NULL) word = POL_OUT_OF_ORDER(others);
    return word;
}
