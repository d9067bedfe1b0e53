#include "config.h"

#include "ctl/request.h"

#include "ctl/door.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lines {
    void (*line)(void *arg, enum request_line kind, const char *name, const char *text);
    void *arg;
    bool failed;
};

static void say(const struct lines *l, enum request_line kind, const char *name, const char *text) {
    if (kind != REQUEST_FIELD || text[0] != '\0') l->line(l->arg, kind, name, text);
}

static void field(const struct lines *l, const char *name, const char *text) { say(l, REQUEST_FIELD, name, text); }

static void sayf(struct lines *l, enum request_line kind, const char *name, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static void sayf(struct lines *l, enum request_line kind, const char *name, const char *fmt, ...) {
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    l->failed = l->failed || n < 0;
    if (n < 0) return;
    say(l, kind, name, text);
    free(text);
}

/* With brackets, or as they are. */
static void say_list(struct lines *l, const char *name, const char *before, const char *open, const json_t *list, const char *close) {
    char *out = NULL;
    size_t size;
    FILE *f = open_memstream(&out, &size);
    for (size_t i = 0; f != NULL && i < json_array_size(list); i++) {
        const char *s = json_string_value(json_array_get(list, i));
        fprintf(f, "%s%s", i > 0 ? ", " : "", s != NULL ? s : "");
    }
    if (f == NULL || fclose(f) != 0)
        l->failed = true;
    else
        sayf(l, REQUEST_FIELD, name, "%s%s%s%s", before, open, out, close);
    free(out);
}

static void asks(struct lines *l, const json_t *list) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *a = json_array_get(list, i), *g = json_object_get(a, "grant");
        char before[40], after[400];
        snprintf(before, sizeof before, "%lld of ", (long long)json_integer_value(json_object_get(a, "quorum")));
        snprintf(after, sizeof after, " (rule %.380s)", door_text(a, "rule"));
        say_list(l, "needs", before, "", json_object_get(a, "approvers"), after);
        if (g != NULL)
            sayf(l, REQUEST_FIELD, "may be given", "for at most %lld s, scope %s",
                 (long long)json_integer_value(json_object_get(g, "max")) / 1000, door_text(g, "scope"));
    }
}

static void decisions(struct lines *l, const char *name, const json_t *list) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *d = json_array_get(list, i);
        const char *reason = door_text(d, "reason");
        char given[100] = "";
        if (json_object_get(d, "for") != NULL)
            snprintf(given, sizeof given, ", for %lld s (%.40s)", (long long)json_integer_value(json_object_get(d, "for")),
                     door_text(d, "scope"));
        sayf(l, REQUEST_FIELD, name, "%s by %s at %s%s%s%s", strcmp(door_text(d, "verdict"), "approve") == 0 ? "approved" : "denied",
             door_text(d, "approver"), door_text(d, "time"), given, reason[0] != '\0' ? ": " : "", reason);
    }
}

static void sql(struct lines *l, const json_t *o) {
    long long cut = (long long)json_integer_value(json_object_get(o, "sql_cut"));
    say(l, REQUEST_SQL, "", door_text(o, "sql"));
    if (cut > 0) sayf(l, REQUEST_NOTE, "", "... and %lld bytes more: see gatehousectl approvals show %s", cut, door_text(o, "id"));
}

static void params(struct lines *l, const json_t *list) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        char name[24], *value = json_dumps(json_array_get(list, i), JSON_ENCODE_ANY | JSON_COMPACT);
        snprintf(name, sizeof name, "$%zu", i + 1);
        sayf(l, REQUEST_FIELD, name, "%s", value != NULL ? value : "(cannot be shown)");
        free(value);
    }
}

static void rest(struct lines *l, const json_t *o) {
    static const char *const names[][2] = {{"tool", "tool"}, {"beside it", "arguments"}, {"session", "session"},
                                           {"from", "src"},  {"policy", "policy"},       {"sha256", "sha256"}};
    const json_t *earlier = json_object_get(o, "earlier");
    params(l, json_object_get(o, "params"));
    say_list(l, "functions", "", "", json_object_get(o, "functions"), "");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) field(l, names[i][0], door_text(o, names[i][1]));
    for (size_t i = 0; i < json_array_size(earlier); i++) {
        const json_t *e = json_array_get(earlier, i);
        sayf(l, REQUEST_FIELD, "earlier", "the same statement at %s: %s", door_text(e, "created"), door_text(e, "status"));
        decisions(l, "", json_object_get(e, "decisions"));
    }
}

bool request_lines(const json_t *o, bool whole, void (*line)(void *arg, enum request_line kind, const char *name, const char *text),
                   void *arg) {
    struct lines l = {line, arg, false};
    const char *until = door_text(o, "use_by");
    sayf(&l, REQUEST_FIELD, "request", "%s, %s until %s", door_text(o, "id"), door_text(o, "status"),
         until[0] != '\0' ? until : door_text(o, "expires"));
    say_list(&l, "by", door_text(o, "principal"), " (", json_object_get(o, "groups"), ")");
    field(&l, "database", door_text(o, "database"));
    field(&l, "over http", door_text(o, "api"));
    field(&l, "why", door_text(o, "reason"));
    asks(&l, json_object_get(o, "asks"));
    field(&l, "does", door_text(o, "statements"));
    field(&l, "touches", door_text(o, "relations"));
    if (json_object_get(o, "estimated_rows") != NULL)
        sayf(&l, REQUEST_FIELD, "rows", "about %lld, by the database's planner",
             (long long)json_integer_value(json_object_get(o, "estimated_rows")));
    decisions(&l, "decision", json_object_get(o, "decisions"));
    if (json_is_true(json_object_get(o, "opaque"))) say(&l, REQUEST_WARNING, "", "What it does cannot be seen from its text.");
    if (json_is_true(json_object_get(o, "sql_not_ascii")))
        say(&l, REQUEST_WARNING, "", "It has letters that may look like others: compare with \"touches\".");
    sql(&l, o);
    if (whole) rest(&l, o);
    return !l.failed;
}
