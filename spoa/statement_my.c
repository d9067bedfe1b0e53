/* MySQL's and MariaDB's statements: what sessions and requests do with them alike. */
#include "spoa/statement.h"

#include "filters/bytes.h"
#include "policy/my_lex.h"
#include "policy/words.h"

#include <stdlib.h>
#include <string.h>

/* What the cache knows it by. NULL: it is too long for it, or there is no memory. */
static char *key_of(const char *server, const char *text, size_t len, const struct my_options *o, size_t *keylen) {
    size_t head = strlen(server);
    char *key = len <= STMT_CACHE_BYTES ? malloc(head + 1 + len) : NULL;
    if (key == NULL) return NULL;
    memcpy(key, server, head);
    key[head] = o->multi ? 'm' : '1';
    memcpy(key + head + 1, text, len);
    *keylen = head + 1 + len;
    return key;
}

void stmt_keep_my(struct factscache *cache, const char *server, const char *text, size_t len, const struct my_options *o,
                  struct facts_ref *r) {
    size_t keylen;
    char *key = key_of(server, text, len, o, &keylen);
    if (key != NULL) factscache_put(cache, FACTS_MYSQL, key, keylen, r);
    free(key);
}

struct facts_ref *stmt_facts_my(struct factscache *cache, const char *server, const char *text, size_t len, const struct my_options *o,
                                struct pol_parse_error *err) {
    size_t keylen;
    char *key = key_of(server, text, len, o, &keylen);
    struct facts_ref *r = key != NULL && !stmt_is_over(len, o->limits) ? factscache_find(cache, FACTS_MYSQL, key, keylen) : NULL;
    if (r == NULL) factscache_missed(cache);
    if (r == NULL && !stmt_is_long(len, o->limits, err)) {
        r = stmt_facts_of(pol_facts_my(text, len, o, err), err);
        if (r != NULL && key != NULL) factscache_put(cache, FACTS_MYSQL, key, keylen, r);
    }
    free(key);
    return r;
}

/* Functions that tell what the statement before has left behind, which connection it is, or which locks it holds. (rand() goes on from rand_seed1, which is a
 * setting.) */
static const char *const left[] = {
    "connection_id",
    "found_rows",
    "get_lock",
    "is_free_lock",
    "is_used_lock",
    "last_insert_id",
    "lastval",
    "ps_current_thread_id",
    "release_all_locks",
    "release_lock",
    "row_count",
    "wsrep_last_seen_gtid",
    "wsrep_last_written_gtid",
};
/* Relations of performance_schema and information_schema that tell the same. */
static const char *const views[] = {
    "optimizer_trace",
    "prepared_statements_instances",
    "processlist",
    "profiling",
    "session_account_connect_attrs",
    "session_connect_attrs",
    "session_status",
    "session_variables",
    "status_by_thread",
    "temp_tables_info",
    "threads",
    "user_variables",
    "user_variables_by_thread",
    "variables_by_thread",
};

const char *stmt_my_out_of_order(void) {
    const char *word = POL_OUT_OF_ORDER(left);
    return word != NULL ? word : POL_OUT_OF_ORDER(views);
}

static const char *facts_unaskable(const struct pol_stmt *t) {
    static const char what[] = "it uses what an earlier statement of the session has left behind, or which connection it is";
    if (t->last_value) return what;
    if (strcmp(t->tag, "HANDLER") == 0) return "where a HANDLER stands is the session's";
    for (size_t k = 0; k < t->nfunctions; k++)
        if (POL_IN(left, t->functions[k].name)) return what;
    for (size_t k = 0; k < t->nrelations; k++)
        if (t->relations[k].catalog && POL_IN(views, t->relations[k].name)) return what;
    for (size_t k = 0; k < t->nsettings; k++)
        if (t->settings[k].show) return "it uses variables, whose values are the session's";
    return NULL;
}

/* Variables, and what the statement before has left behind. */
const char *stmt_my_unaskable(const struct pol_facts *f, const char *text, size_t len, const struct my_options *o) {
    struct pol_parse_error err;
    struct my_tokens tokens;
    const char *why = NULL;
    for (size_t i = 0; i < f->nstmts && why == NULL; i++) why = facts_unaskable(&f->stmts[i]);
    if (memchr(text, '\0', len) != NULL || !gh_utf8_valid(text, len)) return "it holds bytes that its approvers could not read";
    if (!my_lex(text, len, o, &tokens, &err)) return "it cannot be read again";
    for (uint32_t i = 0; i < tokens.n; i++)
        if (tokens.t[i].kind == MY_T_USERVAR || tokens.t[i].kind == MY_T_SYSVAR) why = "it uses variables, whose values are the session's";
    free(tokens.t);
    return why;
}

/* The filter veils what the server says as it says it; these ask for it once more. */
const char *stmt_my_tells(const struct pol_facts *f) {
    for (size_t i = 0; i < f->nstmts; i++) {
        const struct pol_stmt *t = &f->stmts[i];
        if (strcmp(t->tag, "SHOW WARNINGS") == 0)
            return "SHOW WARNINGS and SHOW ERRORS repeat what the database has said, with values in it";
        for (size_t k = 0; k < t->nsettings; k++)
            if (strcmp(t->settings[k].name, "warning_count") == 0 || strcmp(t->settings[k].name, "error_count") == 0)
                return "the number of warnings is that of what the database has done behind masks and row filters";
        for (size_t k = 0; k < t->nfunctions; k++)
            if (t->functions[k].schema == NULL && strcmp(t->functions[k].name, "row_count") == 0)
                return "ROW_COUNT() tells how many rows an UPDATE has really changed";
    }
    return NULL;
}

bool stmt_my_overwrites(const struct pol_facts *f) {
    for (size_t i = 0; i < f->nstmts; i++)
        for (size_t k = 0; k < f->stmts[i].nrelations; k++) {
            unsigned access = f->stmts[i].relations[k].access;
            if ((access & POL_INSERT) != 0 && (access & (POL_UPDATE | POL_DELETE)) != 0) return true;
        }
    return false;
}
