#include "policy/facts_my.h"

#include <string.h>

/* sql_mode's words. Combinations stand for their parts, which the servers list beside them when they show a value. */
static const struct {
    const char *word;
    unsigned mode;
} modes[] = {
    {"ANSI_QUOTES", MY_ANSI_QUOTES},
    {"NO_BACKSLASH_ESCAPES", MY_NO_BACKSLASH_ESCAPES},
    {"PIPES_AS_CONCAT", MY_PIPES_AS_CONCAT},
    {"HIGH_NOT_PRECEDENCE", MY_HIGH_NOT_PRECEDENCE},
    {"IGNORE_SPACE", MY_IGNORE_SPACE},
    {"ORACLE", MY_ORACLE | MY_PIPES_AS_CONCAT | MY_ANSI_QUOTES | MY_IGNORE_SPACE},
    {"MSSQL", MY_ORACLE | MY_PIPES_AS_CONCAT | MY_ANSI_QUOTES | MY_IGNORE_SPACE}, /* [x] is a name: as unknown as ORACLE */
    {"ANSI", MY_PIPES_AS_CONCAT | MY_ANSI_QUOTES | MY_IGNORE_SPACE},
    {"POSTGRESQL", MY_PIPES_AS_CONCAT | MY_ANSI_QUOTES | MY_IGNORE_SPACE},
    {"DB2", MY_PIPES_AS_CONCAT | MY_ANSI_QUOTES | MY_IGNORE_SPACE},
    {"MAXDB", MY_PIPES_AS_CONCAT | MY_ANSI_QUOTES | MY_IGNORE_SPACE},
    {"MYSQL323", MY_HIGH_NOT_PRECEDENCE},
    {"MYSQL40", MY_HIGH_NOT_PRECEDENCE},
    {"REAL_AS_FLOAT", 0},
    {"ONLY_FULL_GROUP_BY", 0},
    {"NO_UNSIGNED_SUBTRACTION", 0},
    {"NO_DIR_IN_CREATE", 0},
    {"NO_KEY_OPTIONS", 0},
    {"NO_TABLE_OPTIONS", 0},
    {"NO_FIELD_OPTIONS", 0},
    {"NO_AUTO_VALUE_ON_ZERO", 0},
    {"STRICT_TRANS_TABLES", 0},
    {"STRICT_ALL_TABLES", 0},
    {"NO_ZERO_IN_DATE", 0},
    {"NO_ZERO_DATE", 0},
    {"ALLOW_INVALID_DATES", 0},
    {"ERROR_FOR_DIVISION_BY_ZERO", 0},
    {"TRADITIONAL", 0},
    {"NO_AUTO_CREATE_USER", 0},
    {"NO_ENGINE_SUBSTITUTION", 0},
    {"PAD_CHAR_TO_FULL_LENGTH", 0},
    {"EMPTY_STRING_IS_NULL", 0},
    {"SIMULTANEOUS_ASSIGNMENT", 0},
    {"TIME_ROUND_FRACTIONAL", 0},
    {"IGNORE_BAD_TABLE_OPTIONS", 0},
    {"INTERPRET_UTF8_AS_UTF8MB4", 0},
    {"NOT_USED", 0},
    {"TIME_TRUNCATE_FRACTIONAL", 0},
};

static bool same(const char *s, size_t n, const char *word) {
    for (size_t i = 0; i < n; i++) {
        char c = s[i] >= 'a' && s[i] <= 'z' ? (char)(s[i] & ~0x20) : s[i];
        if (c != word[i]) return false;
    }
    return word[n] == '\0';
}

bool my_mode_of(const char *text, size_t len, unsigned *mode) {
    *mode = 0;
    for (size_t at = 0; at < len;) {
        const char *comma = memchr(text + at, ',', len - at);
        size_t n = comma != NULL ? (size_t)(comma - (text + at)) : len - at, i = 0;
        while (i < sizeof modes / sizeof *modes && !same(text + at, n, modes[i].word)) i++;
        if (n > 0 && i == sizeof modes / sizeof *modes) return false;
        if (n > 0) *mode |= modes[i].mode;
        at += n + 1;
    }
    return true;
}
