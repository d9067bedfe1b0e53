#include "policy/my_reference.h"

#include "policy/words.h"

#include <string.h>
#include <strings.h>

/* Taken from the servers themselves, by asking each for every name (MariaDB 10.11 and MySQL 9.7); t/mysql asks again. Harmless means the same as for PostgreSQL:
 * computes from its arguments, the clock, a random generator, and what the session itself knows; reads no relation, file or other session,
 * writes nothing, takes no lock, does not wait, runs no text as SQL. */
// clang-format off
static const char *const harmless[] = {
    "abs", "acos", "adddate", "addtime", "aes_decrypt", "aes_encrypt", "ascii", "asin", "atan", "atan2", "avg", "bin", "bit_and",
    "bit_count", "bit_length", "bit_or", "bit_xor", "cast", "ceil", "ceiling", "char", "char_length", "character_length", "charset",
    "coalesce", "coercibility", "collation", "compress", "concat", "concat_ws", "connection_id", "conv", "convert", "convert_tz",
    "cos", "cot", "count", "crc32", "cume_dist", "curdate", "current_date", "current_role", "current_time", "current_timestamp",
    "current_user", "curtime", "database", "date", "date_add", "date_format", "date_sub", "datediff", "day", "dayname", "dayofmonth",
    "dayofweek", "dayofyear", "degrees", "dense_rank", "elt", "exp", "export_set", "extract", "extractvalue", "field", "find_in_set",
    "first_value", "floor", "format", "found_rows", "from_base64", "from_days", "from_unixtime", "geometrycollection", "get_format",
    "greatest", "group_concat", "hex", "hour", "if", "ifnull", "inet6_aton", "inet6_ntoa", "inet_aton", "inet_ntoa", "insert", "instr",
    "interval", "is_ipv4", "is_ipv4_compat", "is_ipv4_mapped", "is_ipv6", "isnull", "json_array", "json_array_append",
    "json_array_insert", "json_arrayagg", "json_contains", "json_contains_path", "json_depth", "json_extract", "json_insert",
    "json_keys", "json_length", "json_merge", "json_merge_patch", "json_merge_preserve", "json_object", "json_objectagg",
    "json_overlaps", "json_pretty", "json_quote", "json_remove", "json_replace", "json_search", "json_set", "json_type",
    "json_unquote", "json_valid", "json_value", "lag", "last_day", "last_insert_id", "last_value", "lcase", "lead", "least", "left",
    "length", "linestring", "ln", "localtime", "localtimestamp", "locate", "log", "log10", "log2", "lower", "lpad", "ltrim",
    "make_set", "makedate", "maketime", "max", "mbrcontains", "mbrdisjoint", "mbrequals", "mbrintersects", "mbroverlaps", "mbrtouches",
    "mbrwithin", "microsecond", "mid", "min", "minute", "mod", "month", "monthname", "multilinestring", "multipoint", "multipolygon",
    "name_const", "now", "nth_value", "ntile", "nullif", "oct", "octet_length", "ord", "percent_rank", "period_add", "period_diff",
    "pi", "point", "polygon", "position", "pow", "power", "quarter", "quote", "radians", "rand", "random_bytes", "rank",
    "regexp_instr", "regexp_replace", "regexp_substr", "repeat", "replace", "reverse", "right", "round", "row_count", "row_number",
    "rpad", "rtrim", "schema", "sec_to_time", "second", "session_user", "sha2", "sign", "sin", "soundex", "space", "sqrt", "st_area",
    "st_asbinary", "st_asgeojson", "st_astext", "st_aswkb", "st_aswkt", "st_buffer", "st_centroid", "st_contains", "st_convexhull",
    "st_crosses", "st_difference", "st_dimension", "st_disjoint", "st_distance", "st_distance_sphere", "st_endpoint", "st_envelope",
    "st_equals", "st_exteriorring", "st_geomcollfromtext", "st_geomcollfromwkb", "st_geometrycollectionfromtext",
    "st_geometrycollectionfromwkb", "st_geometryfromtext", "st_geometryfromwkb", "st_geometryn", "st_geometrytype",
    "st_geomfromgeojson", "st_geomfromtext", "st_geomfromwkb", "st_interiorringn", "st_intersection", "st_intersects", "st_isclosed",
    "st_isempty", "st_issimple", "st_length", "st_linefromtext", "st_linefromwkb", "st_linestringfromtext", "st_linestringfromwkb",
    "st_mlinefromtext", "st_mlinefromwkb", "st_mpointfromtext", "st_mpointfromwkb", "st_mpolyfromtext", "st_mpolyfromwkb",
    "st_multilinestringfromtext", "st_multilinestringfromwkb", "st_multipointfromtext", "st_multipointfromwkb",
    "st_multipolygonfromtext", "st_multipolygonfromwkb", "st_numgeometries", "st_numinteriorrings", "st_numpoints", "st_overlaps",
    "st_pointfromtext", "st_pointfromwkb", "st_pointn", "st_polyfromtext", "st_polyfromwkb", "st_polygonfromtext", "st_polygonfromwkb",
    "st_srid", "st_startpoint", "st_symdifference", "st_touches", "st_union", "st_within", "st_x", "st_y", "std", "stddev",
    "stddev_pop", "stddev_samp", "str_to_date", "strcmp", "subdate", "substr", "substring", "substring_index", "subtime", "sum",
    "sysdate", "system_user", "tan", "time", "time_format", "time_to_sec", "timediff", "timestamp", "timestampadd", "timestampdiff",
    "to_base64", "to_days", "to_seconds", "trim", "truncate", "ucase", "uncompress", "uncompressed_length", "unhex", "unix_timestamp",
    "updatexml", "upper", "user", "utc_date", "utc_time", "utc_timestamp", "uuid", "uuid_short", "values", "var_pop", "var_samp",
    "variance", "version", "week", "weekday", "weekofyear", "weight_string", "year", "yearweek",
};

static const char *const harmless_mysql[] = {
    "any_value", "bin_to_uuid", "cube", "etag", "format_bytes", "format_pico_time", "from_vector", "grouping", "gtid_subset",
    "gtid_subtract", "icu_version", "is_uuid", "json_schema_valid", "json_schema_validation_report", "json_storage_free",
    "json_storage_size", "regexp_like", "rollup", "st_buffer_strategy", "st_collect", "st_frechetdistance", "st_geohash",
    "st_hausdorffdistance", "st_isvalid", "st_latfromgeohash", "st_latitude", "st_lineinterpolatepoint", "st_lineinterpolatepoints",
    "st_longfromgeohash", "st_longitude", "st_makeenvelope", "st_pointatdistance", "st_pointfromgeohash", "st_simplify", "st_swapxy",
    "st_transform", "st_validate", "statement_digest", "statement_digest_text", "string_to_vector", "to_vector", "uuid_to_bin",
    "vector_dim", "vector_to_string",
};

static const char *const harmless_mariadb[] = {
    "add_months", "area", "asbinary", "astext", "aswkb", "aswkt", "boundary", "buffer", "centroid", "chr", "column_add",
    "column_check", "column_create", "column_delete", "column_exists", "column_get", "column_json", "column_list",
    "concat_operator_oracle", "contains", "convexhull", "crc32c", "crosses", "decode", "decode_histogram", "decode_oracle",
    "dimension", "disjoint", "encode", "encrypt", "endpoint", "envelope", "equals", "exteriorring", "geomcollfromtext",
    "geomcollfromwkb", "geometrycollectionfromtext", "geometrycollectionfromwkb", "geometryfromtext", "geometryfromwkb", "geometryn",
    "geometrytype", "geomfromtext", "geomfromwkb", "glength", "interiorringn", "intersects", "isclosed", "isempty", "isring",
    "issimple", "json_compact", "json_detailed", "json_equals", "json_exists", "json_loose", "json_normalize", "json_query", "lengthb",
    "linefromtext", "linefromwkb", "linestringfromtext", "linestringfromwkb", "lpad_oracle", "ltrim_oracle", "mbrequal", "md5",
    "median", "mlinefromtext", "mlinefromwkb", "mpointfromtext", "mpointfromwkb", "mpolyfromtext", "mpolyfromwkb",
    "multilinestringfromtext", "multilinestringfromwkb", "multipointfromtext", "multipointfromwkb", "multipolygonfromtext",
    "multipolygonfromwkb", "natural_sort_key", "numgeometries", "numinteriorrings", "numpoints", "nvl", "nvl2", "old_password",
    "overlaps", "password", "percentile_cont", "percentile_disc", "pointfromtext", "pointfromwkb", "pointn", "pointonsurface",
    "polyfromtext", "polyfromwkb", "polygonfromtext", "polygonfromwkb", "replace_oracle", "rownum", "rpad_oracle", "rtrim_oracle",
    "sformat", "sha", "sha1", "srid", "st_boundary", "st_isring", "st_pointonsurface", "st_relate", "startpoint", "substr_oracle",
    "sys_guid", "to_char", "touches", "trim_oracle", "within", "x", "y",
};

static const char *const others_mysql[] = {
    "benchmark", "can_access_column", "can_access_database", "can_access_event", "can_access_resource_group", "can_access_routine",
    "can_access_table", "can_access_trigger", "can_access_user", "can_access_view", "convert_cpu_id_mask",
    "convert_interval_to_user_interval", "get_dd_column_privileges", "get_dd_create_options", "get_dd_index_private_data",
    "get_dd_index_sub_part_length", "get_dd_property_key_value", "get_dd_schema_options", "get_dd_tablespace_private_data", "get_lock",
    "internal_auto_increment", "internal_avg_row_length", "internal_check_time", "internal_checksum", "internal_data_free",
    "internal_data_length", "internal_get_comment_or_error", "internal_get_hostname", "internal_get_partition_nodegroup",
    "internal_get_username", "internal_index_column_cardinality", "internal_index_length", "internal_keys_disabled",
    "internal_max_data_length", "internal_table_rows", "internal_update_time", "is_free_lock", "is_used_lock", "is_visible_dd_object",
    "load_file", "master_pos_wait", "ps_current_thread_id", "ps_thread_id", "release_all_locks", "release_lock", "roles_graphml",
    "sleep", "source_pos_wait", "validate_password_strength", "wait_for_executed_gtid_set",
};

static const char *const others_mariadb[] = {
    "benchmark", "binlog_gtid_pos", "des_decrypt", "des_encrypt", "get_lock", "is_free_lock", "is_used_lock", "load_file",
    "master_gtid_wait", "master_pos_wait", "release_all_locks", "release_lock", "sleep", "wsrep_last_seen_gtid",
    "wsrep_last_written_gtid", "wsrep_sync_wait_upto_gtid",
};

/* Natives of newer MariaDB, from 11.8 on. */
static const char *const harmless_mariadb_118[] = {
    "format_pico_time", "json_array_intersect", "json_key_value", "json_object_filter_keys", "json_object_to_array", "json_schema_valid",
    "kdf", "uuid_v4", "uuid_v7", "vec_distance", "vec_distance_cosine", "vec_distance_euclidean", "vec_fromtext", "vec_totext",
};

/* Natives of MySQL before 9.6, which made a component of them. */
static const char *const harmless_mysql_95[] = {"md5", "sha", "sha1"};

/* What describes the server and names nobody's objects. Not here: tables, columns, routines and the like (the names of what is not granted), processlist and
 * everything about other sessions, variables (paths, passwords), innodb_* and statistics (values of columns), user and privilege tables. */
static const char *const information_schema[] = {
    "applicable_roles", "character_sets", "collation_character_set_applicability", "collations", "enabled_roles", "engines", "keywords",
    "sql_functions", "st_spatial_reference_systems", "st_units_of_measure",
};

/* Not for those from whom something is hidden, whatever a rule grants: counters of rows that were read, plans, values in histograms and locks, words in indexes, texts and
 * messages. The variables of a session have its warning_count. Of the schemas performance_schema and sys only what is listed as told_apart is none of this. */
static const char *const tells_schema[] = {
    "client_statistics", "column_statistics", "global_status", "index_statistics", "innodb_buffer_page", "innodb_buffer_page_lru",
    "innodb_buffer_pool_stats", "innodb_ft_being_deleted", "innodb_ft_deleted", "innodb_ft_index_cache", "innodb_ft_index_table",
    "innodb_lock_waits", "innodb_locks", "innodb_metrics", "innodb_sys_tablestats", "innodb_tablestats", "innodb_trx",
    "optimizer_costs", "optimizer_trace", "processlist", "profiling", "session_status", "session_variables", "system_variables",
    "table_statistics", "user_statistics",
};
static const char *const tells_mysql[] = {
    "column_stats", "general_log", "index_stats", "innodb_index_stats", "innodb_table_stats", "slow_log", "table_stats",
};
static const char *const told_apart[] = {
    "global_variables", "persisted_variables", "session_account_connect_attrs", "session_connect_attrs", "sys_config", "variables_info",
    "version",
};
static const char *const estimates[] = {"partitions", "statistics", "tables", NULL};

/* A session may set these: they change neither what a text means, nor whose rights apply, nor what is logged or written where. */
static const char *const settings[] = {
    "auto_increment_increment", "auto_increment_offset", "autocommit", "big_tables", "character_set_results", "completion_type",
    "default_week_format", "div_precision_increment", "eq_range_index_dive_limit", "explain_format", "group_concat_max_len",
    "idle_transaction_timeout", "information_schema_stats_expiry", "innodb_lock_wait_timeout", "interactive_timeout", "join_buffer_size",
    "join_cache_level", "lc_time_names", "lock_wait_timeout", "max_execution_time", "max_join_size", "max_length_for_sort_data",
    "max_recursive_iterations", "max_seeks_for_key", "max_sort_length", "max_statement_time", "mrr_buffer_size", "net_buffer_length",
    "net_read_timeout", "net_retry_count", "net_write_timeout", "optimizer_prune_level", "optimizer_search_depth", "optimizer_switch",
    "optimizer_use_condition_selectivity", "profiling_history_size", "query_prealloc_size", "range_alloc_block_size", "read_buffer_size",
    "read_rnd_buffer_size", "resultset_metadata", "session_track_gtids", "session_track_schema",
    "session_track_state_change", "session_track_system_variables", "session_track_transaction_info", "sort_buffer_size",
    "sql_auto_is_null", "sql_big_selects", "sql_buffer_result", "sql_notes", "sql_quote_show_create", "sql_safe_updates",
    "sql_select_limit", "sql_warnings", "time_zone", "timestamp", "tmp_table_size", "transaction", "transaction_isolation",
    "transaction_read_only", "tx_isolation", "tx_read_only", "updatable_views_with_limit", "wait_timeout",
};

/* May be shown though not set: what clients ask for when they connect. */
static const char *const showable[] = {
    "character_set_client", "character_set_connection", "character_set_database", "character_set_server", "collation_connection",
    "collation_database", "collation_server", "connection_id", "default_storage_engine", "error_count", "foreign_key_checks",
    "have_query_cache", "have_ssl", "identity", "init_connect", "innodb_version", "insert_id", "language", "last_insert_id",
    "license", "lower_case_file_system", "lower_case_table_names", "max_allowed_packet", "performance_schema", "protocol_version",
    "query_cache_size", "query_cache_type", "read_only", "skip_networking", "sql_mode", "super_read_only", "system_time_zone",
    "unique_checks", "version", "version_comment", "version_compile_machine", "version_compile_os",
    "warning_count",
};

/* Not for those from whom something is hidden, whatever a rule grants: by these the server refuses a statement that reads, joins or stores more than so much. */
static const char *const counting[] = {
    "max_join_size", "max_session_mem_used", "max_tmp_session_space_usage", "sql_big_selects", "sql_max_join_size", "sql_safe_updates",
    "tmp_disk_table_size",
};
// clang-format on

bool my_function_harmless(const char *name, const struct my_options *o) {
    if (POL_IN(harmless, name)) return true;
    if (o->server == MY_MYSQL) return POL_IN(harmless_mysql, name) || (o->version < 90600 && POL_IN(harmless_mysql_95, name));
    return POL_IN(harmless_mariadb, name) || (o->version >= 110800 && POL_IN(harmless_mariadb_118, name));
}

bool my_function_known(const char *name, const struct my_options *o) {
    return my_function_harmless(name, o) || (o->server == MY_MYSQL ? POL_IN(others_mysql, name) : POL_IN(others_mariadb, name));
}

bool my_function_harmless_anywhere(const char *name) {
    return (POL_IN(harmless, name) || POL_IN(harmless_mysql, name) || POL_IN(harmless_mariadb, name) ||
            POL_IN(harmless_mariadb_118, name) || POL_IN(harmless_mysql_95, name)) &&
           !POL_IN(others_mysql, name) && !POL_IN(others_mariadb, name);
}

bool my_native_schema(const char *schema) {
    return strcasecmp(schema, "mariadb_schema") == 0 || strcasecmp(schema, "oracle_schema") == 0 || strcasecmp(schema, "maxdb_schema") == 0;
}

const char *my_system_schema(const char *schema) {
    static const char *const system[] = {"information_schema", "mysql", "performance_schema", "sys"};
    for (size_t i = 0; i < sizeof system / sizeof *system; i++)
        if (strcasecmp(schema, system[i]) == 0) return system[i];
    return NULL;
}

bool my_catalog_open(const char *schema, const char *relation) {
    return strcmp(schema, "information_schema") == 0 && POL_IN(information_schema, relation);
}

bool my_catalog_tells(const char *schema, const char *relation) {
    if (strcmp(schema, "information_schema") == 0) return POL_IN(tells_schema, relation);
    if (strcmp(schema, "mysql") == 0) return POL_IN(tells_mysql, relation);
    return (strcmp(schema, "performance_schema") == 0 || strcmp(schema, "sys") == 0) && !POL_IN(told_apart, relation);
}

const char *const *my_catalog_estimates(void) { return estimates; }

bool my_setting_harmless(const char *name) { return POL_IN(settings, name); }
bool my_setting_showable(const char *name) { return POL_IN(settings, name) || POL_IN(showable, name); }

static bool is_one_of(const char *value, const char *const *all) {
    for (; value != NULL && *all != NULL; all++)
        if (strcasecmp(*all, value) == 0) return true;
    return false;
}

/* SET GLOBAL x is for those who connect next. */
static const char *without_scope(const char *name) {
    if (strncmp(name, "global.", 7) == 0) return name + 7;
    return strncmp(name, "persist.", 8) == 0 ? name + 8 : name;
}

bool my_setting_counts_rows(const char *name, const char *value) {
    static const char *const on[] = {"1", "on", "true", NULL}, *const off[] = {"0", "off", "false", NULL};
    name = without_scope(name);
    if (!POL_IN(counting, name)) return false;
    if (strcmp(name, "sql_big_selects") == 0) return !is_one_of(value, on); /* nothing is refused then; so drivers send it */
    if (strcmp(name, "sql_safe_updates") == 0) return !is_one_of(value, off);
    return true; /* the default is whatever the server's configuration says */
}

bool my_setting_serializable(const char *name, const char *value) {
    static const char *const weaker[] = {"read-uncommitted", "read-committed", "repeatable-read", "0", "1", "2", NULL};
    name = without_scope(name);
    if (strcmp(name, "transaction") == 0) return value != NULL;
    if (strcmp(name, "transaction_isolation") != 0 && strcmp(name, "tx_isolation") != 0) return false;
    return value != NULL && !is_one_of(value, weaker);
}

const char *my_reference_out_of_order(void) {
    const char *word = NULL;
    if (word == NULL) word = POL_OUT_OF_ORDER(harmless);
    if (word == NULL) word = POL_OUT_OF_ORDER(harmless_mysql);
    if (word == NULL) word = POL_OUT_OF_ORDER(harmless_mariadb);
    if (word == NULL) word = POL_OUT_OF_ORDER(harmless_mysql_95);
    if (word == NULL) word = POL_OUT_OF_ORDER(harmless_mariadb_118);
    if (word == NULL) word = POL_OUT_OF_ORDER(others_mysql);
    if (word == NULL) word = POL_OUT_OF_ORDER(others_mariadb);
    if (word == NULL) word = POL_OUT_OF_ORDER(information_schema);
    if (word == NULL) word = POL_OUT_OF_ORDER(tells_schema);
    if (word == NULL) word = POL_OUT_OF_ORDER(tells_mysql);
    if (word == NULL) word = POL_OUT_OF_ORDER(told_apart);
    if (word == NULL) word = POL_OUT_OF_ORDER(settings);
    if (word == NULL) word = POL_OUT_OF_ORDER(showable);
    if (word == NULL) word = POL_OUT_OF_ORDER(counting);
    return word;
}
