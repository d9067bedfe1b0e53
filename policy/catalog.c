/* The catalog object: read line by line, so that no tape of the whole is ever held; names are kept once each. */
#include "policy/catalog.h"

#include "filters/bytes.h"
#include "policy/arena.h"
#include "policy/facts_my.h"
#include "policy/json_tape.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES  (16u << 20)
#define LINE_DEPTH  4
#define GENERATIONS 1000u /* of inheritance */
#define VIEW_DEPTH  200u  /* of what is open inside of each other in a view's definition */

struct pol_catalog {
    atomic_size_t refs;
    struct pol_arena *arena;
    const char *database;
    enum pol_engine engine;
    bool fold;
    struct pol_cat_defaults defaults;
    uint32_t server;
    struct pol_cat_relation *relations; /* by name */
    struct pol_cat_type *types;         /* by oid */
    struct pol_cat_function *functions; /* by name */
    size_t nrelations, ntypes, nfunctions;
    uint32_t *by_name, *by_oid; /* hash -> index + 1 in relations */
    size_t nslots;              /* a power of two */
};

/* oids of a relation's parents and reads, until all relations are known. */
struct links {
    uint32_t oid, nparents, nreads;
    const uint32_t *oids; /* parents, then reads */
};

struct loader {
    struct pol_catalog *c;
    struct pol_arena *scratch; /* strings of one line, and what is needed until the end */
    struct jt t;               /* of the line */
    const char *json;
    size_t len, at, line;
    const char **pool; /* strings that are in the arena: open addressing */
    size_t pool_size, pool_used;
    struct links *links; /* one for each relation, in the text's order */
    size_t relations_cap, types_cap, functions_cap, links_cap, ncolumns;
    bool head, end;
    char *err;
    size_t errlen;
};

static bool fail(struct loader *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(struct loader *l, const char *format, ...) {
    char text[300];
    va_list args;
    if (l->err[0] != '\0') return false; /* the first says most */
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (l->line > 0)
        snprintf(l->err, l->errlen, "line %zu: %s", l->line, text);
    else
        snprintf(l->err, l->errlen, "%s", text);
    return false;
}
static bool no_memory(struct loader *l) { return fail(l, "out of memory"); }

static uint32_t hash_bytes(uint32_t h, const char *s) {
    for (; *s != '\0'; s++) h = (h ^ (unsigned char)*s) * 16777619u;
    return h;
}
static uint32_t hash_name(const char *schema, const char *name) { return hash_bytes(hash_bytes(2166136261u, schema) * 31, name); }
static uint32_t hash_oid(uint32_t oid) { return oid * 2654435761u >> 7; }

/* --- strings --- */

static bool grow_pool(struct loader *l) {
    size_t size = l->pool_size == 0 ? 4096 : l->pool_size * 2;
    const char **bigger = calloc(size, sizeof *bigger);
    if (bigger == NULL) return false;
    for (size_t i = 0; i < l->pool_size; i++) {
        if (l->pool[i] == NULL) continue;
        size_t at = hash_bytes(2166136261u, l->pool[i]) & (size - 1);
        while (bigger[at] != NULL) at = (at + 1) & (size - 1);
        bigger[at] = l->pool[i];
    }
    free(l->pool);
    l->pool = bigger;
    l->pool_size = size;
    return true;
}

/* The string of value i, kept in the catalog, once for all that are equal. NULL and an error when it is none. */
static const char *text(struct loader *l, uint32_t i, const char *what) {
    char *s = jt_string(&l->t, i, l->scratch);
    if (s == NULL) {
        fail(l, "%s is missing or no string", what);
        return NULL;
    }
    if (l->pool_used * 2 >= l->pool_size && !grow_pool(l)) {
        no_memory(l);
        return NULL;
    }
    size_t at = hash_bytes(2166136261u, s) & (l->pool_size - 1);
    for (; l->pool[at] != NULL; at = (at + 1) & (l->pool_size - 1))
        if (strcmp(l->pool[at], s) == 0) return l->pool[at];
    l->pool[at] = pol_strdup(l->c->arena, s);
    if (l->pool[at] == NULL)
        no_memory(l);
    else
        l->pool_used++;
    return l->pool[at];
}

static const char *member(struct loader *l, const char *key) { return text(l, jt_get(&l->t, 0, key), key); }

static bool number(struct loader *l, uint32_t i, const char *what, int64_t min, int64_t max, int64_t *out) {
    *out = jt_int(&l->t, i, INT64_MIN);
    if (*out >= min && *out <= max) return true;
    return fail(l, "%s is missing or no number that fits", what);
}
static bool oid(struct loader *l, uint32_t i, const char *what, uint32_t *out) {
    int64_t v;
    if (!number(l, i, what, 0, UINT32_MAX, &v)) return false;
    *out = (uint32_t)v;
    return true;
}
static bool oid_member(struct loader *l, const char *key, uint32_t *out) { return oid(l, jt_get(&l->t, 0, key), key, out); }

/* One letter out of allowed. */
static bool letter(struct loader *l, const char *key, const char *allowed, char *out) {
    const char *s = member(l, key);
    if (s == NULL) return false;
    if (s[0] == '\0' || s[1] != '\0' || (allowed != NULL && strchr(allowed, s[0]) == NULL)) return fail(l, "%s is not known here", key);
    *out = s[0];
    return true;
}

static bool boolean(struct loader *l, const char *key, bool *out) {
    uint32_t i = jt_get(&l->t, 0, key);
    if (i == 0 || (l->t.v[i].type != JT_TRUE && l->t.v[i].type != JT_FALSE)) return fail(l, "%s is missing or not true or false", key);
    *out = jt_bool(&l->t, i);
    return true;
}

/* Only letters out of allowed. */
static bool flags(struct loader *l, const char *s, const char *allowed) {
    if (s == NULL) return false;
    return s[strspn(s, allowed)] == '\0' || fail(l, "\"%.20s\" holds a letter that is not known here", s);
}

/* The members of an array; its value's index in *array. */
static bool list(struct loader *l, const char *key, uint32_t *array, size_t *n) {
    *array = jt_get(&l->t, 0, key);
    *n = 0;
    if (*array == 0 || l->t.v[*array].type != JT_ARRAY) return fail(l, "%s is missing or no list", key);
    for (uint32_t i = jt_first(&l->t, *array); i < jt_end(&l->t, *array); i = jt_skip(&l->t, i)) ++*n;
    return true;
}

/* Room for one more of an array; the new item is zero. */
static void *one_more(struct loader *l, void **array, size_t n, size_t *cap, size_t max, size_t size, const char *what) {
    if (n >= max) {
        fail(l, "more than %zu %s: the catalog of such a database cannot be held", max, what);
        return NULL;
    }
    if (n == *cap) {
        size_t bigger = *cap == 0 ? 1024 : *cap * 2;
        void *moved = reallocarray(*array, bigger, size);
        if (moved == NULL) {
            no_memory(l);
            return NULL;
        }
        *array = moved;
        *cap = bigger;
    }
    return memset((char *)*array + n * size, 0, size);
}

/* --- lines --- */

static bool read_default(struct loader *l, const char *key, const char **out) {
    return jt_get(&l->t, 0, key) == 0 || (*out = member(l, key)) != NULL;
}

static bool read_engine(struct loader *l) {
    uint32_t i = jt_get(&l->t, 0, "engine");
    int64_t fold;
    if (i == 0) return true;
    const char *engine = text(l, i, "engine");
    if (engine == NULL) return false;
    if (strcmp(engine, "postgresql") == 0) return true;
    if (strcmp(engine, "mysql") != 0 && strcmp(engine, "mariadb") != 0) return fail(l, "the engine \"%.40s\" is not known here", engine);
    l->c->engine = strcmp(engine, "mysql") == 0 ? POL_CAT_MYSQL : POL_CAT_MARIADB;
    if (!number(l, jt_get(&l->t, 0, "fold"), "fold", 0, 1, &fold)) return false;
    l->c->fold = fold == 1;
    return read_default(l, "mode", &l->c->defaults.mode) && read_default(l, "own_mode", &l->c->defaults.own_mode) &&
           read_default(l, "charset", &l->c->defaults.charset);
}

static bool read_head(struct loader *l) {
    int64_t version, server;
    if (l->head) return fail(l, "a second head");
    if (!number(l, jt_get(&l->t, 0, "gatehouse_catalog"), "gatehouse_catalog", 1, INT64_MAX, &version)) return false;
    if (version != 1) return fail(l, "this catalog has version %lld, this program reads version 1", (long long)version);
    if (!number(l, jt_get(&l->t, 0, "server"), "server", 0, INT32_MAX, &server)) return false;
    l->c->server = (uint32_t)server;
    l->c->database = member(l, "database");
    l->head = true;
    return l->c->database != NULL && read_engine(l);
}

static bool read_type(struct loader *l) {
    struct pol_catalog *c = l->c;
    struct pol_cat_type *t = one_more(l, (void **)&c->types, c->ntypes, &l->types_cap, POL_CAT_TYPES, sizeof *t, "types");
    if (t == NULL || !oid_member(l, "type", &t->oid) || (t->schema = member(l, "schema")) == NULL ||
        (t->name = member(l, "name")) == NULL || !letter(l, "kind", "bcdemrp", &t->kind) || !letter(l, "category", NULL, &t->category) ||
        !oid_member(l, "base", &t->base) || !boolean(l, "array", &t->array))
        return false;
    c->ntypes++;
    return true;
}

/* ["name", number, type, "typ", "flags"] */
static bool read_column(struct loader *l, uint32_t i, struct pol_cat_column *col) {
    uint32_t at[5];
    size_t n = 0;
    if (l->t.v[i].type == JT_ARRAY)
        for (uint32_t m = jt_first(&l->t, i); m < jt_end(&l->t, i); m = jt_skip(&l->t, m), n++)
            if (n < 5) at[n] = m;
    if (n != 5) return fail(l, "a column is [\"name\", number, type, \"typ\", \"flags\"]");
    int64_t attnum;
    if ((col->name = text(l, at[0], "a column's name")) == NULL || !number(l, at[1], "a column's number", 1, INT16_MAX, &attnum) ||
        !oid(l, at[2], "a column's type", &col->type) || (col->typ = text(l, at[3], "a column's typ")) == NULL)
        return false;
    const char *letters = text(l, at[4], "a column's flags");
    if (!flags(l, letters, "ngaci")) return false;
    col->number = (int16_t)attnum;
    col->not_null = strchr(letters, 'n') != NULL;
    col->generated = strchr(letters, 'g') != NULL;
    col->identity_always = strchr(letters, 'a') != NULL;
    col->collated = strchr(letters, 'c') != NULL;
    col->invisible = strchr(letters, 'i') != NULL;
    return true;
}

static bool read_columns(struct loader *l, struct pol_cat_relation *r) {
    uint32_t array;
    if (!list(l, "columns", &array, &r->ncolumns)) return false;
    l->ncolumns += r->ncolumns;
    if (l->ncolumns > POL_CAT_COLUMNS)
        return fail(l, "more than %u columns: the catalog of such a database cannot be held", POL_CAT_COLUMNS);
    struct pol_cat_column *cols = pol_alloc_array(l->c->arena, r->ncolumns, sizeof *cols);
    if (cols == NULL) return no_memory(l);
    size_t n = 0;
    for (uint32_t i = jt_first(&l->t, array); i < jt_end(&l->t, array); i = jt_skip(&l->t, i), n++) {
        if (!read_column(l, i, &cols[n])) return false;
        if (n > 0 && cols[n].number <= cols[n - 1].number) return fail(l, "columns are not in the order of their numbers");
    }
    r->columns = cols;
    return true;
}

static bool read_key(struct loader *l, struct pol_cat_relation *r) {
    uint32_t array;
    if (!list(l, "key", &array, &r->nkey)) return false;
    if (r->nkey == 0) return true;
    int16_t *key = pol_alloc_array(l->c->arena, r->nkey, sizeof *key);
    if (key == NULL) return no_memory(l);
    size_t n = 0;
    for (uint32_t i = jt_first(&l->t, array); i < jt_end(&l->t, array); i = jt_skip(&l->t, i), n++) {
        int64_t v;
        if (!number(l, i, "a key's column", 1, INT16_MAX, &v)) return false;
        key[n] = (int16_t)v;
    }
    r->key = key;
    return true;
}

static bool read_links(struct loader *l, const struct pol_cat_relation *r, struct links *k) {
    static const char *const keys[] = {"parents", "reads"};
    uint32_t arrays[2];
    size_t n[2];
    if (!list(l, keys[0], &arrays[0], &n[0]) || !list(l, keys[1], &arrays[1], &n[1])) return false;
    k->oid = r->oid;
    k->nparents = (uint32_t)n[0];
    k->nreads = (uint32_t)n[1];
    if (n[0] + n[1] == 0) return true;
    /* In the arena, because scratch dies with the line. */
    uint32_t *oids = pol_alloc_array(l->c->arena, n[0] + n[1], sizeof *oids);
    if (oids == NULL) return no_memory(l);
    k->oids = oids;
    for (size_t which = 0; which < 2; which++)
        for (uint32_t i = jt_first(&l->t, arrays[which]); i < jt_end(&l->t, arrays[which]); i = jt_skip(&l->t, i))
            if (!oid(l, i, keys[which], oids++)) return false;
    return true;
}

static bool read_relation(struct loader *l) {
    struct pol_catalog *c = l->c;
    struct pol_cat_relation *r =
        one_more(l, (void **)&c->relations, c->nrelations, &l->relations_cap, POL_CAT_RELATIONS, sizeof *r, "relations");
    struct links *k =
        r == NULL ? NULL : one_more(l, (void **)&l->links, c->nrelations, &l->links_cap, POL_CAT_RELATIONS, sizeof *k, "relations");
    if (k == NULL || !oid_member(l, "relation", &r->oid) || (r->schema = member(l, "schema")) == NULL ||
        (r->name = member(l, "name")) == NULL || !letter(l, "kind", "rpvmfSc", &r->kind) || !read_columns(l, r) || !read_key(l, r) ||
        !read_links(l, r, k) || !boolean(l, "row_security", &r->row_security) || !boolean(l, "security_barrier", &r->security_barrier))
        return false;
    uint32_t definition = jt_get(&l->t, 0, "definition");
    if (definition == 0) return fail(l, "definition is missing");
    if (l->t.v[definition].type != JT_NULL && (r->definition = text(l, definition, "definition")) == NULL) return false;
    c->nrelations++;
    return true;
}

static bool read_function(struct loader *l) {
    struct pol_catalog *c = l->c;
    struct pol_cat_function *f =
        one_more(l, (void **)&c->functions, c->nfunctions, &l->functions_cap, POL_CAT_FUNCTIONS, sizeof *f, "functions");
    uint32_t array;
    if (f == NULL || !oid_member(l, "function", &f->oid) || (f->schema = member(l, "schema")) == NULL ||
        (f->name = member(l, "name")) == NULL || !oid_member(l, "returns", &f->returns) || !letter(l, "kind", "fpaw", &f->kind) ||
        !letter(l, "volatility", "isv", &f->volatility) || !list(l, "args", &array, &f->nargs))
        return false;
    const char *letters = member(l, "flags");
    if (!flags(l, letters, "lsrdvq")) return false;
    f->leakproof = strchr(letters, 'l') != NULL;
    f->strict = strchr(letters, 's') != NULL;
    f->set = strchr(letters, 'r') != NULL;
    f->definer = strchr(letters, 'd') != NULL;
    f->variadic = strchr(letters, 'v') != NULL;
    f->sql_language = strchr(letters, 'q') != NULL;
    uint32_t *args = pol_alloc_array(c->arena, f->nargs, sizeof *args);
    if (args == NULL) return no_memory(l);
    f->args = args;
    for (uint32_t i = jt_first(&l->t, array); i < jt_end(&l->t, array); i = jt_skip(&l->t, i))
        if (!oid(l, i, "args", args++)) return false;
    c->nfunctions++;
    return true;
}

static bool read_end(struct loader *l) {
    int64_t n;
    size_t have = l->c->ntypes + l->c->nrelations + l->c->nfunctions;
    if (!number(l, jt_get(&l->t, 0, "end"), "end", 0, INT64_MAX, &n)) return false;
    l->end = true;
    return (uint64_t)n == have || fail(l, "%zu types, relations and functions are here, the end says %lld", have, (long long)n);
}

static bool read_line(struct loader *l, const char *line, size_t len) {
    static const struct {
        const char *key;
        bool (*read)(struct loader *);
    } kinds[] = {
        {"function", read_function}, {"type", read_type}, {"relation", read_relation}, {"end", read_end}, {"gatehouse_catalog", read_head}};
    if (len > LINE_BYTES) return fail(l, "a line of more than %u bytes", LINE_BYTES);
    if (l->end) return fail(l, "something follows the end");
    enum jt_rc rc = jt_parse(&l->t, line, len, LINE_DEPTH);
    if (rc == JT_NO_MEMORY) return no_memory(l);
    if (rc != JT_OK || l->t.v[0].type != JT_OBJECT) {
        jt_free(&l->t);
        return fail(l, "not a JSON object as catalogs have them");
    }
    bool ok = false, known = false;
    l->scratch = pol_arena_new();
    if (l->scratch == NULL) no_memory(l);
    for (size_t i = 0; l->scratch != NULL && !known && i < sizeof kinds / sizeof *kinds; i++) {
        if (jt_get(&l->t, 0, kinds[i].key) == 0) continue;
        known = true;
        if (!l->head && kinds[i].read != read_head)
            fail(l, "this is no catalog: its first line is not {\"gatehouse_catalog\":1,...}");
        else
            ok = kinds[i].read(l);
    }
    if (!known) fail(l, "neither type, relation nor function");
    pol_arena_free(l->scratch);
    l->scratch = NULL;
    jt_free(&l->t);
    return ok;
}

static bool read_lines(struct loader *l) {
    while (l->at < l->len) {
        const char *line = l->json + l->at, *nl = memchr(line, '\n', l->len - l->at);
        size_t n = nl == NULL ? l->len - l->at : (size_t)(nl - line);
        l->at += n + (nl != NULL);
        l->line++;
        if (n > 0 && !read_line(l, line, n)) return false;
    }
    l->line = 0;
    if (!l->head) return fail(l, "this is no catalog: it is empty");
    return l->end || fail(l, "the catalog is cut off: its last line is not {\"end\":...}");
}

/* --- order, indexes, links --- */

static int compare_names(const char *schema, const char *name, const char *schema2, const char *name2) {
    int d = strcmp(schema, schema2);
    return d != 0 ? d : strcmp(name, name2);
}
static int relation_order(const void *a, const void *b) {
    const struct pol_cat_relation *x = a, *y = b;
    return compare_names(x->schema, x->name, y->schema, y->name);
}
static int type_order(const void *a, const void *b) {
    const struct pol_cat_type *x = a, *y = b;
    return (x->oid > y->oid) - (x->oid < y->oid);
}
static int function_order(const void *a, const void *b) {
    const struct pol_cat_function *x = a, *y = b;
    int d = compare_names(x->schema, x->name, y->schema, y->name);
    return d != 0 ? d : (x->oid > y->oid) - (x->oid < y->oid);
}

static bool index_relations(struct loader *l) {
    struct pol_catalog *c = l->c;
    for (c->nslots = 64; c->nslots < c->nrelations * 2; c->nslots *= 2) {
    }
    c->by_name = calloc(c->nslots, sizeof *c->by_name);
    c->by_oid = calloc(c->nslots, sizeof *c->by_oid);
    if (c->by_name == NULL || c->by_oid == NULL) return no_memory(l);
    for (size_t i = 0; i < c->nrelations; i++) {
        const struct pol_cat_relation *r = &c->relations[i];
        if (i > 0 && relation_order(r - 1, r) == 0) return fail(l, "relation %.80s.%.80s is there twice", r->schema, r->name);
        if (pol_catalog_relation_oid(c, r->oid) != NULL) return fail(l, "relation %u is there twice", r->oid);
        size_t at = hash_name(r->schema, r->name) & (c->nslots - 1);
        while (c->by_name[at] != 0) at = (at + 1) & (c->nslots - 1);
        c->by_name[at] = (uint32_t)i + 1;
        at = hash_oid(r->oid) & (c->nslots - 1);
        while (c->by_oid[at] != 0) at = (at + 1) & (c->nslots - 1);
        c->by_oid[at] = (uint32_t)i + 1;
    }
    return true;
}

static bool resolve(struct loader *l, const uint32_t *oids, size_t n, const struct pol_cat_relation *const **out) {
    if (n == 0) return true;
    const struct pol_cat_relation **to = pol_alloc_array(l->c->arena, n, sizeof *to);
    if (to == NULL) return no_memory(l);
    *out = to;
    for (size_t i = 0; i < n; i++)
        if ((to[i] = pol_catalog_relation_oid(l->c, oids[i])) == NULL)
            return fail(l, "relation %u, a parent or read by a view, is not there", oids[i]);
    return true;
}

/* Parents that lead back to where they began would hold up whoever follows them. PostgreSQL makes no such loop, a file may. Each pass finds the
 * relations whose parents are found already, so there are as many passes as the hierarchy is deep. */
static bool no_loops(struct loader *l) {
    struct pol_catalog *c = l->c;
    bool *found = calloc(c->nrelations + 1, sizeof *found);
    if (found == NULL) return no_memory(l);
    size_t left = 0, before;
    for (size_t i = 0; i < c->nrelations; i++) left += !(found[i] = c->relations[i].nparents == 0);
    for (unsigned pass = 0; left > 0 && pass < GENERATIONS; pass++) {
        before = left;
        for (size_t i = 0; i < c->nrelations; i++) {
            const struct pol_cat_relation *r = &c->relations[i];
            size_t p = 0;
            while (!found[i] && p < r->nparents && found[r->parents[p] - c->relations]) p++;
            if (found[i] || p < r->nparents) continue;
            found[i] = true;
            left--;
        }
        if (left == before) break;
    }
    for (size_t i = 0; left > 0 && i < c->nrelations; i++)
        if (!found[i]) {
            fail(l, "relation %.80s is its own ancestor, or has more than %u generations of them", c->relations[i].name, GENERATIONS);
            break;
        }
    free(found);
    return left == 0;
}

static bool finish(struct loader *l) {
    struct pol_catalog *c = l->c;
    if (c->nrelations > 0) qsort(c->relations, c->nrelations, sizeof *c->relations, relation_order);
    if (c->ntypes > 0) qsort(c->types, c->ntypes, sizeof *c->types, type_order);
    if (c->nfunctions > 0) qsort(c->functions, c->nfunctions, sizeof *c->functions, function_order);
    for (size_t i = 1; i < c->ntypes; i++)
        if (c->types[i].oid == c->types[i - 1].oid) return fail(l, "type %u is there twice", c->types[i].oid);
    if (!index_relations(l)) return false;
    for (size_t i = 0; i < c->nrelations; i++) {
        const struct links *k = &l->links[i];
        struct pol_cat_relation *r = &c->relations[pol_catalog_relation_oid(c, k->oid) - c->relations];
        r->nparents = k->nparents;
        r->nreads = k->nreads;
        if (!resolve(l, k->oids, k->nparents, &r->parents)) return false;
        if (k->nreads > 0 && !resolve(l, k->oids + k->nparents, k->nreads, &r->reads)) return false;
    }
    return no_loops(l);
}

static void destroy(struct pol_catalog *c) {
    pol_arena_free(c->arena);
    free(c->relations);
    free(c->types);
    free(c->functions);
    free(c->by_name);
    free(c->by_oid);
    free(c);
}

struct pol_catalog *pol_catalog_parse(const char *json, size_t len, char *err, size_t errlen) {
    struct pol_catalog *c = calloc(1, sizeof *c);
    struct loader l = {.c = c, .json = json, .len = len, .err = err, .errlen = errlen};
    err[0] = '\0';
    if (c == NULL || (c->arena = pol_arena_new()) == NULL) {
        free(c);
        no_memory(&l);
        return NULL;
    }
    atomic_init(&c->refs, 1);
    bool ok = len <= POL_CAT_BYTES || fail(&l, "more than %u bytes: the catalog of such a database cannot be held", POL_CAT_BYTES);
    ok = ok && (gh_utf8_valid(json, len) || fail(&l, "not UTF-8")) && read_lines(&l) && finish(&l);
    free(l.pool);
    free(l.links);
    if (ok) return c;
    destroy(c);
    return NULL;
}

struct pol_catalog *pol_catalog_ref(struct pol_catalog *c) {
    atomic_fetch_add(&c->refs, 1);
    return c;
}

void pol_catalog_unref(struct pol_catalog *c) {
    if (c != NULL && atomic_fetch_sub(&c->refs, 1) == 1) destroy(c);
}

/* --- what views read, in MySQL --- */

/* The servers give a definition with every table's database, in the words of the default sql_mode, and none to who may not SHOW it. */
static bool read_view(struct pol_catalog *c, struct pol_cat_relation *r) {
    static const struct pol_parse_limits limits = {.depth = VIEW_DEPTH};
    const struct my_options o = {.server = c->engine == POL_CAT_MYSQL ? MY_MYSQL : MY_MARIADB,
                                 .version = c->server,
                                 .default_db = r->schema,
                                 .fold_names = c->fold,
                                 .limits = &limits};
    struct pol_parse_error err;
    const char *text = r->definition != NULL ? r->definition : "";
    struct pol_facts *f = pol_facts_my(text, strlen(text), &o, &err);
    r->reads_more = f == NULL || f->nstmts != 1 || f->stmts[0].kind != POL_K_SELECT || f->stmts[0].opaque;
    if (r->reads_more) {
        bool ok = f != NULL || err.rc != POL_NO_MEMORY;
        pol_facts_free(f);
        return ok;
    }
    const struct pol_stmt *s = &f->stmts[0];
    const struct pol_cat_relation **to = pol_alloc_array(c->arena, s->nrelations + 1, sizeof *to);
    r->reads = to;
    for (size_t i = 0; to != NULL && i < s->nrelations; i++) {
        const struct pol_cat_relation *found = pol_catalog_relation(c, s->relations[i].schema, s->relations[i].name);
        if (found != NULL && found != r)
            to[r->nreads++] = found;
        else
            r->reads_more = r->reads_more || !s->relations[i].catalog;
    }
    pol_facts_free(f);
    return to != NULL;
}

bool pol_catalog_read_views(struct pol_catalog *c) {
    bool ok = true;
    for (size_t i = 0; ok && c->engine != POL_CAT_POSTGRESQL && i < c->nrelations; i++)
        if (c->relations[i].kind == 'v' && c->relations[i].nreads == 0) ok = read_view(c, &c->relations[i]);
    return ok;
}

/* --- look-ups --- */

const char *pol_catalog_database(const struct pol_catalog *c) { return c->database; }
enum pol_engine pol_catalog_engine(const struct pol_catalog *c) { return c->engine; }
bool pol_catalog_fold(const struct pol_catalog *c) { return c->fold; }
struct pol_cat_defaults pol_catalog_defaults(const struct pol_catalog *c) {
    return c->defaults;
}
uint32_t pol_catalog_server(const struct pol_catalog *c) { return c->server; }

const struct pol_cat_relation *pol_catalog_relation(const struct pol_catalog *c, const char *schema, const char *name) {
    for (size_t at = hash_name(schema, name) & (c->nslots - 1); c->by_name[at] != 0; at = (at + 1) & (c->nslots - 1)) {
        const struct pol_cat_relation *r = &c->relations[c->by_name[at] - 1];
        if (compare_names(r->schema, r->name, schema, name) == 0) return r;
    }
    return NULL;
}

const struct pol_cat_relation *pol_catalog_relation_oid(const struct pol_catalog *c, uint32_t oid) {
    for (size_t at = hash_oid(oid) & (c->nslots - 1); c->by_oid[at] != 0; at = (at + 1) & (c->nslots - 1))
        if (c->relations[c->by_oid[at] - 1].oid == oid) return &c->relations[c->by_oid[at] - 1];
    return NULL;
}

const struct pol_cat_column *pol_cat_column(const struct pol_cat_relation *r, const char *name) {
    for (size_t i = 0; i < r->ncolumns; i++)
        if (strcmp(r->columns[i].name, name) == 0) return &r->columns[i];
    return NULL;
}

const struct pol_cat_type *pol_catalog_type(const struct pol_catalog *c, uint32_t oid) {
    const struct pol_cat_type key = {.oid = oid};
    return c->ntypes == 0 ? NULL : bsearch(&key, c->types, c->ntypes, sizeof key, type_order);
}

const struct pol_cat_function *pol_catalog_functions(const struct pol_catalog *c, const char *schema, const char *name, size_t *n) {
    size_t low = 0, high = c->nfunctions;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (compare_names(c->functions[mid].schema, c->functions[mid].name, schema, name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    for (*n = 0; low + *n < c->nfunctions; ++*n)
        if (compare_names(c->functions[low + *n].schema, c->functions[low + *n].name, schema, name) != 0) break;
    return *n == 0 ? NULL : &c->functions[low];
}

size_t pol_catalog_relations(const struct pol_catalog *c) { return c->nrelations; }
const struct pol_cat_relation *pol_catalog_relation_at(const struct pol_catalog *c, size_t i) {
    return i < c->nrelations ? &c->relations[i] : NULL;
}
