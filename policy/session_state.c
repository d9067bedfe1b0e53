#include "policy/session_state.h"

#include "policy/my_reference.h"
#include "policy/parsed.h"
#include "policy/pg_catalog.h"
#include "policy/pg_functions.h"
#include "policy/pg_settings.h"
#include "policy/words.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Built-in functions whose result is the session's, or is what it can wait or try for: what it made last, which process and port it has (a new connection
 * gets others, until they fit), its transaction's number, its locks, cursors, statements, channels, temporary schema, large objects by descriptor. Not here:
 * the clock, and random() and gen_random_uuid(), which people know to be arbitrary (a seed that was set is left behind: POL_LEAVES_SEED); names and
 * addresses that are the same for all who have this approval; the schema and rows, which are data. */
static const char *const stateful[] = {
    "current_schemas",
    "currval",
    "cursor_to_xml",
    "cursor_to_xmlschema",
    "inet_client_addr",
    "inet_client_port",
    "lastval",
    "lo_close",
    "lo_lseek",
    "lo_lseek64",
    "lo_tell",
    "lo_tell64",
    "lo_truncate",
    "lo_truncate64",
    "loread",
    "lowrite",
    "pg_advisory_unlock",
    "pg_advisory_unlock_shared",
    "pg_backend_pid",
    "pg_blocking_pids",
    "pg_current_snapshot",
    "pg_current_xact_id",
    "pg_current_xact_id_if_assigned",
    "pg_cursor",
    "pg_export_snapshot",
    "pg_get_backend_memory_contexts",
    "pg_is_other_temp_schema",
    "pg_listening_channels",
    "pg_lock_status",
    "pg_my_temp_schema",
    "pg_prepared_statement",
    "pg_replication_origin_session_is_setup",
    "pg_replication_origin_session_progress",
    "pg_safe_snapshot_blocking_pids",
    "pg_show_all_settings",
    "pg_stat_get_activity",
    "pg_trigger_depth",
    "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared",
    "pg_try_advisory_xact_lock",
    "pg_try_advisory_xact_lock_shared",
    "txid_current",
    "txid_current_if_assigned",
    "txid_current_snapshot",
};
/* Other built-in ones that a rule can grant, of which no session has a say: the server, its files, slots and statistics; data; texts that they run, which people see.
 * What stands here nowhere (newer functions, those that operators stand for) nobody is asked about. */
// clang-format off
static const char *const shared[] = {
    "brin_desummarize_range", "brin_summarize_new_values", "brin_summarize_range", "current_query", "database_to_xml",
    "database_to_xml_and_xmlschema", "database_to_xmlschema", "gin_clean_pending_list", "lo_creat", "lo_create", "lo_export",
    "lo_from_bytea", "lo_get", "lo_import", "lo_put", "lo_unlink", "mxid_age", "pg_config", "pg_control_checkpoint", "pg_control_init",
    "pg_control_recovery", "pg_control_system", "pg_copy_logical_replication_slot", "pg_copy_physical_replication_slot",
    "pg_create_logical_replication_slot", "pg_create_physical_replication_slot", "pg_create_restore_point", "pg_current_logfile",
    "pg_current_wal_flush_lsn", "pg_current_wal_insert_lsn", "pg_current_wal_lsn", "pg_database_collation_actual_version",
    "pg_drop_replication_slot", "pg_extension_update_paths", "pg_filenode_relation", "pg_get_replication_slots",
    "pg_get_wal_replay_pause_state", "pg_hba_file_rules", "pg_ident_file_mappings", "pg_import_system_collations",
    "pg_is_wal_replay_paused", "pg_last_committed_xact", "pg_last_wal_receive_lsn", "pg_last_wal_replay_lsn",
    "pg_last_xact_replay_timestamp", "pg_log_backend_memory_contexts", "pg_logical_emit_message", "pg_logical_slot_get_binary_changes",
    "pg_logical_slot_get_changes", "pg_logical_slot_peek_binary_changes", "pg_logical_slot_peek_changes", "pg_ls_archive_statusdir",
    "pg_ls_dir", "pg_ls_logdir", "pg_ls_logicalmapdir", "pg_ls_logicalsnapdir", "pg_ls_replslotdir", "pg_ls_tmpdir", "pg_ls_waldir",
    "pg_prepared_xact", "pg_promote", "pg_read_binary_file", "pg_read_file", "pg_read_file_old", "pg_relation_filenode",
    "pg_relation_filepath", "pg_reload_conf", "pg_replication_origin_advance", "pg_replication_origin_create",
    "pg_replication_origin_drop", "pg_replication_origin_oid", "pg_replication_origin_progress", "pg_replication_slot_advance",
    "pg_rotate_logfile", "pg_rotate_logfile_old", "pg_sequence_last_value", "pg_show_all_file_settings",
    "pg_show_replication_origin_status", "pg_stat_file", "pg_stat_get_analyze_count", "pg_stat_get_archiver",
    "pg_stat_get_autoanalyze_count", "pg_stat_get_autovacuum_count", "pg_stat_get_blocks_fetched", "pg_stat_get_blocks_hit",
    "pg_stat_get_dead_tuples", "pg_stat_get_function_calls", "pg_stat_get_function_self_time", "pg_stat_get_function_total_time",
    "pg_stat_get_ins_since_vacuum", "pg_stat_get_last_analyze_time", "pg_stat_get_last_autoanalyze_time",
    "pg_stat_get_last_autovacuum_time", "pg_stat_get_last_vacuum_time", "pg_stat_get_live_tuples", "pg_stat_get_mod_since_analyze",
    "pg_stat_get_numscans", "pg_stat_get_tuples_deleted", "pg_stat_get_tuples_fetched", "pg_stat_get_tuples_hot_updated",
    "pg_stat_get_tuples_inserted", "pg_stat_get_tuples_returned", "pg_stat_get_tuples_updated", "pg_stat_get_vacuum_count",
    "pg_stat_have_stats", "pg_stat_reset", "pg_stat_reset_replication_slot", "pg_stat_reset_shared",
    "pg_stat_reset_single_function_counters", "pg_stat_reset_single_table_counters", "pg_stat_reset_slru",
    "pg_stat_reset_subscription_stats", "pg_switch_wal", "pg_tablespace_databases", "pg_tablespace_size", "pg_wal_replay_pause",
    "pg_wal_replay_resume", "pg_walfile_name", "pg_walfile_name_offset", "pg_xact_commit_timestamp", "pg_xact_commit_timestamp_origin",
    "pg_xact_status", "query_to_xml", "query_to_xml_and_xmlschema", "query_to_xmlschema", "schema_to_xml", "schema_to_xml_and_xmlschema",
    "schema_to_xmlschema", "set_config", "table_to_xml", "table_to_xml_and_xmlschema", "table_to_xmlschema", "ts_rewrite", "ts_stat",
    "txid_status",
};
/* The same of the catalog's relations. */
static const char *const shared_relations[] = {
    "pg_authid", "pg_config", "pg_db_role_setting", "pg_file_settings", "pg_foreign_server", "pg_foreign_table", "pg_hba_file_rules",
    "pg_ident_file_mappings", "pg_largeobject", "pg_largeobject_metadata", "pg_prepared_xacts", "pg_replication_origin",
    "pg_replication_origin_status", "pg_replication_slots", "pg_seclabel", "pg_seclabels", "pg_sequences", "pg_shadow", "pg_shseclabel",
    "pg_stat_all_indexes", "pg_stat_all_tables", "pg_stat_archiver", "pg_stat_bgwriter", "pg_stat_database", "pg_stat_sys_indexes",
    "pg_stat_sys_tables", "pg_stat_user_functions", "pg_stat_user_indexes", "pg_stat_user_tables", "pg_statio_all_indexes",
    "pg_statio_all_sequences", "pg_statio_all_tables", "pg_statio_sys_indexes", "pg_statio_sys_sequences", "pg_statio_sys_tables",
    "pg_statio_user_indexes", "pg_statio_user_sequences", "pg_statio_user_tables", "pg_statistic", "pg_statistic_ext_data", "pg_stats",
    "pg_stats_ext", "pg_stats_ext_exprs", "pg_subscription", "pg_subscription_rel", "pg_user_mapping", "pg_user_mappings",
};
// clang-format on
/* Of a session, or of all with what this one says of itself (application_name). */
static const char *const views[] = {
    "pg_backend_memory_contexts", "pg_cursors",     "pg_locks",    "pg_prepared_statements", "pg_settings",
    "pg_stat_activity",           "pg_stat_gssapi", "pg_stat_ssl",
};
/* The same for everybody: what the server was built and started with. */
static const char *const constant[] = {
    "block_size",   "integer_datetimes", "max_function_args", "max_identifier_length", "max_index_keys",
    "segment_size", "server_encoding",   "server_version",    "server_version_num",    "wal_block_size",
};
/* Built in, and neither harmless nor able to run anybody's code. */
static const char *const plain[] = {
    "current_setting",
    "nextval",
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_advisory_unlock",
    "pg_advisory_unlock_shared",
    "pg_advisory_xact_lock",
    "pg_advisory_xact_lock_shared",
    "pg_cancel_backend",
    "pg_notify",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "pg_terminate_backend",
    "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared",
    "pg_try_advisory_xact_lock",
    "pg_try_advisory_xact_lock_shared",
    "setval",
};

static const char write_values[] = "Write the values themselves into the statement, or send them as parameters.";

static bool says(struct pol_unaskable *u, const char *what, const char *name, const char *hint) {
    snprintf(u->why, sizeof u->why, "it uses %s%.70s, which the session decides and people do not see", what, name);
    u->hint = hint;
    return true;
}

static bool not_known(struct pol_unaskable *u, const char *what, const char *name, const char *hint) {
    snprintf(u->why, sizeof u->why, "it uses %s%.63s, of which it is not known that it is the same in every session", what, name);
    u->hint = hint;
    return true;
}

static bool in_catalog(const struct pol_function *fn) { return fn->schema == NULL || strcmp(fn->schema, "pg_catalog") == 0; }

static bool is_temp(const char *schema) {
    return schema != NULL && (strncmp(schema, "pg_temp", 7) == 0 || strncmp(schema, "pg_toast_temp", 13) == 0);
}

/* --- what it reads --- */

static bool stateful_function(const struct pol_function *fn) {
    static const char *const prefixes[] = {"pg_stat_get_backend_", "pg_stat_get_xact_"}; /* newer versions add names under them */
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (strncmp(fn->name, prefixes[i], strlen(prefixes[i])) == 0) return true;
    return POL_IN(stateful, fn->name) || strcmp(fn->name, "current_setting") == 0; /* of a name that the text does not hold */
}

/* An unqualified name of which PostgreSQL has no function is the database's own: its code is unseen in any case. */
static bool unknown_function(const struct pol_function *fn) {
    if (fn->schema == NULL ? !pg_function_built_in(fn->name) : strcmp(fn->schema, "pg_catalog") != 0) return false;
    return !pg_function_harmless(fn->name) && !pg_function_introspection(fn->name) && !POL_IN(plain, fn->name) && !POL_IN(shared, fn->name);
}

static bool reads_function(const struct pol_stmt *t, struct pol_unaskable *u) {
    if (t->last_value) return says(u, "", "currval()", write_values);
    for (size_t i = 0; i < t->nfunctions; i++) {
        const struct pol_function *fn = &t->functions[i];
        if (is_temp(fn->schema)) return says(u, "the temporary function ", fn->name, "Write what it does into the statement.");
        if (in_catalog(fn) && stateful_function(fn)) return says(u, "the function ", fn->name, write_values);
        if (unknown_function(fn)) return not_known(u, "the function ", fn->name, write_values);
    }
    return false;
}

static bool unknown_relation(const struct pol_relation *r) {
    bool other = r->schema != NULL && strcmp(r->schema, "pg_catalog") != 0; /* information_schema is the same for one role */
    return r->catalog && !other && !pg_catalog_harmless(r->name) && !POL_IN(shared_relations, r->name);
}

static bool reads_relation(const struct pol_stmt *t, struct pol_unaskable *u) {
    for (size_t i = 0; i < t->nrelations; i++) {
        const struct pol_relation *r = &t->relations[i];
        if (is_temp(r->schema) && r->access != POL_TEMP) /* but to make one */
            return says(u, "the temporary relation ", r->name, "Write its rows into the statement: VALUES (...), or = ANY (ARRAY[...]).");
        if (r->catalog && (POL_IN(views, r->name) || strncmp(r->name, "pg_stat_xact_", 13) == 0)) return says(u, "", r->name, write_values);
        if (unknown_relation(r))
            return not_known(u, "", r->name,
                             r->schema == NULL ? "If it is no relation of the catalog, write its schema; else write the values themselves."
                                               : write_values);
    }
    return false;
}

/* Pinned for every session that could have this approval. gatehouse.session is another for each. */
static bool setting_is_fixed(const struct pol_pins *pins, const char *name) {
    if (POL_IN(constant, name)) return true;
    if (pins == NULL || strcmp(name, "gatehouse.session") == 0) return false;
    return pg_setting_pin(pins, name, NULL, NULL) == PG_PIN_SAME;
}

static bool reads_setting(const struct pol_stmt *t, const struct pol_pins *pins, struct pol_unaskable *u) {
    for (size_t i = 0; i < t->nsettings; i++)
        if (t->settings[i].show && !setting_is_fixed(pins, t->settings[i].name))
            return says(u, "the setting ", t->settings[i].name, write_values);
    return false;
}

static bool reads_names(const struct pol_stmt *t, struct pol_unaskable *u) {
    if (t->uses_portal != NULL)
        return says(u, "the cursor ", t->uses_portal, "Say in WHERE which rows are meant, by a key, and not by a cursor's place.");
    return t->uses_statement != NULL &&
           says(u, "the prepared statement ", t->uses_statement, "Send the statement itself, or execute it with your driver's own means.");
}

bool pol_reads_session(const struct pol_facts *f, const struct pol_pins *pins, struct pol_unaskable *u) {
    bool mysql = f->dialect == POL_MYSQL; /* whose functions, variables and views have a table of their own */
    for (size_t i = 0; i < f->nstmts; i++) {
        const struct pol_stmt *t = &f->stmts[i];
        if (reads_names(t, u)) return true;
        if (!mysql && (reads_function(t, u) || reads_relation(t, u) || reads_setting(t, pins, u))) return true;
    }
    return false;
}

/* --- the time at which it was read --- */

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

static bool is_time(const char *word, size_t len) {
    static const char *const words[] = {"now", "today", "tomorrow", "yesterday"}; /* "datetktbl" of the server's datetime.c */
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i]) == len && strncasecmp(words[i], word, len) == 0) return true;
    return false;
}

/* A JSON string. The quotes and backslashes of array, range and row constants may stand in the middle of a word: '{"n\\ow"}'. */
static bool holds_time(const char *s, size_t len) {
    char word[10];
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        bool escaped = s[i] == '\\' && ++i < len, quotes = escaped && (s[i] == '\\' || s[i] == '"');
        if (quotes) continue;
        if (!escaped && is_letter(s[i])) {
            if (n < sizeof word) word[n] = s[i];
            n++;
            continue;
        }
        if (n <= sizeof word && is_time(word, n)) return true;
        n = 0;
        if (escaped && i < len && s[i] == 'u') i += 4;
    }
    return n <= sizeof word && is_time(word, n);
}

static bool constant_tells_time(const struct jt *t, uint32_t i) {
    uint32_t sval = jt_get(t, i, "sval"), text = sval != 0 ? jt_get(t, sval, "sval") : 0;
    return text != 0 && holds_time(t->json + t->v[text].text, t->v[text].next);
}

bool pol_tells_time(const char *sql, size_t len) {
    const struct pol_parse_limits limits = {.brief = true};
    struct pol_parse_error err;
    struct pol_parsed p;
    if (!pol_parse_pg(&p, sql, len, &limits, &err)) return true;
    bool yes = false;
    for (uint32_t i = 1; i < p.tree.n && !yes; i++)
        yes = p.tree.v[i].type == JT_OBJECT && jt_key_is(&p.tree, i, "A_Const") && constant_tells_time(&p.tree, i);
    pol_parse_clear(&p);
    return yes;
}

/* --- temporary objects --- */

/* PostgreSQL's that take a relation's or a type's name as a text. */
static bool takes_names(const struct pol_function *fn) {
    return in_catalog(fn) && (pg_function_introspection(fn->name) || strcmp(fn->name, "regclass") == 0);
}

static bool could_shadow(const struct pol_stmt *t, struct pol_unaskable *u) {
    static const char connect[] = "Connect again, or write schema.name for every relation and type (public.orders, pg_catalog.text).";
    const char *what = NULL, *name = "";
    if (t->opaque) what = "names that cannot be seen from its text";
    if (what == NULL && t->kind >= POL_K_DDL && t->kind != POL_K_NOTIFY && t->nrelations == 0) what = "names of other objects";
    for (size_t i = 0; what == NULL && i < t->nrelations; i++)
        if (t->relations[i].schema == NULL) what = "the relation ", name = t->relations[i].name;
    for (size_t i = 0; what == NULL && i < t->nfunctions; i++)
        if (takes_names(&t->functions[i])) what = "the function ", name = t->functions[i].name;
    if (what == NULL && t->bare_type != NULL) what = "the type ", name = t->bare_type;
    if (what == NULL) return false;
    snprintf(u->why, sizeof u->why, "this session may have made temporary objects, and it uses %s%.70s without a schema", what, name);
    u->hint = connect;
    return true;
}

bool pol_temp_could_shadow(const struct pol_facts *f, struct pol_unaskable *u) {
    if (f->dialect == POL_MYSQL) { /* db.t is the temporary table, too */
        snprintf(u->why, sizeof u->why, "this session may have made temporary tables, which are meant by names of others");
        u->hint = "Connect again.";
        return f->nstmts > 0;
    }
    for (size_t i = 0; i < f->nstmts; i++)
        if (could_shadow(&f->stmts[i], u)) return true;
    return false;
}

/* --- what it leaves --- */

static bool function_unseen(const struct pol_function *fn, bool mysql) {
    if (mysql) return fn->schema != NULL && !my_native_schema(fn->schema); /* stored; the servers' own have none */
    if (fn->schema != NULL && strcmp(fn->schema, "information_schema") == 0) return !pg_function_information_schema(fn->name);
    return !in_catalog(fn) || !(pg_function_harmless(fn->name) || pg_function_introspection(fn->name) || POL_IN(plain, fn->name));
}

static unsigned function_leaves(const struct pol_function *fn, bool mysql) {
    unsigned leaves = function_unseen(fn, mysql) ? (unsigned)POL_LEAVES_UNSEEN : 0u;
    if (mysql || !in_catalog(fn)) return leaves;
    if (strcmp(fn->name, "setseed") == 0) leaves |= POL_LEAVES_SEED;
    if (strcmp(fn->name, "set_config") == 0) leaves |= POL_LEAVES_SETTINGS;
    return leaves;
}

static unsigned stmt_leaves(const struct pol_stmt *t, bool mysql) {
    unsigned leaves = t->opaque ? (unsigned)POL_LEAVES_UNSEEN : 0u;
    if ((t->actions & POL_TEMP) != 0) leaves |= POL_LEAVES_TEMP;
    for (size_t i = 0; i < t->nrelations; i++)
        if ((t->relations[i].access & POL_TEMP) != 0 || is_temp(t->relations[i].schema)) leaves |= POL_LEAVES_TEMP;
    for (size_t i = 0; i < t->nfunctions; i++) leaves |= function_leaves(&t->functions[i], mysql);
    return leaves;
}

unsigned pol_leaves(const struct pol_facts *f) {
    unsigned leaves = 0;
    for (size_t i = 0; i < f->nstmts; i++) leaves |= stmt_leaves(&f->stmts[i], f->dialect == POL_MYSQL);
    return leaves;
}

bool pol_runs_unseen(const struct pol_facts *f) { return (pol_leaves(f) & POL_LEAVES_UNSEEN) != 0; }

const char *pol_session_state_out_of_order(void) {
    const char *word = POL_OUT_OF_ORDER(stateful);
    if (word == NULL) word = POL_OUT_OF_ORDER(views);
    if (word == NULL) word = POL_OUT_OF_ORDER(constant);
    if (word == NULL) word = POL_OUT_OF_ORDER(shared);
    if (word == NULL) word = POL_OUT_OF_ORDER(shared_relations);
    return word != NULL ? word : POL_OUT_OF_ORDER(plain);
}
