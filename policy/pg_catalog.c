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
bool pg_information_schema_harmless(const char *relation) { return POL_IN(information_schema, relation); }

const char *pg_catalog_out_of_order(void) {
    const char *word = NULL;
    if (word == NULL) word = POL_OUT_OF_ORDER(harmless);
    if (word == NULL) word = POL_OUT_OF_ORDER(information_schema);
    return word;
}
