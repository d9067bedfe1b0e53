#include "ctl/columns.h"

#include "policy/obligations.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *read_all(FILE *f, size_t *len) {
    char *text = NULL;
    size_t cap = 0, n = 0;
    for (;;) {
        if (n + (1u << 16) > cap) {
            cap = cap == 0 ? 1u << 20 : cap * 2;
            char *moved = cap > POL_CAT_BYTES * 2u ? NULL : realloc(text, cap);
            if (moved == NULL) {
                free(text);
                return NULL;
            }
            text = moved;
        }
        size_t got = fread(text + n, 1, cap - n, f);
        if (got == 0) break;
        n += got;
    }
    *len = n;
    return text;
}

struct pol_policy *ctl_policy_file(const char *path) {
    struct pol_error err;
    struct pol_policy *p = pol_policy_load(path, &err);
    char text[1024];
    if (p != NULL) return p;
    pol_error_format(&err, text, sizeof text);
    fprintf(stderr, "%s\n", text);
    return NULL;
}

struct pol_catalog *ctl_catalog_file(const char *path) {
    char why[400];
    size_t len = 0;
    FILE *f = fopen(path, "re");
    char *text = f != NULL ? read_all(f, &len) : NULL;
    if (text == NULL) {
        fprintf(stderr, "gatehousectl policy: %s: %s\n", path, f == NULL ? strerror(errno) : "it is too large");
        if (f != NULL) fclose(f);
        return NULL;
    }
    fclose(f);
    struct pol_catalog *c = pol_catalog_parse(text, len, why, sizeof why);
    if (c == NULL) fprintf(stderr, "gatehousectl policy: %s: %s (\"gatehousectl catalog\" makes such a file)\n", path, why);
    free(text);
    if (c != NULL && !pol_catalog_read_views(c)) {
        fprintf(stderr, "gatehousectl policy: %s: out of memory\n", path);
        pol_catalog_unref(c);
        c = NULL;
    }
    return c;
}

static json_t *words(unsigned bits) {
    json_t *a = json_array();
    for (unsigned bit = 1; bit <= bits; bit <<= 1)
        if (bits & bit) json_array_append_new(a, json_string(pol_use_name(bit)));
    return a;
}

static const char *seen(const struct pol_view *view, size_t i) { return view != NULL ? view->columns[i].how : "visible"; }

static const struct pol_view *view_of(const struct pol_role *role, const struct pol_cat_relation *r) {
    bool failed = false;
    return pol_role_view(role, r, &failed);
}

json_t *ctl_columns_json(const struct pol_columns *c, const struct pol_role *role) {
    json_t *all = json_array();
    for (size_t i = 0; i < c->nrelations; i++) {
        const struct pol_relation_use *r = &c->relations[i];
        const struct pol_view *view = view_of(role, r->relation);
        json_t *columns = json_array();
        for (size_t k = 0; k < r->relation->ncolumns; k++) {
            const struct pol_column_use *u = &r->columns[k];
            if (u->named == 0 && u->unnamed == 0) continue;
            json_array_append_new(columns,
                                  json_pack("{s:s, s:o, s:o, s:i, s:s}", "name", r->relation->columns[k].name, "named", words(u->named),
                                            "unnamed", words(u->unnamed), "location", (int)u->location, "seen", seen(view, k)));
        }
        json_array_append_new(all, json_pack("{s:s, s:s, s:b, s:b, s:o}", "schema", r->relation->schema, "name", r->relation->name,
                                             "complete", r->complete, "system_columns", r->system, "columns", columns));
    }
    return all;
}

static void print_words(unsigned bits) {
    if (bits != POL_USE_READ) bits &= ~(unsigned)POL_USE_READ;
    bool first = true;
    for (unsigned bit = 1; bit <= bits; bit <<= 1) {
        if ((bits & bit) == 0) continue;
        printf("%s%s", first ? "" : ", ", pol_use_name(bit));
        first = false;
    }
}

void ctl_columns_print(const struct pol_columns *c, const struct pol_role *role) {
    for (size_t i = 0; i < c->nrelations; i++) {
        const struct pol_relation_use *r = &c->relations[i];
        const struct pol_view *view = view_of(role, r->relation);
        for (size_t k = 0; k < r->relation->ncolumns; k++) {
            unsigned bits = r->columns[k].named | r->columns[k].unnamed;
            if (bits == 0) continue;
            printf("  column %s.%s.%s: ", r->relation->schema, r->relation->name, r->relation->columns[k].name);
            print_words(bits);
            printf("%s", r->columns[k].named == 0 ? " (not by its name)" : "");
            printf("%s%s\n", view != NULL && view->columns[k].visibility != POL_VISIBLE ? "; " : "",
                   view != NULL && view->columns[k].visibility != POL_VISIBLE ? view->columns[k].how : "");
        }
        if (r->system) printf("  columns %s.%s: system columns\n", r->relation->schema, r->relation->name);
        if (!r->complete) printf("  columns %s.%s: not all are known; each counts as read\n", r->relation->schema, r->relation->name);
    }
}

/* --- views --- */

#define MAX_READS 256 /* relations behind one view */

/* The relations behind a view, views behind it included, of which the role sees less than all. *more: a view of which not all is known, or NULL. */
static size_t hidden_behind(const struct pol_cat_relation *view, const struct pol_role *role, const struct pol_cat_relation **out,
                            const struct pol_cat_relation **more) {
    const struct pol_cat_relation *all[MAX_READS + 1] = {view};
    size_t n = 1, hidden = 0;
    *more = NULL;
    for (size_t at = 0; at < n; at++) {
        if (all[at]->reads_more && *more == NULL && pol_role_restricts(role)) *more = all[at];
        for (size_t i = 0; i < all[at]->nreads; i++) {
            const struct pol_cat_relation *r = all[at]->reads[i];
            size_t known = 0;
            while (known < n && all[known] != r) known++;
            if (known < n || n > MAX_READS) continue;
            all[n++] = r;
            if (view_of(role, r) != NULL) out[hidden++] = r;
        }
    }
    return hidden;
}

void ctl_views_print(const struct pol_columns *c, const struct pol_role *role) {
    const struct pol_cat_relation *hidden[MAX_READS], *more;
    for (size_t i = 0; i < c->nrelations; i++) {
        const struct pol_cat_relation *view = c->relations[i].relation;
        size_t n = hidden_behind(view, role, hidden, &more);
        if (more != NULL)
            printf("warning: not all is known of what the view %s.%s reads: gatehouse's user may not see that, or the definition (SHOW "
                   "VIEW), or it is not understood; what the policy hides of it does not reach through a view\n",
                   more->schema, more->name);
        for (size_t k = 0; k < n; k++)
            printf("warning: the view %s.%s reads %s.%s; what the policy hides of that does not reach through a view\n", view->schema,
                   view->name, hidden[k]->schema, hidden[k]->name);
    }
}

json_t *ctl_views_json(const struct pol_columns *c, const struct pol_role *role) {
    const struct pol_cat_relation *hidden[MAX_READS], *more;
    json_t *all = json_array();
    for (size_t i = 0; i < c->nrelations; i++) {
        const struct pol_cat_relation *view = c->relations[i].relation;
        size_t n = hidden_behind(view, role, hidden, &more);
        if (more != NULL)
            json_array_append_new(
                all, json_pack("{s:s, s:s, s:n, s:n}", "schema", more->schema, "name", more->name, "reads_schema", "reads_name"));
        for (size_t k = 0; k < n; k++)
            json_array_append_new(all, json_pack("{s:s, s:s, s:s, s:s}", "schema", view->schema, "name", view->name, "reads_schema",
                                                 hidden[k]->schema, "reads_name", hidden[k]->name));
    }
    return all;
}
