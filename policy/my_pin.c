#include "policy/my_pin.h"

#include "policy/facts_my.h"

#include <string.h>
#include <strings.h>

static bool is_utf8(const char *value) {
    return value != NULL && (strcasecmp(value, "utf8mb4") == 0 || strcasecmp(value, "utf8mb3") == 0 || strcasecmp(value, "utf8") == 0);
}

static enum pg_pin same_if(bool same) { return same ? PG_PIN_SAME : PG_PIN_OTHER; }

/* character_set_client decides how the text is read; the others what literals become. */
static bool is_charset(const char *name) {
    static const char *const names[] = {"names", "character set", "character_set_client", "character_set_connection", NULL};
    for (const char *const *n = names; *n != NULL; n++)
        if (strcmp(*n, name) == 0) return true;
    return false;
}

enum pg_pin my_setting_pin(const struct pol_pins *pins, const char *name, const char *value, const char **wanted) {
    unsigned mode;
    *wanted = NULL;
    if (strcmp(name, "sql_mode") == 0) {
        *wanted = "modes that do not change how a text is read";
        size_t n = strlen(POL_MODE_AND);
        if (value != NULL && strncmp(value, POL_MODE_AND, n) == 0) /* added to what there is */
            return same_if((value[n] == ',' || value[n] == '\0') && my_mode_of(value + n, strlen(value + n), &mode) && mode == 0);
        return same_if(value != NULL && pins->my_mode_known && my_mode_of(value, strlen(value), &mode) && mode == pins->my_mode);
    }
    if (is_charset(name)) return *wanted = "utf8mb4", same_if(is_utf8(value));
    if (strcmp(name, "collation_connection") == 0)
        return *wanted = "a collation of utf8mb4", same_if(value != NULL && strncasecmp(value, "utf8", 4) == 0);
    if (strcmp(name, "old_mode") == 0) return PG_PIN_OTHER;
    if (strcmp(name, "session_track_schema") == 0)
        return *wanted = "1",
               same_if(value != NULL && (strcmp(value, "1") == 0 || strcasecmp(value, "on") == 0 || strcasecmp(value, "true") == 0));
    if (strncmp(name, "session_track_", 14) == 0) return PG_PIN_OTHER; /* by it Gatehouse learns what else has changed */
    for (const char *const *s = pins->settings; s != NULL && s[0] != NULL; s += 2)
        if (strcasecmp(s[0], name) == 0) return *wanted = s[1], same_if(value != NULL && strcasecmp(s[1], value) == 0);
    return PG_PIN_NONE;
}

bool my_setting_inert(const char *name) {
    static const char *const inert[] = {"autocommit",
                                        "character_set_results",
                                        "innodb_lock_wait_timeout",
                                        "interactive_timeout",
                                        "lock_wait_timeout",
                                        "max_execution_time",
                                        "max_statement_time",
                                        "net_read_timeout",
                                        "net_write_timeout",
                                        "session_track_system_variables",
                                        "sql_notes",
                                        "sql_warnings",
                                        "transaction",
                                        "transaction_isolation",
                                        "transaction_read_only",
                                        "tx_isolation",
                                        "tx_read_only",
                                        "wait_timeout",
                                        NULL};
    for (const char *const *n = inert; *n != NULL; n++)
        if (strcmp(*n, name) == 0) return true;
    return false;
}
