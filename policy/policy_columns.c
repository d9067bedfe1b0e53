/* What a rule says of columns, rows and sizes: the keys tags, columns, rows, write, limits, require, record, read_only. */
#include "policy/policy_int.h"
#include "policy/text.h"

#include <stdio.h>
#include <string.h>

#define MAX_TAGS     1000u
#define MAX_CHARS    10000 /* that a mask can leave */
#define MAX_CONSTANT 1000u

static bool no_memory(const struct pol_loading *l, const struct yaml_node *n) { return yaml_fail(n, l->err, "out of memory"); }

static bool copy_text(struct pol_loading *l, const struct yaml_node *n, const char **out) {
    const char *s;
    if (!yaml_str(n, &s, l->err)) return false;
    if (*s == '\0') return yaml_fail(n, l->err, "is empty");
    *out = pol_strdup(l->p->arena, s);
    return *out != NULL || no_memory(l, n);
}

/* A column's name as PostgreSQL stores it: "Odd" keeps its case, a plain one must be in lower case. star: * may stand in it. */
static bool column_name(struct pol_loading *l, const struct yaml_node *n, const char *text, bool star, const char **out) {
    size_t len = strlen(text);
    if (len >= 2 && text[0] == '"' && text[len - 1] == '"') {
        char *name = pol_strndup(l->p->arena, text + 1, len - 2), *to = name;
        if (name == NULL) return no_memory(l, n);
        for (const char *p = name; *p != '\0'; p++) {
            if (*p == '*' && star) return yaml_fail(n, l->err, "\"%.80s\": a quoted name may not contain *", text);
            if (*p == '"' && *++p != '"') return yaml_fail(n, l->err, "\"%.80s\": a quote inside of a quoted name is written twice", text);
            *to++ = *p;
        }
        *to = '\0';
        *out = name;
        return to != name || yaml_fail(n, l->err, "an empty name");
    }
    for (const char *p = text; *p != '\0'; p++) {
        if (*p >= 'A' && *p <= 'Z')
            return yaml_fail(n, l->err,
                             "\"%.80s\": capital letters: write the name in lower case, or in double quotes if it was created so", text);
        if (*p == '"' || *p == ' ' || *p == '.' || (*p == '*' && !star)) return yaml_fail(n, l->err, "\"%.80s\" is no column's name", text);
    }
    if (len == 0) return yaml_fail(n, l->err, "an empty name");
    *out = pol_strdup(l->p->arena, text);
    return *out != NULL || no_memory(l, n);
}

/* --- tags --- */

/* schema.relation.column */
static bool tag_item(struct pol_loading *l, const struct yaml_node *n, const char *text, struct pol_tag_item *out) {
    bool quoted = false;
    const char *dot = NULL;
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '"') quoted = !quoted;
        if (*p == '.' && !quoted) dot = p;
    }
    char *relation = dot != NULL ? pol_strndup(l->p->arena, text, (size_t)(dot - text)) : NULL;
    if (relation == NULL || strchr(relation, '.') == NULL)
        return yaml_fail(n, l->err, "\"%.80s\": expected schema.relation.column, as in public.customers.email or \"public.*.phone\"", text);
    return pol_load_pattern(l, n, relation, &out->relation) && column_name(l, n, dot + 1, true, &out->column);
}

/* The next tag, whose name is set. */
static bool one_tag(struct pol_loading *l, const char *database, const struct yaml_node *n) {
    const char *const *texts;
    size_t count;
    struct pol_tag *t = &l->p->tags[l->p->ntags];
    if (!yaml_strings(l->doc, n, &texts, &count, l->err)) return false;
    if (count == 0) return yaml_fail(n, l->err, "the list is empty: the tag is on no column");
    t->database = database;
    t->items = pol_alloc_array(l->p->arena, count, sizeof *t->items);
    if (t->items == NULL) return no_memory(l, n);
    for (size_t i = 0; i < count; i++)
        if (!tag_item(l, pol_item_of(n, i), texts[i], &t->items[t->nitems++])) return false;
    l->p->ntags++;
    return true;
}

bool pol_load_tags(struct pol_loading *l, const struct yaml_node *n) {
    size_t total = 0;
    if (n == NULL) return true;
    if (yaml_kind(n) != YAML_MAP)
        return yaml_fail(n, l->err, "expected a map from a database to its tags, as in shop: { pii: [public.customers.email] }");
    for (size_t i = 0; i < yaml_len(n); i++) {
        const struct yaml_node *of = yaml_at(n, i);
        if (!pol_policy_has_database(l->p, yaml_key_at(n, i)))
            return yaml_fail(yaml_key_node_at(n, i), l->err, "database \"%.80s\" is not listed under databases", yaml_key_at(n, i));
        if (yaml_kind(of) != YAML_MAP)
            return yaml_fail(of, l->err, "expected a map from a tag to its columns, as in pii: [public.customers.email]");
        total += yaml_len(of);
    }
    if (total > MAX_TAGS) return yaml_fail(n, l->err, "more than %u tags", MAX_TAGS);
    l->p->tags = pol_alloc_array(l->p->arena, total, sizeof *l->p->tags);
    if (l->p->tags == NULL) return no_memory(l, n);
    for (size_t i = 0; i < yaml_len(n); i++) {
        const struct yaml_node *of = yaml_at(n, i);
        const char *database = pol_strdup(l->p->arena, yaml_key_at(n, i));
        if (database == NULL) return no_memory(l, n);
        for (size_t k = 0; k < yaml_len(of); k++) {
            struct pol_tag *t = &l->p->tags[l->p->ntags];
            if ((t->name = pol_strdup(l->p->arena, yaml_key_at(of, k))) == NULL) return no_memory(l, n);
            if (!one_tag(l, database, yaml_at(of, k))) return false;
        }
    }
    return true;
}

static bool tag_exists(const struct pol_policy *p, const struct pol_rule *r, const char *tag) {
    for (size_t i = 0; i < p->ntags; i++) {
        if (strcmp(p->tags[i].name, tag) != 0) continue;
        if (r->databases == NULL) return true;
        for (size_t k = 0; r->databases[k] != NULL; k++)
            if (strcmp(r->databases[k], p->tags[i].database) == 0) return true;
    }
    return false;
}

/* --- masks --- */

static bool mask_count(struct pol_loading *l, const struct yaml_node *n, int64_t min, int64_t *out) {
    return n == NULL || yaml_int(n, min, MAX_CHARS, out, l->err);
}

static bool mask_partial(struct pol_loading *l, const struct yaml_node *n, struct pol_mask *m) {
    static const char *const keys[] = {"first", "last", "fill", NULL};
    m->kind = POL_M_PARTIAL;
    m->text = "*";
    if (!yaml_keys(n, keys, l->err) || !mask_count(l, yaml_get(n, "first"), 0, &m->first) ||
        !mask_count(l, yaml_get(n, "last"), 0, &m->last))
        return false;
    const struct yaml_node *fill = yaml_get(n, "fill");
    if (m->first + m->last == 0) return yaml_fail(n, l->err, "partial leaves nothing: say first, last or both, or use the mask \"null\"");
    if (fill == NULL) return true;
    if (!copy_text(l, fill, &m->text)) return false;
    size_t bytes = strlen(m->text);
    if (pol_utf8_step(m->text, bytes) != bytes || (unsigned char)*m->text < 0x20 || *m->text == 0x7F)
        return yaml_fail(fill, l->err, "fill is one character, as in fill: '*'");
    return true;
}

static bool mask_constant(struct pol_loading *l, const struct yaml_node *n, struct pol_mask *m) {
    const char *s;
    m->kind = POL_M_CONSTANT;
    if (!yaml_str(n, &s, l->err)) return false;
    if (strlen(s) > MAX_CONSTANT) return yaml_fail(n, l->err, "has more than %u bytes", MAX_CONSTANT);
    for (const char *p = s; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7F) return yaml_fail(n, l->err, "holds a control character");
    m->text = pol_strdup(l->p->arena, s);
    return m->text != NULL || no_memory(l, n);
}

static bool mask_truncate(struct pol_loading *l, const struct yaml_node *n, struct pol_mask *m) {
    static const char *const units[] = {"year", "month", "day", "hour", "minute", NULL};
    int i;
    m->kind = POL_M_TRUNCATE;
    if (!yaml_enum(n, units, &i, l->err)) return false;
    m->text = units[i];
    return true;
}

/* The name of a key, which is in the database alone. */
static bool mask_hash(struct pol_loading *l, const struct yaml_node *n, struct pol_mask *m) {
    const char *s;
    m->kind = POL_M_HASH;
    if (!yaml_str(n, &s, l->err)) return false;
    size_t len = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_");
    if (len == 0 || s[len] != '\0' || len > 63)
        return yaml_fail(n, l->err, "\"%.60s\" is no key's name: letters a to z, digits and _; values masked with one key can be joined",
                         s);
    m->text = pol_strdup(l->p->arena, s);
    return m->text != NULL || no_memory(l, n);
}

static bool mask_expression(struct pol_loading *l, const struct yaml_node *n, const char *column, struct pol_mask *m) {
    const char *s;
    char why[256];
    m->kind = POL_M_EXPRESSION;
    if (!yaml_str(n, &s, l->err)) return false;
    m->expr = pol_expr_pg(l->p->arena, s, column, why, sizeof why);
    return m->expr != NULL || yaml_fail(n, l->err, "%s", why);
}

/* yaml_enum() where there is more than words. */
static bool not_known(const struct pol_loading *l, const struct yaml_node *n, const char *word, const char *const *words,
                      const char *possible) {
    const char *near = pol_nearest(word, words);
    if (near != NULL) return yaml_fail(n, l->err, "\"%.64s\" is not known; did you mean \"%s\"? Possible: %s", word, near, possible);
    return yaml_fail(n, l->err, "\"%.64s\" is not known; possible: %s", word, possible);
}

static bool load_mask(struct pol_loading *l, const struct yaml_node *n, const char *column, struct pol_mask *m) {
    static const char *const words[] = {"null", "email", NULL};
    static const char *const keys[] = {"constant", "partial", "first", "last", "truncate", "round", "hash", "expression", NULL};
    const char *word;
    if (yaml_kind(n) == YAML_NULL) return true; /* mask: null */
    if (yaml_kind(n) == YAML_SCALAR) {
        if (!yaml_str(n, &word, l->err)) return false;
        m->kind = strcmp(word, words[1]) == 0 ? POL_M_EMAIL : POL_M_NULL;
        return strcmp(word, words[0]) == 0 || strcmp(word, words[1]) == 0 ||
               not_known(l, n, word, words,
                         "null, email, { first: n }, { last: n }, { partial: { first: n, last: n } }, { truncate: year }, "
                         "{ round: n }, { hash: key }, { constant: text }, { expression: SQL }");
    }
    if (!yaml_keys(n, keys, l->err)) return false;
    if (yaml_len(n) != 1) return yaml_fail(n, l->err, "one kind of mask at a time");
    const struct yaml_node *v = yaml_at(n, 0);
    const char *kind = yaml_key_at(n, 0);
    if (strcmp(kind, "constant") == 0) return mask_constant(l, v, m);
    if (strcmp(kind, "partial") == 0) return mask_partial(l, v, m);
    if (strcmp(kind, "truncate") == 0) return mask_truncate(l, v, m);
    if (strcmp(kind, "expression") == 0) return mask_expression(l, v, column, m);
    if (strcmp(kind, "round") == 0) {
        m->kind = POL_M_ROUND;
        return yaml_int(v, 1, 1000000000, &m->first, l->err);
    }
    if (strcmp(kind, "hash") == 0) return mask_hash(l, v, m);
    bool first = strcmp(kind, "first") == 0;
    m->kind = first ? POL_M_FIRST : POL_M_LAST;
    return yaml_int(v, 1, MAX_CHARS, first ? &m->first : &m->last, l->err);
}

/* --- columns --- */

static bool column_value(struct pol_loading *l, const struct yaml_node *n, struct pol_column_rule *c) {
    static const char *const words[] = {"visible", "hidden", NULL}, *const keys[] = {"mask", NULL};
    int word;
    if (yaml_kind(n) == YAML_MAP) {
        const struct yaml_node *mask = yaml_get(n, "mask");
        if (!yaml_keys(n, keys, l->err)) return false;
        if (mask == NULL) return yaml_fail(n, l->err, "expected visible, hidden, or { mask: ... }");
        c->visibility = POL_MASKED;
        return load_mask(l, mask, c->column != NULL ? c->column : "value", &c->mask);
    }
    const char *text = NULL;
    if (yaml_kind(n) == YAML_SCALAR && yaml_str(n, &text, l->err) && strcmp(text, words[0]) != 0 && strcmp(text, words[1]) != 0)
        return not_known(l, n, text, words, "visible, hidden, { mask: ... } as in { mask: { last: 4 } }");
    if (!yaml_enum(n, words, &word, l->err)) return false;
    c->visibility = word == 0 ? POL_VISIBLE : POL_HIDDEN;
    return true;
}

static bool column_key(struct pol_loading *l, const struct yaml_node *key, const char *text, const struct pol_rule *r,
                       struct pol_column_rule *c) {
    if (strncmp(text, "tag:", 4) != 0) return column_name(l, key, text, false, &c->column);
    if (!tag_exists(l->p, r, text + 4))
        return yaml_fail(key, l->err, "the tag \"%.80s\" is not listed under tags of any database of the rule", text + 4);
    c->tag = pol_strdup(l->p->arena, text + 4);
    return c->tag != NULL || no_memory(l, key);
}

static bool twice(const struct pol_rule *r, const struct pol_column_rule *c) {
    for (size_t i = 0; i < r->ncolumns; i++)
        if (&r->columns[i] != c && c->column != NULL && r->columns[i].column != NULL && strcmp(r->columns[i].column, c->column) == 0)
            return true;
    return false;
}

static bool columns_map(struct pol_loading *l, const struct yaml_node *n, struct pol_rule *r) {
    for (size_t i = 0; i < yaml_len(n); i++) {
        const char *key = yaml_key_at(n, i);
        bool rest = strcmp(key, "*") == 0;
        struct pol_column_rule *c = rest ? &r->others : &r->columns[r->ncolumns];
        if (!rest && !column_key(l, yaml_key_node_at(n, i), key, r, c)) return false;
        if (!column_value(l, yaml_at(n, i), c)) return false;
        if (!rest && twice(r, c)) return yaml_fail(yaml_key_node_at(n, i), l->err, "the column \"%.80s\" is named twice", key);
        r->ncolumns += !rest;
    }
    return true;
}

static bool columns_list(struct pol_loading *l, const struct yaml_node *n, struct pol_rule *r) {
    const char *const *texts;
    size_t count;
    if (!yaml_strings(l->doc, n, &texts, &count, l->err)) return false;
    for (size_t i = 0; i < count; i++) {
        struct pol_column_rule *c = &r->columns[r->ncolumns];
        if (!column_key(l, pol_item_of(n, i), texts[i], r, c)) return false;
        if (twice(r, c)) return yaml_fail(pol_item_of(n, i), l->err, "the column \"%.80s\" is named twice", texts[i]);
        r->ncolumns++;
    }
    return true;
}

static bool load_columns(struct pol_loading *l, const struct yaml_node *n, struct pol_rule *r) {
    if (n == NULL) return true;
    r->has_columns = true;
    r->others.visibility = POL_HIDDEN;
    if (yaml_kind(n) != YAML_MAP && yaml_kind(n) != YAML_LIST)
        return yaml_fail(n, l->err, "expected a list of visible columns, or a map from a column to visible, hidden or { mask: ... }");
    if (yaml_len(n) == 0) return yaml_fail(n, l->err, "is empty: no column would be visible");
    r->columns = pol_alloc_array(l->p->arena, yaml_len(n), sizeof *r->columns);
    if (r->columns == NULL) return no_memory(l, n);
    return yaml_kind(n) == YAML_MAP ? columns_map(l, n, r) : columns_list(l, n, r);
}

/* --- the others --- */

static bool load_rows(struct pol_loading *l, const struct yaml_node *n, struct pol_rule *r) {
    const char *s;
    char why[256];
    if (n == NULL) return true;
    if (!yaml_str(n, &s, l->err)) return false;
    r->rows = pol_expr_pg(l->p->arena, s, NULL, why, sizeof why);
    return r->rows != NULL || yaml_fail(n, l->err, "%s", why);
}

static bool load_write(struct pol_loading *l, const struct yaml_node *n, struct pol_rule *r) {
    const char *const *texts;
    size_t count;
    if (n == NULL) return true;
    if ((r->actions & (POL_INSERT | POL_UPDATE)) == 0)
        return yaml_fail(n, l->err, "write lists what insert and update may name; the rule allows neither");
    if (!yaml_strings(l->doc, n, &texts, &count, l->err)) return false;
    const char **names = pol_alloc_array(l->p->arena, count + 1, sizeof *names);
    if (names == NULL) return no_memory(l, n);
    for (size_t i = 0; i < count; i++)
        if (!column_name(l, pol_item_of(n, i), texts[i], false, &names[i])) return false;
    r->write = names;
    return true;
}

static bool load_limits(struct pol_loading *l, const struct yaml_node *n, struct pol_rule *r) {
    static const char *const keys[] = {"rows", "bytes", "time", NULL};
    const struct yaml_node *v;
    int64_t rows = 0;
    if (n == NULL) return true;
    if (!yaml_keys(n, keys, l->err)) return false;
    if (yaml_len(n) == 0) return yaml_fail(n, l->err, "is empty");
    if ((v = yaml_get(n, "rows")) != NULL && !yaml_int(v, 1, INT64_MAX, &rows, l->err)) return false;
    r->limits.rows = (uint64_t)rows;
    if ((v = yaml_get(n, "bytes")) != NULL && !yaml_size(v, 1, (uint64_t)1 << 50, &r->limits.bytes, l->err)) return false;
    return (v = yaml_get(n, "time")) == NULL || yaml_duration(v, 1, 24ull * 3600 * 1000, &r->limits.ms, l->err);
}

static bool load_require(struct pol_loading *l, const struct yaml_node *n, struct pol_rule *r) {
    const char *const *words;
    size_t count;
    if (n == NULL) return true;
    if (!yaml_strings(l->doc, n, &words, &count, l->err)) return false;
    for (size_t i = 0; i < count; i++) {
        bool where = strcmp(words[i], "where") == 0;
        if (!where && strcmp(words[i], "limit") != 0)
            return yaml_fail(pol_item_of(n, i), l->err, "\"%.60s\" is not known; possible: where (of UPDATE and DELETE), limit (of SELECT)",
                             words[i]);
        if (where && (r->actions & (POL_UPDATE | POL_DELETE)) == 0)
            return yaml_fail(pol_item_of(n, i), l->err,
                             "only a rule that allows update or delete, or asks about them, can require a WHERE");
        if (!where && (r->actions & POL_SELECT) == 0)
            return yaml_fail(pol_item_of(n, i), l->err, "limit is about select, which the rule does not allow");
        *(where ? &r->where : &r->need_limit) = true;
    }
    return true;
}

static bool load_record(struct pol_loading *l, const struct yaml_node *n, struct pol_rule *r) {
    static const char *const words[] = {"statements", "results", NULL};
    int word = 0;
    if (n == NULL) return true;
    if (!yaml_enum(n, words, &word, l->err)) return false;
    if (r->deny) return yaml_fail(n, l->err, "what a rule denies has no result: record belongs into rules that allow or ask");
    r->record = word == 1 ? POL_RECORD_RESULTS : POL_RECORD_STATEMENTS;
    return true;
}

bool pol_load_restrictions(struct pol_loading *l, const struct yaml_node *n, struct pol_rule *r) {
    const struct yaml_node *read_only = yaml_get(n, "read_only");
    return load_columns(l, yaml_get(n, "columns"), r) && load_rows(l, yaml_get(n, "rows"), r) && load_write(l, yaml_get(n, "write"), r) &&
           load_limits(l, yaml_get(n, "limits"), r) && load_require(l, yaml_get(n, "require"), r) &&
           load_record(l, yaml_get(n, "record"), r) && (read_only == NULL || yaml_bool(read_only, &r->read_only, l->err));
}
