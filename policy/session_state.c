#include "policy/session_state.h"

#include "policy/my_reference.h"
#include "policy/pg_functions.h"
#include "policy/pg_settings.h"
#include "policy/words.h"

#include <stdio.h>
#include <string.h>

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

static bool reads_function(const struct pol_stmt *t, struct pol_unaskable *u) {
    if (t->last_value) return says(u, "", "currval()", write_values);
    for (size_t i = 0; i < t->nfunctions; i++) {
        const struct pol_function *fn = &t->functions[i];
        if (is_temp(fn->schema)) return says(u, "the temporary function ", fn->name, "Write what it does into the statement.");
        if (in_catalog(fn) && stateful_function(fn)) return says(u, "the function ", fn->name, write_values);
    }
    return false;
}

static bool reads_relation(const struct pol_stmt *t, struct pol_unaskable *u) {
    for (size_t i = 0; i < t->nrelations; i++) {
        const struct pol_relation *r = &t->relations[i];
        if (is_temp(r->schema) && r->access != POL_TEMP) /* but to make one */
            return says(u, "the temporary relation ", r->name, "Write its rows into the statement: VALUES (...), or = ANY (ARRAY[...]).");
        if (r->catalog && (POL_IN(views, r->name) || strncmp(r->name, "pg_stat_xact_", 13) == 0)) return says(u, "", r->name, write_values);
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
    return word != NULL ? word : POL_OUT_OF_ORDER(plain);
}
