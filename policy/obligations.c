#include "policy/obligations.h"

#include "filters/bytes.h"
#include "policy/expr_my.h"
#include "policy/policy_int.h"
#include "policy/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_ANCESTORS 1000u
#define MAX_SQL       (1u << 20) /* of one relation's filter */
#define DATA_ACTIONS  (POL_SELECT | POL_INSERT | POL_UPDATE | POL_DELETE)

struct pol_views { /* relation -> view, NULL for one that is not restricted */
    const struct pol_cat_relation **keys;
    const struct pol_view **views;
    size_t size, used;
};

/* --- templates --- */

void pol_template(struct buf *out, const char *sql, const char *alias) {
    for (const char *p = sql, *mark; *p != '\0'; p = mark) {
        for (mark = p; *mark != '\0' && *mark != POL_T_ROW; mark++) {
        }
        buf_put(out, p, (size_t)(mark - p));
        if (*mark == '\0') return;
        buf_str(out, alias);
        mark++;
    }
}

/* --- one relation --- */

struct mk {
    const struct pol_role *r;
    struct pol_view *v;
    struct pol_view_column *columns;
    const struct pol_cat_relation *ancestors[MAX_ANCESTORS]; /* the relation itself first */
    size_t nancestors;
    struct buf filter;
    bool writes_said, no_memory;
};

__attribute__((format(printf, 2, 3))) static void problem(struct mk *k, const char *fmt, ...) {
    char text[400] = "";
    va_list ap;
    if (k->v->problem != NULL) return;
    va_start(ap, fmt);
    pol_vadd(text, sizeof text, fmt, ap);
    va_end(ap);
    k->v->problem = pol_strdup(k->r->arena, text);
    if (k->v->problem == NULL) k->no_memory = true;
}

/* Before the problem itself. */
static void missing(struct mk *k, const char *column) {
    if (k->v->problem == NULL) k->v->missing = column;
}

static const char *keep(struct mk *k, const struct buf *b) {
    char *s = b->failed ? NULL : pol_strndup(k->r->arena, (const char *)buf_at(b), buf_used(b));
    if (s == NULL) k->no_memory = true;
    return s;
}

bool pol_rule_is_about(const struct pol_rule *rule, bool mysql, const char *schema, const char *name) {
    bool system = pol_closed_schema(mysql, schema);
    if (rule->deny || (rule->actions & DATA_ACTIONS) == 0) return false;
    for (size_t i = 0; i < rule->non; i++) {
        if (system && strchr(rule->on[i].schema, '*') != NULL) continue;
        if (pol_matches(&rule->on[i], schema, name)) return true;
    }
    return false;
}

static bool covers(const struct mk *k, const struct pol_rule *rule) {
    for (size_t i = 0; i < k->nancestors; i++)
        if (pol_rule_is_about(rule, k->r->pins.mysql, k->ancestors[i]->schema, k->ancestors[i]->name)) return true;
    return false;
}

/* The relation and everything that it is a partition or child of, each once. */
static void find_ancestors(struct mk *k, const struct pol_cat_relation *rel) {
    k->ancestors[k->nancestors++] = rel;
    for (size_t i = 0; i < k->nancestors; i++)
        for (size_t p = 0; p < k->ancestors[i]->nparents; p++) {
            const struct pol_cat_relation *parent = k->ancestors[i]->parents[p];
            size_t known = 0;
            while (known < k->nancestors && k->ancestors[known] != parent) known++;
            if (known < k->nancestors) continue;
            if (k->nancestors == MAX_ANCESTORS) {
                problem(k, "it has more than %u parents", MAX_ANCESTORS);
                return;
            }
            k->ancestors[k->nancestors++] = parent;
        }
}

/* MySQL's names of columns are the same in any case. */
static bool same_name(bool mysql, const char *a, const char *b) { return mysql ? strcasecmp(a, b) == 0 : strcmp(a, b) == 0; }

const struct pol_cat_column *pol_find_column(const struct pol_cat_relation *rel, const char *name, bool mysql) {
    const struct pol_cat_column *c = pol_cat_column(rel, name);
    for (size_t i = 0; c == NULL && mysql && i < rel->ncolumns; i++)
        if (same_name(mysql, rel->columns[i].name, name)) c = &rel->columns[i];
    return c;
}

/* A column that a rule names must be there: a mistyped name would leave the column to "*". Where a pattern holds "*", it may be another relation's. */
static bool named_somewhere(const struct mk *k, const struct pol_rule *rule, const char *column) {
    for (size_t i = 0; i < rule->non; i++) {
        const struct pol_cat_relation *rel =
            rule->on[i].exact ? pol_catalog_relation(k->r->catalog, rule->on[i].schema, rule->on[i].name) : NULL;
        if (rel == NULL || pol_find_column(rel, column, k->r->pins.mysql) != NULL) return true;
    }
    return false;
}

static bool names_column(const struct mk *k, const char *pattern, const char *column) {
    char folded[400];
    size_t i = 0;
    if (pol_glob(pattern, column)) return true;
    if (!k->r->pins.mysql) return false;
    for (; column[i] != '\0' && i + 1 < sizeof folded; i++)
        folded[i] = column[i] >= 'A' && column[i] <= 'Z' ? (char)(column[i] | 0x20) : column[i];
    folded[i] = '\0';
    return pol_glob(pattern, folded) || same_name(true, pattern, column);
}

static bool has_tag(const struct mk *k, const char *tag, const char *column) {
    const struct pol_policy *p = k->r->policy;
    for (size_t i = 0; i < p->ntags; i++) {
        const struct pol_tag *t = &p->tags[i];
        if (strcmp(t->name, tag) != 0 || strcmp(t->database, k->r->database) != 0) continue;
        for (size_t j = 0; j < t->nitems; j++)
            for (size_t a = 0; a < k->nancestors; a++)
                if (pol_matches(&t->items[j].relation, k->ancestors[a]->schema, k->ancestors[a]->name) &&
                    names_column(k, t->items[j].column, column))
                    return true;
    }
    return false;
}

static bool mask_sql(const struct mk *k, const struct pol_mask *m, bool assume, const struct pol_cat_column *col, struct buf *b, char *why,
                     size_t size) {
    return (k->r->pins.mysql ? pol_mask_my : pol_mask_sql)(m, k->r->catalog, assume, col, b, why, size);
}

static void hide(struct mk *k, struct pol_view_column *c, const struct pol_cat_column *col, enum pol_visibility visibility,
                 const char *rule) {
    static const struct pol_mask null = {.kind = POL_M_NULL};
    char why[200];
    struct buf b = BUF_INIT(4096);
    if (mask_sql(k, &null, true, col, &b, why, sizeof why))
        c->sql = keep(k, &b);
    else if (b.no_memory)
        k->no_memory = true;
    else
        problem(k, "the column \"%.64s\" cannot be hidden: %s", col->name, why);
    buf_free(&b);
    c->visibility = visibility;
    c->how = visibility == POL_HIDDEN ? "hidden" : "masked: null";
    c->null = true;
    c->hash = false;
    c->rule = rule;
}

static void mask(struct mk *k, struct pol_view_column *c, const struct pol_cat_column *col, const struct pol_column_rule *m,
                 const char *rule) {
    char why[200], how[64];
    struct buf b = BUF_INIT(MAX_SQL);
    if (!mask_sql(k, &m->mask, k->r->assume_hash, col, &b, why, sizeof why)) {
        if (b.no_memory)
            k->no_memory = true;
        else
            problem(k, "the rule \"%.64s\" masks the column \"%.64s\": %s", rule, col->name, why);
        buf_free(&b);
        return;
    }
    const char *sql = keep(k, &b);
    buf_free(&b);
    if (sql == NULL) return;
    if (c->visibility == POL_MASKED) { /* the other rule's mask: two different ones leave nothing */
        if (!c->null && strcmp(c->sql, sql) != 0) hide(k, c, col, POL_MASKED, c->rule);
        return;
    }
    pol_mask_words(&m->mask, how, sizeof how);
    c->visibility = POL_MASKED;
    c->sql = sql;
    c->null = m->mask.kind == POL_M_NULL;
    c->hash = m->mask.kind == POL_M_HASH;
    c->rule = rule;
    if ((c->how = pol_strdup(k->r->arena, how)) == NULL) k->no_memory = true;
}

static void apply(struct mk *k, size_t i, const struct pol_column_rule *what, const char *rule) {
    struct pol_view_column *c = &k->columns[i];
    const struct pol_cat_column *col = &k->v->relation->columns[i];
    if (what->visibility == POL_VISIBLE || c->visibility == POL_HIDDEN) return;
    if (what->visibility == POL_HIDDEN)
        hide(k, c, col, POL_HIDDEN, rule);
    else
        mask(k, c, col, what, rule);
}

static void apply_columns(struct mk *k, const struct pol_rule *rule) {
    if (!rule->has_columns) return;
    for (size_t j = 0; j < rule->ncolumns; j++)
        if (rule->columns[j].column != NULL && !named_somewhere(k, rule, rule->columns[j].column)) {
            missing(k, rule->columns[j].column);
            problem(k, "the rule \"%.64s\" names the column \"%.64s\", which does not exist", rule->name, rule->columns[j].column);
        }
    for (size_t i = 0; i < k->v->relation->ncolumns; i++) {
        const char *name = k->v->relation->columns[i].name;
        bool said = false;
        for (size_t j = 0; j < rule->ncolumns; j++) {
            const struct pol_column_rule *c = &rule->columns[j];
            if (c->column != NULL ? !same_name(k->r->pins.mysql, c->column, name) : !has_tag(k, c->tag, name)) continue;
            said = k->columns[i].named = true;
            apply(k, i, c, rule->name);
        }
        if (!said) apply(k, i, &rule->others, rule->name);
    }
}

/* --- rows --- */

static const char *claim(const struct pol_role *r, const char *name, size_t n) {
    for (size_t i = 0; i < r->nclaims; i++)
        if (strncmp(r->claims[i].name, name, n) == 0 && r->claims[i].name[n] == '\0') return r->claims[i].value;
    return NULL;
}

/* The filter with its claims as literals. A claim that is not there, or that no literal can hold, makes the filter false: never absent. */
static bool fill_claims(const struct pol_role *r, const char *sql, struct buf *out) {
    for (const char *p = sql; *p != '\0'; p++) {
        const char *value = NULL, *end;
        if (*p == POL_T_PRINCIPAL) {
            value = r->principal;
        } else if (*p == POL_T_CLAIM) {
            if ((end = strchr(p + 1, POL_T_CLAIM)) == NULL) return false;
            value = claim(r, p + 1, (size_t)(end - p) - 1);
            p = end;
        } else {
            buf_u8(out, (uint8_t)*p);
            continue;
        }
        if (value == NULL || !pol_put_literal(out, value)) return false;
    }
    return true;
}

static void apply_rows(struct mk *k, const struct pol_rule *rule) {
    char why[400];
    const struct pol_cat_relation *rel = k->v->relation;
    bool mysql = k->r->pins.mysql;
    if (rule->rows == NULL) return;
    for (size_t i = 0; i < rule->rows->ncolumns; i++) {
        const struct pol_cat_column *col = pol_find_column(rel, rule->rows->columns[i], mysql);
        if (col == NULL) {
            missing(k, rule->rows->columns[i]);
            problem(k, "the row filter of the rule \"%.64s\" names the column \"%.64s\", which it does not have", rule->name,
                    rule->rows->columns[i]);
        } else if (!mysql && !pol_expr_fits(rule->rows, k->r->catalog, col, why, sizeof why))
            problem(k, "the row filter of the rule \"%.64s\": %s", rule->name, why);
        else
            k->columns[col - rel->columns].filter = true;
    }
    struct buf one = BUF_INIT(MAX_SQL);
    bool ok = mysql ? pol_filter_my(rule->rows, k->r, rel, &one, why, sizeof why) : fill_claims(k->r, rule->rows->sql, &one);
    if (mysql && !ok) problem(k, "the row filter of the rule \"%.64s\": %s", rule->name, why);
    if (buf_used(&k->filter) > 0) buf_str(&k->filter, " AND ");
    buf_u8(&k->filter, '(');
    if (ok)
        buf_put(&k->filter, buf_at(&one), buf_used(&one));
    else
        buf_str(&k->filter, mysql ? "FALSE" : "false");
    buf_u8(&k->filter, ')');
    if (one.failed || k->filter.failed) k->no_memory = true;
    buf_free(&one);
}

/* --- writing --- */

static bool lists(const struct mk *k, const char *const *names, const char *name) {
    for (; *names != NULL; names++)
        if (same_name(k->r->pins.mysql, *names, name)) return true;
    return false;
}

static void apply_write(struct mk *k, const struct pol_rule *rule) {
    if (rule->write == NULL) return;
    for (size_t j = 0; rule->write[j] != NULL; j++)
        if (!named_somewhere(k, rule, rule->write[j])) {
            missing(k, rule->write[j]);
            problem(k, "the rule \"%.64s\" names the column \"%.64s\", which does not exist", rule->name, rule->write[j]);
        }
    for (size_t i = 0; i < k->v->relation->ncolumns; i++)
        k->columns[i].writable = (k->columns[i].writable || !k->writes_said) && lists(k, rule->write, k->v->relation->columns[i].name);
    k->writes_said = true;
}

/* A generated column holds what it is made of. "*" is said of it before anybody knows of it, so where anything of the relation is kept back it must be named. */
static void hide_generated(struct mk *k) {
    const struct pol_cat_relation *rel = k->v->relation;
    const struct pol_view_column *kept = NULL;
    for (size_t i = 0; i < rel->ncolumns && kept == NULL; i++)
        if (k->columns[i].visibility != POL_VISIBLE) kept = &k->columns[i];
    for (size_t i = 0; i < rel->ncolumns && kept != NULL; i++)
        if (rel->columns[i].generated && !k->columns[i].named && k->columns[i].visibility == POL_VISIBLE)
            hide(k, &k->columns[i], &rel->columns[i], POL_HIDDEN, kept->rule);
}

static void finish(struct mk *k) {
    hide_generated(k);
    for (size_t i = 0; i < k->v->relation->ncolumns; i++) {
        struct pol_view_column *c = &k->columns[i];
        if (!k->writes_said) c->writable = c->visibility == POL_VISIBLE;
        if (c->filter) c->writable = false; /* else a row could be moved to where its writer may not see it, or out of there */
        if (c->how == NULL) c->how = "visible";
        if (!c->hash || !c->writable) continue;
        if (k->v->problem == NULL) k->v->hash_written = true;
        problem(k,
                "the column \"%.64s\" is shown as a keyed hash and may be written: whoever may do both can try values until one hashes "
                "alike",
                k->v->relation->columns[i].name);
    }
    if (buf_used(&k->filter) > 0) k->v->filter = keep(k, &k->filter);
}

static void apply_rule(struct mk *k, const struct pol_rule *rule) {
    if (k->v->rule == NULL) k->v->rule = rule->name;
    apply_columns(k, rule);
    apply_rows(k, rule);
    apply_write(k, rule);
}

/* *view stays NULL when nothing of rel is restricted. False when memory is out. */
static bool make(const struct pol_role *r, const struct pol_cat_relation *rel, const struct pol_view **view) {
    struct mk *k = calloc(1, sizeof *k);
    if (k == NULL) return false;
    k->r = r;
    k->filter = BUF_INIT(MAX_SQL);
    k->v = pol_alloc(r->arena, sizeof *k->v);
    k->columns = pol_alloc_array(r->arena, rel->ncolumns, sizeof *k->columns);
    struct pol_view_row *row = pol_alloc(r->arena, sizeof *row);
    bool ok = k->v != NULL && k->columns != NULL && row != NULL;
    if (ok) {
        k->v->row = row;
        k->v->relation = rel;
        k->v->columns = k->columns;
        find_ancestors(k, rel);
        for (size_t i = 0; i < r->nrules; i++)
            if (pol_rule_restricts(r->rules[i]) && covers(k, r->rules[i])) apply_rule(k, r->rules[i]);
        finish(k);
        ok = !k->no_memory;
        if (ok && k->v->rule != NULL) *view = k->v;
    }
    buf_free(&k->filter);
    free(k);
    return ok;
}

/* --- the cache --- */

static size_t slot_of(const struct pol_views *c, const struct pol_cat_relation *rel) {
    size_t h = ((size_t)rel->oid * 2654435761u) & (c->size - 1);
    while (c->keys[h] != NULL && c->keys[h] != rel) h = (h + 1) & (c->size - 1);
    return h;
}

static bool grow(const struct pol_role *r, struct pol_views *c) {
    struct pol_views bigger = {.size = c->size == 0 ? 16 : c->size * 2};
    bigger.keys = pol_alloc_array(r->arena, bigger.size, sizeof *bigger.keys);
    bigger.views = pol_alloc_array(r->arena, bigger.size, sizeof *bigger.views);
    if (bigger.keys == NULL || bigger.views == NULL) return false;
    for (size_t i = 0; i < c->size; i++) {
        if (c->keys[i] == NULL) continue;
        size_t h = slot_of(&bigger, c->keys[i]);
        bigger.keys[h] = c->keys[i];
        bigger.views[h] = c->views[i];
        bigger.used++;
    }
    *c = bigger;
    return true;
}

const struct pol_view *pol_role_view(const struct pol_role *r, const struct pol_cat_relation *rel, bool *failed) {
    struct pol_views *c = r->views;
    *failed = false;
    if (!pol_role_restricts(r)) return NULL;
    if (c->used * 2 >= c->size && !grow(r, c)) return *failed = true, NULL;
    size_t h = slot_of(c, rel);
    if (c->keys[h] != NULL) return c->views[h];
    const struct pol_view *v = NULL;
    if (!make(r, rel, &v)) return *failed = true, NULL;
    c->keys[h] = rel;
    c->views[h] = v;
    c->used++;
    return v;
}

static size_t view_work(const struct pol_role *r, const char *schema, const char *name) {
    const struct pol_cat_relation *rel = pol_catalog_relation(r->catalog, schema, name);
    const struct pol_views *c = r->views;
    if (rel == NULL || (c->size > 0 && c->keys[slot_of(c, rel)] != NULL)) return 0;
    return (1 + rel->nparents) * (r->hiding + rel->ncolumns * (r->tagged + 4));
}

size_t pol_views_work(const struct pol_role *r, const struct pol_relation *rel) {
    size_t work = 0;
    if (!r->restricts) return 0;
    if (r->catalog == NULL) return r->hiding;
    if (rel->schema != NULL) return view_work(r, rel->schema, rel->name);
    if (rel->catalog) work += view_work(r, "pg_catalog", rel->name);
    for (size_t i = 0; i < r->pins.nsearch_path; i++) work += view_work(r, r->pins.search_path[i], rel->name);
    return work;
}

bool pol_views_init(struct pol_role *r) {
    r->views = pol_alloc(r->arena, sizeof *r->views);
    return r->views != NULL;
}
