#include "policy/my_types.h"

#include <stdlib.h>
#include <string.h>

static enum my_class class_of(const char *name) {
    static const struct {
        const char *name;
        enum my_class class;
    } known[] = {{"bigint", MY_C_INT},          {"binary", MY_C_BINARY},   {"bit", MY_C_BIT},
                 {"blob", MY_C_BINARY},         {"char", MY_C_CHAR},       {"date", MY_C_DATE},
                 {"datetime", MY_C_DATETIME},   {"decimal", MY_C_DECIMAL}, {"double", MY_C_FLOAT},
                 {"enum", MY_C_ENUM},           {"float", MY_C_FLOAT},     {"inet4", MY_C_OWN},
                 {"inet6", MY_C_OWN},           {"int", MY_C_INT},         {"json", MY_C_JSON},
                 {"longblob", MY_C_BINARY},     {"longtext", MY_C_TEXT},   {"mediumblob", MY_C_BINARY},
                 {"mediumint", MY_C_INT},       {"mediumtext", MY_C_TEXT}, {"set", MY_C_OTHER},
                 {"smallint", MY_C_INT},        {"text", MY_C_TEXT},       {"time", MY_C_TIME},
                 {"timestamp", MY_C_TIMESTAMP}, {"tinyblob", MY_C_BINARY}, {"tinyint", MY_C_INT},
                 {"tinytext", MY_C_TEXT},       {"uuid", MY_C_OWN},        {"varbinary", MY_C_BINARY},
                 {"varchar", MY_C_VARCHAR},     {"year", MY_C_YEAR}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0) return known[i].class;
    return MY_C_OTHER;
}

/* The word behind what, into to; "" when there is none. False when it is no word. */
static bool word_behind(const char *typ, const char *what, char *to, size_t size) {
    const char *p = strstr(typ, what);
    size_t n = p == NULL ? 0 : strspn(p + strlen(what), "abcdefghijklmnopqrstuvwxyz0123456789_");
    to[0] = '\0';
    if (p == NULL) return true;
    if (n == 0 || n >= size) return false;
    memcpy(to, p + strlen(what), n);
    to[n] = '\0';
    return true;
}

bool my_type_of(const struct pol_catalog *c, const struct pol_cat_column *col, struct my_type *out) {
    const struct pol_cat_type *t = pol_catalog_type(c, col->type);
    const char *typ = col->typ, *open = strchr(typ, '('), *blank = strchr(typ, ' '), *last = strrchr(typ, '\'');
    *out = (struct my_type){0};
    if (t == NULL) return false;
    out->name = t->name;
    out->class = class_of(t->name);
    bool numbers = out->class != MY_C_OTHER && out->class != MY_C_ENUM && open != NULL && (blank == NULL || open < blank);
    if (numbers) {
        size_t n = strspn(open + 1, "0123456789,") + 2;
        if (open[n - 1] != ')' || n >= sizeof out->length) return false;
        memcpy(out->length, open, n);
        out->length[n] = '\0';
        out->chars = strtoul(open + 1, NULL, 10);
    }
    if (last == NULL) last = typ; /* behind the values of an enum */
    out->is_unsigned = out->class == MY_C_YEAR || out->class == MY_C_BIT || strstr(last, "unsigned") != NULL;
    return word_behind(last, " character set ", out->charset, sizeof out->charset) &&
           word_behind(last, " collate ", out->collation, sizeof out->collation);
}
