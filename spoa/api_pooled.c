/* What cannot be judged for one request, because it lives on in the application's connection, which other principals use next. */
#include "spoa/api_int.h"

#include "policy/words.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool is_temp(const char *schema) {
    return schema != NULL && (strncmp(schema, "pg_temp", 7) == 0 || strncmp(schema, "pg_toast_temp", 13) == 0);
}

static bool touches_temp(const struct pol_stmt *t) {
    if ((t->actions & POL_TEMP) != 0) return true;
    for (size_t i = 0; i < t->nrelations; i++)
        if (is_temp(t->relations[i].schema) || (t->relations[i].access & POL_TEMP) != 0) return true;
    for (size_t i = 0; i < t->nfunctions; i++)
        if (is_temp(t->functions[i].schema)) return true;
    return false;
}

/* Of types, functions and the like the facts do not tell the schema. A name in a temporary one holds pg_temp, or hides it behind escapes. */
static bool may_name_temp(const struct pol_stmt *t, const char *text, size_t len) {
    if (t->kind != POL_K_DDL || t->location > len) return t->kind == POL_K_DDL;
    size_t end = t->len == 0 || t->len > len - t->location ? len : t->location + t->len;
    for (size_t i = t->location; i < end; i++) {
        if (end - i >= 7 && strncasecmp(text + i, "pg_temp", 7) == 0) return true;
        if (end - i >= 2 && strncasecmp(text + i, "u&", 2) == 0) return true;
    }
    return false;
}

/* ALTER ROLE .. SET and its kin count: the application's next connection reads texts by them. */
static bool changes_settings(const struct pol_stmt *t) {
    if (t->kind == POL_K_SET || (t->actions & POL_SET) != 0) return true;
    for (size_t i = 0; i < t->nsettings; i++)
        if (!t->settings[i].show) return true;
    return false;
}

/* PostgreSQL's own functions that change what a connection keeps, or tell it: settings whose name the text does not hold, random()'s seed, locks,
 * the last values of sequences, cursors, prepared statements, a backup, the origin of what it writes. */
static const char *const stateful[] = {
    "currval",
    "cursor_to_xml",
    "cursor_to_xmlschema",
    "lastval",
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_advisory_unlock",
    "pg_advisory_unlock_all",
    "pg_advisory_unlock_shared",
    "pg_backup_start",
    "pg_backup_stop",
    "pg_copy_logical_replication_slot",
    "pg_copy_physical_replication_slot",
    "pg_create_logical_replication_slot",
    "pg_create_physical_replication_slot",
    "pg_cursor",
    "pg_listening_channels",
    "pg_prepared_statement",
    "pg_replication_origin_session_is_setup",
    "pg_replication_origin_session_progress",
    "pg_replication_origin_session_reset",
    "pg_replication_origin_session_setup",
    "pg_start_backup",
    "pg_stop_backup",
    "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared",
    "set_config",
    "setseed",
};

static bool uses_state(const struct pol_stmt *t) {
    static const char *const views[] = {"pg_cursors", "pg_prepared_statements"};
    if (t->last_value) return true;
    for (size_t i = 0; i < t->nfunctions; i++)
        if ((t->functions[i].schema == NULL || strcmp(t->functions[i].schema, "pg_catalog") == 0) && POL_IN(stateful, t->functions[i].name))
            return true;
    for (size_t i = 0; i < t->nrelations; i++)
        if (t->relations[i].catalog && POL_IN(views, t->relations[i].name)) return true;
    return false;
}

const char *api_pooled_out_of_order(void) { return POL_OUT_OF_ORDER(stateful); }

/* NULL, or what it is. */
static const char *left_behind(const struct pol_stmt *t, const char *text, size_t len) {
    if (t->kind == POL_K_PREPARE || t->kind == POL_K_EXECUTE || t->kind == POL_K_DEALLOCATE || t->uses_statement != NULL ||
        t->forget_statement != NULL || t->forget_all_statements)
        return "prepared statements";
    if (t->kind == POL_K_DECLARE || t->kind == POL_K_FETCH || t->kind == POL_K_CLOSE || t->uses_portal != NULL ||
        t->forget_portal != NULL || t->forget_all_portals)
        return "cursors";
    if (t->kind == POL_K_TRANSACTION) return "transactions";
    if (t->kind == POL_K_DISCARD || uses_state(t)) return "the connection's state";
    if (t->kind == POL_K_DO || strcmp(t->tag, "LOAD") == 0) return "code that may change the connection";
    if (t->kind == POL_K_NOTIFY && strcmp(t->tag, "NOTIFY") != 0) return "notifications";
    if (changes_settings(t)) return "settings";
    if (touches_temp(t) || may_name_temp(t, text, len)) return "temporary objects";
    if (t->copy_in) return "data from the client";
    /* Drivers that run a plain text do not expect the COPY protocol: psycopg 3 leaves the connection in the middle of it. */
    return t->copy_out ? "a stream of data to the client" : NULL;
}

bool api_pooled_ok(const struct pol_facts *f, const char *text, size_t len, struct pol_verdict *v) {
    for (size_t i = 0; i < f->nstmts; i++) {
        const char *what = left_behind(&f->stmts[i], text, len);
        if (what == NULL) continue;
        stmt_deny(v, "0A000", "", "Send one text that is complete in itself, or connect to the database's own port.");
        snprintf(v->message, sizeof v->message, "%s is not possible over this API: it concerns %s", f->stmts[i].tag, what);
        snprintf(v->detail, sizeof v->detail,
                 "The connection to the database is shared with others: nothing may be left on it, or be "
                 "taken from it that another request left there.");
        v->stmt = i;
        return false;
    }
    return true;
}
