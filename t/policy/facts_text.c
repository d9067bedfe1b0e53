#include "t/policy/facts_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 3, 4))) static void add(char *out, size_t size, const char *fmt, ...) {
    size_t used = strlen(out);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(out + used, size - used, fmt, ap);
    va_end(ap);
}

static void add_access(char *out, size_t size, unsigned access) {
    const char *comma = "";
    for (unsigned bit = 1; bit <= POL_TEMP; bit <<= 1) {
        if ((access & bit) == 0) continue;
        add(out, size, "%s%s", comma, pol_action_name(bit));
        comma = ",";
    }
}

static void statement(const struct pol_stmt *s, char *out, size_t size) {
    add(out, size, "%s", pol_kind_name(s->kind));
    for (unsigned bit = 1; bit <= POL_TEMP; bit <<= 1)
        if (s->actions & bit) add(out, size, " +%s", pol_action_name(bit));
    for (size_t i = 0; i < s->nrelations; i++) {
        const struct pol_relation *r = &s->relations[i];
        add(out, size, " %s%s%s=", r->schema != NULL ? r->schema : "", r->schema != NULL ? "." : "", r->name);
        add_access(out, size, r->access);
        if (r->named_rows) add(out, size, "(named)");
    }
    for (size_t i = 0; i < s->nfunctions; i++) {
        const struct pol_function *f = &s->functions[i];
        add(out, size, " fn:%s%s%s", f->schema != NULL ? f->schema : "", f->schema != NULL ? "." : "", f->name);
    }
    for (size_t i = 0; i < s->nsettings; i++) {
        const struct pol_setting *v = &s->settings[i];
        if (v->show)
            add(out, size, " show:%s", v->name);
        else
            add(out, size, " %s:%s=%s", v->local ? "local" : "set", v->name, v->value != NULL ? v->value : "DEFAULT");
    }
    if (s->forget_all_statements)
        add(out, size, " forget:*");
    else if (s->forget_statement != NULL)
        add(out, size, " forget:%s", s->forget_statement);
    if (s->hold) add(out, size, " hold");
    if (s->forget_all_portals)
        add(out, size, " portal:*");
    else if (s->forget_portal != NULL)
        add(out, size, " portal:%s", s->forget_portal);
    if (s->uses_statement != NULL) add(out, size, " uses:%s", s->uses_statement);
    if (s->uses_portal != NULL) add(out, size, " cursor:%s", s->uses_portal);
    if (s->use_schema != NULL) add(out, size, " use:%s", s->use_schema);
    add(out, size, "%s%s%s%s%s%s%s", s->definer ? " definer" : "", s->opaque ? " opaque" : "", s->where ? " where" : "",
        s->reads_only ? "" : " writes", s->copy_in ? " in" : "", s->copy_out ? " out" : "", s->counts_rows ? " counts" : "");
}

static void text(struct pol_facts *f, const struct pol_parse_error *err, char *out, size_t size) {
    out[0] = '\0';
    if (f == NULL) {
        static const char *const names[] = {"parsed", "syntax", "deep", "large", "encoding", "unknown", "memory"};
        add(out, size, "!%s %s", names[err->rc], err->text);
        return;
    }
    for (size_t i = 0; i < f->nstmts; i++) {
        if (i > 0) add(out, size, " ; ");
        statement(&f->stmts[i], out, size);
    }
    pol_facts_free(f);
}

void facts_text(const char *sql, size_t len, char *out, size_t size) {
    struct pol_parse_error err;
    struct pol_facts *f = pol_facts_pg(sql, len, NULL, &err);
    text(f, &err, out, size);
}

void facts_text_my(const char *sql, size_t len, const struct my_options *o, char *out, size_t size) {
    struct pol_parse_error err;
    struct pol_facts *f = pol_facts_my(sql, len, o, &err);
    text(f, &err, out, size);
}
