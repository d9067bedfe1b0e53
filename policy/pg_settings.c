#include "policy/pg_settings.h"

#include "policy/words.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Names in lower case. Not here, and so in need of "set": what decides where and what is written or logged (default_tablespace,
 * default_table_access_method, temp_tablespaces, synchronous_commit, log_*, track_*), memory beyond work_mem, *_preload_libraries, custom settings with
 * a dot (row security policies read them), transaction_snapshot. */
// clang-format off
static const char *const harmless[] = {
    "application_name", "array_nulls", "backend_flush_after", "bytea_output", "check_function_bodies", "client_connection_check_interval",
    "client_min_messages", "constraint_exclusion", "cpu_index_tuple_cost", "cpu_operator_cost", "cpu_tuple_cost", "cursor_tuple_fraction",
    "datestyle", "default_text_search_config", "default_transaction_deferrable", "default_transaction_isolation",
    "default_transaction_read_only", "effective_cache_size", "enable_async_append", "enable_bitmapscan", "enable_gathermerge",
    "enable_hashagg", "enable_hashjoin", "enable_incremental_sort", "enable_indexonlyscan", "enable_indexscan", "enable_material",
    "enable_memoize", "enable_mergejoin", "enable_nestloop", "enable_parallel_append", "enable_parallel_hash", "enable_partition_pruning",
    "enable_partitionwise_aggregate", "enable_partitionwise_join", "enable_seqscan", "enable_sort", "enable_tidscan",
    "escape_string_warning", "exit_on_error", "extra_float_digits", "from_collapse_limit", "geqo", "geqo_effort", "geqo_generations",
    "geqo_pool_size", "geqo_seed", "geqo_selection_bias", "geqo_threshold", "gin_fuzzy_search_limit",
    "idle_in_transaction_session_timeout", "idle_session_timeout", "intervalstyle", "jit", "jit_above_cost", "jit_inline_above_cost",
    "jit_optimize_above_cost", "join_collapse_limit", "lc_monetary", "lc_numeric", "lc_time", "lock_timeout",
    "max_parallel_workers_per_gather", "min_parallel_index_scan_size", "min_parallel_table_scan_size", "parallel_leader_participation",
    "parallel_setup_cost", "parallel_tuple_cost", "plan_cache_mode", "quote_all_identifiers", "random_page_cost", "seq_page_cost",
    "statement_timeout", "synchronize_seqscans", "tcp_keepalives_count", "tcp_keepalives_idle", "tcp_keepalives_interval",
    "tcp_user_timeout", "timezone", "transaction_deferrable", "transaction_isolation", "transaction_read_only", "work_mem", "xmlbinary",
    "xmloption",
};

/* May be shown though not set. */
static const char *const showable[] = {
    "backslash_quote", "block_size", "client_encoding", "debug_assertions", "default_statistics_target", "default_table_access_method",
    "default_tablespace", "in_hot_standby", "integer_datetimes", "is_superuser", "lc_collate", "lc_ctype", "lc_messages",
    "maintenance_work_mem", "max_connections", "max_function_args", "max_identifier_length", "max_index_keys",
    "max_prepared_transactions", "password_encryption", "role", "row_security", "search_path", "segment_size", "server_encoding",
    "server_version", "server_version_num", "session_authorization", "session_replication_role", "shared_buffers", "ssl",
    "standard_conforming_strings", "synchronous_commit", "temp_buffers", "timezone_abbreviations", "transform_null_equals",
    "wal_block_size",
};

/* What a text means does not depend on them: they say when it is given up, what is said of it, and how sure the connection is. Not here, though harmless to
 * set: what changes a value's text (extra_float_digits, bytea_output, ...) or how a text is read, and what the planner goes by (enable_*, costs, work_mem):
 * under LIMIT, in a join that finds a row twice, or in a sum of floats, its choice decides which rows are meant. jit* change code, not plans. */
static const char *const inert[] = {
    "application_name", "backend_flush_after", "client_connection_check_interval", "client_encoding", "client_min_messages",
    "default_transaction_deferrable", "default_transaction_isolation", "default_transaction_read_only",
    "idle_in_transaction_session_timeout", "idle_session_timeout", "jit", "jit_above_cost", "jit_inline_above_cost",
    "jit_optimize_above_cost", "lock_timeout", "statement_timeout", "tcp_keepalives_count", "tcp_keepalives_idle",
    "tcp_keepalives_interval", "tcp_user_timeout", "transaction_deferrable", "transaction_isolation", "transaction_read_only",
};

static const char *const unpinnable[] = {
    "role", "row_security", "search_path", "session_authorization", "session_replication_role",
};
// clang-format on

bool pg_setting_harmless(const char *name) { return strcmp(name, "seed") == 0 || POL_IN(harmless, name); }
/* Gatehouse's own: whose session it is, for row security policies and logs at the database. */
static bool is_ours(const char *name) { return strncmp(name, "gatehouse.", 10) == 0; }
bool pg_setting_showable(const char *name) { return pg_setting_harmless(name) || POL_IN(showable, name) || is_ours(name); }

static bool is_true(const char *v) {
    static const char *const words[] = {"on", "true", "yes", "1", "t", "y", "tr", "tru", "ye"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(v, words[i]) == 0) return true;
    return false;
}

/* As pg_char_to_encoding() compares: letters and digits only, any case. UTF-8, utf8, 'Unicode'. */
static bool is_utf8(const char *v) {
    char clean[16];
    size_t n = 0;
    for (; *v != '\0'; v++) {
        char c = *v >= 'A' && *v <= 'Z' ? (char)(*v | 0x20) : *v;
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))) continue;
        if (n == sizeof clean - 1) return false;
        clean[n++] = c;
    }
    clean[n] = '\0';
    return strcmp(clean, "utf8") == 0 || strcmp(clean, "unicode") == 0;
}

/* One name of a search_path as SplitIdentifierString() reads it: into name, *s behind it and its comma. */
static bool next_name(const char **s, char *name, size_t size) {
    const char *p = *s;
    size_t n = 0;
    while (*p == ' ' || *p == '\t' || *p == '\n') p++;
    bool quoted = *p == '"';
    if (quoted) p++;
    for (;; p++) {
        if (*p == '\0' && quoted) return false;
        if (quoted && *p == '"') {
            if (p[1] != '"') break;
            p++;
        }
        if (!quoted && (*p == '\0' || *p == ',' || *p == ' ' || *p == '\t' || *p == '\n' || *p == '"')) break;
        if (n >= size - 1) return false;
        name[n++] = !quoted && *p >= 'A' && *p <= 'Z' ? (char)(*p | 0x20) : *p;
    }
    if (quoted) p++;
    if (n == 0) return false;
    name[n] = '\0';
    while (*p == ' ' || *p == '\t' || *p == '\n') p++;
    if (*p != '\0' && *p != ',') return false;
    if (*p == ',') {
        p++;
        while (*p == ' ') p++;
        if (*p == '\0') return false;
    }
    *s = p;
    return true;
}

static bool same_path(const struct pol_pins *pins, const char *value) {
    char name[64];
    size_t n = 0;
    while (*value == ' ') value++;
    while (*value != '\0') {
        if (!next_name(&value, name, sizeof name) || n >= pins->nsearch_path || strcmp(pins->search_path[n], name) != 0) return false;
        n++;
    }
    return n == pins->nsearch_path;
}

static enum pg_pin same_if(bool same) { return same ? PG_PIN_SAME : PG_PIN_OTHER; }

/* DateStyle "ISO, MDY" with or without blanks, any case. */
static bool same_loosely(const char *a, const char *b) {
    for (;; a++, b++) {
        while (*a == ' ') a++;
        while (*b == ' ') b++;
        if (*a == '\0' || *b == '\0') return *a == *b;
        if (strncasecmp(a, b, 1) != 0) return false;
    }
}

static bool is_false(const char *v) {
    static const char *const words[] = {"off", "false", "no", "0", "f", "n", "of", "fa", "fal", "fals"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(v, words[i]) == 0) return true;
    return false;
}

/* What the configuration fixes for every session. Pinning default_transaction_x pins transaction_x too. */
static enum pg_pin configured_pin(const struct pol_pins *pins, const char *name, const char *value, const char **wanted) {
    static const char prefix[] = "default_";
    for (const char *const *s = pins->settings; s != NULL && *s != NULL; s += 2) {
        const char *pinned = s[0];
        if (strncmp(name, "transaction_", 12) == 0 && strncasecmp(pinned, prefix, sizeof prefix - 1) == 0) pinned += sizeof prefix - 1;
        if (strcasecmp(pinned, name) != 0) continue;
        *wanted = s[1];
        if (value == NULL || strcasecmp(value, s[1]) == 0) return PG_PIN_SAME;
        return same_if((is_true(value) && is_true(s[1])) || (is_false(value) && is_false(s[1])));
    }
    return PG_PIN_NONE;
}

enum pg_pin pg_setting_pin(const struct pol_pins *pins, const char *name, const char *value, const char **wanted) {
    const char *none;
    if (wanted == NULL) wanted = &none;
    *wanted = NULL;
    if (strcmp(name, "client_encoding") == 0) return *wanted = "UTF8", same_if(value == NULL || is_utf8(value));
    if (strcmp(name, "standard_conforming_strings") == 0) return *wanted = "on", same_if(value == NULL || is_true(value));
    if (strcmp(name, "row_security") == 0) return *wanted = "on", same_if(value == NULL || is_true(value));
    if (strcmp(name, "backslash_quote") == 0)
        return *wanted = "safe_encoding", same_if(value == NULL || strcasecmp(value, "safe_encoding") == 0);
    if (strcmp(name, "session_replication_role") == 0)
        return *wanted = "origin", same_if(value == NULL || strcasecmp(value, "origin") == 0);
    if (strcmp(name, "role") == 0) return *wanted = "none", same_if(value == NULL || strcmp(value, "none") == 0);
    if (strcmp(name, "session_authorization") == 0) return *wanted = "DEFAULT", same_if(value == NULL);
    if (is_ours(name)) return same_if(value == NULL);
    if (strcmp(name, "search_path") == 0) return same_if(value == NULL || same_path(pins, value));
    if (strcmp(name, "timezone") == 0 && pins->time_zone != NULL)
        return *wanted = pins->time_zone, same_if(value == NULL || strcasecmp(value, pins->time_zone) == 0);
    if (strcmp(name, "datestyle") == 0 && pins->date_style != NULL)
        return *wanted = pins->date_style, same_if(value == NULL || same_loosely(value, pins->date_style));
    return configured_pin(pins, name, value, wanted);
}

bool pg_setting_inert(const char *name, const char *value) {
    if (POL_IN(inert, name)) return true;
    /* From 1 on, the default, a float's text is the shortest that reads back exactly. Drivers (pgjdbc) set it to 3 in each session. */
    return strcmp(name, "extra_float_digits") == 0 && value != NULL && (*value >= '1' && *value <= '3') && value[1] == '\0';
}

bool pg_setting_unpinnable(const char *name) { return POL_IN(unpinnable, name); }

const char *pg_settings_out_of_order(void) {
    const char *word = NULL;
    if (word == NULL) word = POL_OUT_OF_ORDER(harmless);
    if (word == NULL) word = POL_OUT_OF_ORDER(showable);
    if (word == NULL) word = POL_OUT_OF_ORDER(inert);
    if (word == NULL) word = POL_OUT_OF_ORDER(unpinnable);
    return word;
}
