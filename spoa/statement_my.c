/* MySQL's and MariaDB's statements: what sessions and requests do with them alike. */
#include "spoa/statement.h"

#include "filters/bytes.h"
#include "policy/my_lex.h"

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

/* Variables, and what the statement before has left behind. */
const char *stmt_my_unaskable(const struct pol_facts *f, const char *text, size_t len, const struct my_options *o) {
    static const char *const left[] = {"last_insert_id", "found_rows", "row_count", NULL};
    struct pol_parse_error err;
    struct my_tokens tokens;
    const char *why = NULL;
    for (size_t i = 0; i < f->nstmts; i++)
        for (size_t k = 0; k < f->stmts[i].nfunctions; k++)
            for (const char *const *n = left; *n != NULL; n++)
                if (strcmp(f->stmts[i].functions[k].name, *n) == 0)
                    why = "it uses what an earlier statement of the session has left behind";
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
