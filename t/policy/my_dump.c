/* Facts of MySQL's statements for t/mysql: reads "SERVER VERSION MODE FLAGS DB_BYTES SQL_BYTES\n", then the database's name and the statement; writes a line of JSON
 * for each. SERVER is mysql or mariadb, MODE a value of sql_mode or "-", FLAGS have m for several statements and f for folded names.
 *
 * "lex" in front of SERVER: the tokens in place of the facts, as [kind, value]; a value that is not UTF-8 as {"hex": ...}. */
#include "policy/my_lex.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *words(unsigned access) {
    json_t *a = json_array();
    for (unsigned bit = 1; bit <= POL_TEMP; bit <<= 1)
        if (access & bit) json_array_append_new(a, json_string(pol_action_name(bit)));
    return a;
}

static json_t *statement(const struct pol_stmt *s) {
    json_t *relations = json_array(), *functions = json_array(), *settings = json_array();
    for (size_t i = 0; i < s->nrelations; i++) {
        const struct pol_relation *r = &s->relations[i];
        json_array_append_new(relations, json_pack("[s, s, o]", r->schema, r->name, words(r->access)));
    }
    for (size_t i = 0; i < s->nfunctions; i++)
        json_array_append_new(functions, json_pack("[s?, s]", s->functions[i].schema, s->functions[i].name));
    for (size_t i = 0; i < s->nsettings; i++)
        json_array_append_new(settings, json_pack("[s, s?, b]", s->settings[i].name, s->settings[i].value, s->settings[i].show));
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:b, s:b, s:b, s:s?}", "kind", pol_kind_name(s->kind), "tag", s->tag, "actions",
                     words(s->actions), "relations", relations, "functions", functions, "settings", settings, "opaque", s->opaque,
                     "reads_only", s->reads_only, "unbounded", s->unbounded, "use", s->use_schema);
}

static json_t *facts(const char *sql, size_t len, const struct my_options *o) {
    struct pol_parse_error err;
    struct pol_facts *f = pol_facts_my(sql, len, o, &err);
    if (f == NULL) return json_pack("{s:i, s:s, s:i}", "rc", (int)err.rc, "error", err.text, "position", (int)err.position);
    json_t *stmts = json_array();
    for (size_t i = 0; i < f->nstmts; i++) json_array_append_new(stmts, statement(&f->stmts[i]));
    pol_facts_free(f);
    return json_pack("{s:o}", "stmts", stmts);
}

static json_t *in_hex(const char *value, size_t n) {
    char *hex = malloc(2 * n + 1);
    if (hex == NULL) abort();
    for (size_t i = 0; i < n; i++) snprintf(hex + 2 * i, 3, "%02x", (unsigned)(unsigned char)value[i]);
    json_t *o = json_pack("{s:s}", "hex", hex);
    free(hex);
    return o;
}

static json_t *tokens(const char *sql, size_t len, const struct my_options *o) {
    struct pol_parse_error err;
    struct my_tokens t;
    if (!my_lex(sql, len, o, &t, &err)) return json_pack("{s:i, s:s}", "rc", (int)err.rc, "error", err.text);
    json_t *all = json_array();
    for (uint32_t i = 0; i < t.n; i++) {
        char *value = malloc((size_t)(t.t[i].end - t.t[i].at) + 1);
        if (value == NULL) abort();
        size_t n = my_token_value(sql, &t.t[i], o->mode, value);
        json_t *text = json_stringn(value, n);
        if (text == NULL) text = in_hex(value, n);
        json_array_append_new(all, json_pack("[i, o]", (int)t.t[i].kind, text));
        free(value);
    }
    free(t.t);
    return json_pack("{s:o}", "tokens", all);
}

static char *bytes(size_t n) {
    char *p = malloc(n + 1);
    if (p == NULL || fread(p, 1, n, stdin) != n) exit(1);
    p[n] = '\0';
    return p;
}

int main(void) {
    char line[2048], server[16], mode[1024], flags[16];
    while (fgets(line, sizeof line, stdin) != NULL) {
        bool lex = strncmp(line, "lex ", 4) == 0;
        unsigned version, db_len, len;
        struct my_options o = {0};
        if (sscanf(line + (lex ? 4 : 0), "%15s %u %1023s %15s %u %u", server, &version, mode, flags, &db_len, &len) != 6) return 1;
        o.server = strcmp(server, "mysql") == 0 ? MY_MYSQL : MY_MARIADB;
        o.version = version;
        bool known = strcmp(mode, "-") == 0 || my_mode_of(mode, strlen(mode), &o.mode);
        o.multi = strchr(flags, 'm') != NULL;
        o.fold_names = strchr(flags, 'f') != NULL;
        char *db = bytes(db_len), *sql = bytes(len);
        o.default_db = db_len > 0 ? db : NULL;
        json_t *answer = !known ? json_pack("{s:i, s:s}", "rc", -1, "error", "a mode is not known")
                         : lex  ? tokens(sql, len, &o)
                                : facts(sql, len, &o);
        if (answer == NULL || json_dumpf(answer, stdout, JSON_COMPACT) != 0) return 1;
        putchar('\n');
        fflush(stdout);
        json_decref(answer);
        free(db);
        free(sql);
    }
    return 0;
}
