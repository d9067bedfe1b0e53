/* What cannot be judged for one request to MySQL or MariaDB, because it lives on in the application's connection, which other principals use next; and
 * what the connection alone could tell the meaning of. */
#include "spoa/api_int.h"

#include "policy/my_lex.h"
#include "policy/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The servers' own functions that tell what is kept for a connection, or change it. */
static const char *const stateful[] = {
    "found_rows",   "get_lock",  "last_insert_id",       "ps_current_thread_id",    "release_all_locks",
    "release_lock", "row_count", "wsrep_last_seen_gtid", "wsrep_last_written_gtid",
};

/* Variables whose values an earlier statement has left. */
static const char *const left[] = {
    "error_count", "identity", "in_transaction", "insert_id", "last_gtid", "last_insert_id", "rand_seed1", "rand_seed2", "warning_count",
};

/* Relations of information_schema and performance_schema that tell the same, or what other requests' statements did and were. */
static const char *const views[] = {
    "optimizer_trace",
    "prepared_statements_instances",
    "profiling",
    "session_status",
    "session_variables",
    "status_by_thread",
    "temp_tables_info",
    "user_variables",
    "user_variables_by_thread",
    "variables_by_thread",
};

const char *api_pooled_my_out_of_order(void) {
    const char *word = POL_OUT_OF_ORDER(stateful);
    if (word == NULL) word = POL_OUT_OF_ORDER(left);
    return word != NULL ? word : POL_OUT_OF_ORDER(views);
}

static bool uses_state(const struct pol_stmt *t) {
    if (t->last_value || strcmp(t->tag, "SHOW WARNINGS") == 0) return true;
    for (size_t i = 0; i < t->nfunctions; i++)
        if (t->functions[i].schema == NULL && POL_IN(stateful, t->functions[i].name)) return true;
    for (size_t i = 0; i < t->nsettings; i++)
        if (POL_IN(left, t->settings[i].name)) return true;
    for (size_t i = 0; i < t->nrelations; i++)
        if (t->relations[i].catalog && POL_IN(views, t->relations[i].name)) return true;
    return false;
}

static bool temporary(const struct pol_stmt *t) {
    bool is = (t->actions & POL_TEMP) != 0;
    for (size_t i = 0; i < t->nrelations; i++) is = is || (t->relations[i].access & POL_TEMP) != 0;
    return is;
}

/* Kinds that are over when they have run. Of the rest, what is not known to be so is not. */
static const char *by_kind(const struct pol_stmt *t) {
    switch (t->kind) {
    case POL_K_EMPTY:
    case POL_K_SELECT:
    case POL_K_INSERT:
    case POL_K_UPDATE:
    case POL_K_DELETE:
    case POL_K_EXPLAIN:
    case POL_K_TRUNCATE:
    case POL_K_CALL:
    case POL_K_DDL: return NULL;
    case POL_K_COPY: return t->copy_in ? "data from the client" : NULL;
    case POL_K_SHOW: return t->opaque ? "the connection's state, as far as is known" : NULL;
    case POL_K_GRANT: return strcmp(t->tag, "SET ROLE") == 0 ? "the connection's role" : NULL;
    case POL_K_MAINTAIN: return strcmp(t->tag, "FLUSH") == 0 ? "locks that it may leave" : NULL;
    case POL_K_PREPARE:
    case POL_K_EXECUTE:
    case POL_K_DEALLOCATE: return "prepared statements";
    case POL_K_TRANSACTION: return "transactions";
    case POL_K_SET: return t->use_schema != NULL ? "the default database" : "settings and variables";
    case POL_K_LOCK: return "locks";
    default: break;
    }
    if (strcmp(t->tag, "DO") == 0 || strcmp(t->tag, "CREATE") == 0 || strcmp(t->tag, "ALTER") == 0) return NULL;
    return strcmp(t->tag, "HANDLER") == 0 ? "a cursor" : "the connection's state, as far as is known";
}

/* What the facts do not tell. */
struct words {
    bool variables, versioned;
};

static bool words(const char *text, size_t len, const struct my_options *o, struct words *w) {
    struct pol_parse_error err;
    struct my_tokens tokens;
    *w = (struct words){0};
    if (memchr(text, '@', len) == NULL && memchr(text, '*', len) == NULL) return true;
    if (!my_lex(text, len, o, &tokens, &err)) return false;
    w->versioned = tokens.versioned;
    for (uint32_t i = 0; i < tokens.n; i++) w->variables = w->variables || tokens.t[i].kind == MY_T_USERVAR;
    free(tokens.t);
    return true;
}

/* user@host is no variable; what accounts and stored code are made of runs elsewhere. */
static bool names_accounts(const struct pol_stmt *t) {
    return t->kind == POL_K_GRANT || (t->opaque && (t->kind == POL_K_DDL || strcmp(t->tag, "CREATE") == 0 || strcmp(t->tag, "ALTER") == 0));
}

static const char *left_behind(const struct pol_stmt *t, const struct words *w) {
    const char *what = by_kind(t);
    if (what != NULL) return what;
    if (w->variables && !names_accounts(t)) return "user variables";
    if (uses_state(t)) return "the connection's state";
    return temporary(t) ? "temporary tables" : NULL;
}

static bool refuse(struct pol_verdict *v, size_t i, const char *message, const char *detail) {
    char text[sizeof v->message];
    snprintf(text, sizeof text, "%s", message);
    stmt_deny(v, "0A000", text, "Send one text that is complete in itself, or connect to the database's own port.");
    snprintf(v->detail, sizeof v->detail, "%s", detail);
    v->stmt = i;
    return false;
}

bool api_pooled_my_ok(const struct pol_facts *f, const char *text, size_t len, const struct my_options *o, struct pol_verdict *v) {
    struct words w;
    if (!words(text, len, o, &w)) return refuse(v, 0, "the statement cannot be read again", "");
    if (w.versioned)
        return refuse(v, 0, "a comment with a version, /*!..*/, is not possible over this API",
                      "Whether it is executed depends on the server that the application's connection has, which cannot be seen.");
    for (size_t i = 0; i < f->nstmts; i++) {
        char message[sizeof v->message];
        const char *what = left_behind(&f->stmts[i], &w);
        if (what == NULL) continue;
        snprintf(message, sizeof message, "%s is not possible over this API: it concerns %s", f->stmts[i].tag, what);
        return refuse(v, i, message,
                      "The connection to the database is shared with others: nothing may be left on it, or be "
                      "taken from it that another request left there.");
    }
    return true;
}
