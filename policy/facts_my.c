#include "policy/facts_my_int.h"

#include "filters/bytes.h"

#include "policy/my_reference.h"
#include "policy/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* CTEs of one statement, tables of one UPDATE or DELETE, and how often a name may be held against such a table. The servers join 61 tables at most. */
#define MAX_CTES     256
#define MAX_JOINED   256
#define MAX_COMPARED 1000000

const struct my_node *fm_node(const struct fm *x, uint32_t i) { return &x->t->nodes[i]; }

uint32_t fm_at(const struct fm *x, uint32_t tok) { return x->inner ? x->inner_at : x->t->tokens.t[tok].at; }

/* --- names --- */

static void fold(char *s) {
    for (; *s != '\0'; s++)
        if (*s >= 'A' && *s <= 'Z') *s = (char)(*s | 0x20);
}

bool fm_same(const char *a, const char *b) {
    for (;; a++, b++) {
        char c = *a >= 'A' && *a <= 'Z' ? (char)(*a | 0x20) : *a, d = *b >= 'A' && *b <= 'Z' ? (char)(*b | 0x20) : *b;
        if (c != d) return false;
        if (c == '\0') return true;
    }
}

const char *fm_name(struct fm *x, uint32_t tok, bool folded) {
    const struct my_token *t = &x->t->tokens.t[tok];
    char *to = pol_alloc(x->c.arena, (size_t)(t->end - t->at) + 1);
    if (to == NULL) {
        fm_no_memory(x);
        return NULL;
    }
    size_t len = my_token_value(x->t->sql, t, x->o->mode, to);
    if (strlen(to) != len || !gh_utf8_valid(to, len)) { /* data may be any bytes, what counts as a name or a value may not */
        fm_fail(x, POL_ENCODING, "a name or a setting's value is not valid UTF-8, or holds a NUL character");
        return NULL;
    }
    if (folded) fold(to);
    return to;
}

const char *fm_part(struct fm *x, uint32_t tok, unsigned i, bool folded) {
    const struct my_token *t = &x->t->tokens.t[tok];
    bool leading = t->kind == MY_T_OP;
    if (leading && i == 0) return "";
    return fm_name(x, leading ? tok + 2 * i - 1 : tok + 2 * i, folded);
}

static bool is_ascii(const char *s) {
    for (; *s != '\0'; s++)
        if ((unsigned char)*s >= 0x80) return false;
    return true;
}

/* The name of a database or a table, as the server compares it. The server folds letters beyond ASCII by a table of its own. */
const char *fm_object(struct fm *x, uint32_t tok, unsigned part) {
    const char *s = fm_part(x, tok, part, x->o->fold_names);
    if (s != NULL && x->o->fold_names && !is_ascii(s)) {
        fm_fail(x, POL_NOT_UNDERSTOOD, "a name beyond ASCII is not understood where the server folds names to lower case");
        return NULL;
    }
    if (s != NULL &&
        strncasecmp(s, "#mysql50#", 9) == 0) { /* what follows is the name of a file: another spelling of some relation's name */
        fm_fail(x, POL_NOT_UNDERSTOOD, "a name that begins with #mysql50# is not understood");
        return NULL;
    }
    return s;
}

/* --- what is found --- */

/* information_schema is found in any case, whatever the file system does, and so are its relations; the other system schemas may be. */
static bool system_schema(struct fm *x, const char **schema, const char **name) {
    const char *system = my_system_schema(*schema);
    if (system == NULL) return false;
    char *lower = pol_strdup(x->c.arena, *name);
    if (lower == NULL) return fm_no_memory(x);
    fold(lower);
    *schema = system;
    *name = lower;
    return true;
}

bool fm_relation(struct fm *x, const char *schema, const char *name, unsigned access, uint32_t location) {
    bool catalog = system_schema(x, &schema, &name);
    if (x->c.err->rc != POL_PARSED) return false;
    return pol_collect_relation(&x->c, &(struct pol_relation){schema, name, access, location, catalog, false});
}

bool fm_function(struct fm *x, const char *schema, const char *name, uint32_t location) {
    return pol_collect_function(&x->c, &(struct pol_function){schema, name, location, false});
}

bool fm_setting(struct fm *x, const char *name, const char *value, bool local, bool show) {
    return pol_collect_setting(&x->c, &(struct pol_setting){name, value, local, show});
}

/* --- tables --- */

const char *fm_default_db(const struct fm *x) { return x->default_db != NULL ? x->default_db : ""; }

static uint32_t hash_folded(const char *name) {
    uint32_t h = 2166136261u;
    for (; *name != '\0'; name++) h = (h ^ (unsigned char)(*name >= 'A' && *name <= 'Z' ? *name | 0x20 : *name)) * 16777619u;
    return h;
}

/* What an unqualified name in FROM means. A name that differs in its case alone may be either, depending on the server: it is reported as a relation too. */
static struct fm_cte *find_cte(const struct fm *x, const char *name, bool *relation_too) {
    uint32_t hash = hash_folded(name);
    *relation_too = true;
    for (struct fm_cte *c = x->ctes; c != NULL; c = c->outer) {
        if (c->hash != hash || !fm_same(c->name, name)) continue;
        *relation_too = c->hidden || strcmp(c->name, name) != 0;
        if (!*relation_too) return c;
    }
    return NULL;
}

/* In a query of WITH, MariaDB finds the CTEs of a WITH further outside only when the one WITH stands directly in the other, and only when somebody uses them; else it takes
 * their names for tables. Such a name is refused there, so that nobody has to know. */
static bool refer(struct fm *x, const struct fm_cte *to) {
    if (x->in_cte == NULL || to->level >= x->in_cte->level || x->o->server != MY_MARIADB) return true;
    return fm_fail(x, POL_NOT_UNDERSTOOD, "in a query of WITH, a name that a WITH further outside has is not understood");
}

static bool table(struct fm *x, uint32_t node) {
    const struct my_node *n = fm_node(x, node);
    unsigned parts = n->flags & FM_PARTS, access = n->word;
    const char *name = fm_object(x, n->tok, parts - 1), *schema = parts > 1 ? fm_object(x, n->tok, 0) : fm_default_db(x);
    uint32_t location = fm_at(x, n->tok);
    if (name == NULL || schema == NULL) return false;
    for (uint32_t c = n->first; c != 0; c = fm_node(x, c)->next)
        if (fm_node(x, c)->type == MN_NAME && (schema = fm_object(x, fm_node(x, c)->tok, 0)) == NULL) return false;
    if (parts > 1 && *schema == '\0') schema = fm_default_db(x); /* .t */
    if (access == 0) {
        bool relation_too;
        struct fm_cte *cte = parts == 1 ? find_cte(x, name, &relation_too) : NULL;
        if (cte != NULL) {
            if (x->meanings != NULL && !x->inner) x->meanings[node].cte = true;
            return refer(x, cte) && fm_children(x, node);
        }
        access = POL_SELECT;
    }
    if (n->flags & FM_UPDATE) access |= POL_UPDATE;
    if (n->flags & FM_DELETE) access |= POL_DELETE;
    if (n->flags & FM_LOCK) access |= POL_UPDATE;
    if (x->meanings != NULL && !x->inner) x->meanings[node] = (struct fm_meaning){.schema = schema, .name = name};
    return fm_relation(x, schema, name, access, location) && fm_children(x, node);
}

/* --- functions --- */

static bool call(struct fm *x, uint32_t node) {
    const struct my_node *n = fm_node(x, node);
    const struct my_token *t = &x->t->tokens.t[n->tok];
    uint32_t location = fm_at(x, n->tok);
    unsigned parts = n->flags;
    const char *name = fm_part(x, n->tok, parts - 1, true), *schema = NULL;
    if (name == NULL) return false;
    if (parts == 1) {
        /* COUNT (x), with a blank, is no word of the grammar: the server looks for a function of that name */
        bool word = t->kind == MY_T_WORD && my_word_needs_paren((enum my_word)t->word);
        bool stored = word && !(t->flags & MY_TF_PAREN) && !my_word_reserved((enum my_word)t->word, x->o->server);
        if (n->word == 0 && word) stored = true;
        if (stored || t->kind == MY_T_OP || !my_function_known(name, x->o)) schema = "";
    } else {
        schema = fm_object(x, n->tok, 0);
        if (schema == NULL) return false;
        if (*schema == '\0') schema = fm_default_db(x);
        if (parts == 3) {
            const char *package = fm_part(x, n->tok, 1, true);
            size_t size = package == NULL ? 0 : strlen(package) + strlen(name) + 2;
            char *both = package == NULL ? NULL : pol_alloc(x->c.arena, size);
            if (both == NULL) return fm_no_memory(x);
            snprintf(both, size, "%s.%s", package, name);
            name = both;
        } else if (x->o->server == MY_MARIADB && my_native_schema(schema) && my_function_known(name, x->o)) {
            schema = NULL;
        }
    }
    return fm_function(x, schema, name, location) && fm_children(x, node);
}

/* --- queries --- */

static bool with(struct fm *x, uint32_t node) {
    const struct my_node *w = fm_node(x, node);
    bool recursive = (w->flags & MF_RECURSIVE) != 0, forward = recursive && x->o->server == MY_MARIADB;
    size_t n = 0, i = 0;
    for (uint32_t c = w->first; c != 0; c = fm_node(x, c)->next) n++;
    if ((x->nctes += (uint32_t)n) > MAX_CTES) return fm_fail(x, POL_TOO_LARGE, "more than %d queries in WITH are not supported", MAX_CTES);
    struct fm_cte *all = pol_alloc_array(x->c.arena, n, sizeof *all);
    if (all == NULL) return fm_no_memory(x);
    const struct fm_cte *in = x->in_cte;
    x->level++;
    for (uint32_t c = w->first; c != 0; c = fm_node(x, c)->next, i++) {
        const char *name = fm_name(x, fm_node(x, c)->tok, x->o->fold_names);
        if (name == NULL) return false;
        all[i] = (struct fm_cte){.name = name, .hash = hash_folded(name), .hidden = !forward, .outer = x->ctes, .level = x->level};
        x->ctes = &all[i];
    }
    i = 0;
    for (uint32_t c = w->first; c != 0; c = fm_node(x, c)->next, i++) {
        if (recursive) all[i].hidden = false;
        x->in_cte = &all[i];
        if (!fm_children(x, c)) return false;
        all[i].hidden = false;
    }
    x->in_cte = in;
    return true;
}

/* Collects the tables of a FROM clause, those in parentheses too. False when there are too many. */
static bool collect(struct fm *x, uint32_t from, struct fm_table *all, size_t *n) {
    for (uint32_t c = fm_node(x, from)->first; c != 0; c = fm_node(x, c)->next) {
        const struct my_node *t = fm_node(x, c);
        if (t->type == MN_FROM && !collect(x, c, all, n)) return false;
        if (t->type != MN_TABLE) continue;
        if (*n == MAX_JOINED) return fm_fail(x, POL_TOO_LARGE, "more than %d tables are not supported here", MAX_JOINED);
        const char *name = fm_part(x, t->tok, (t->flags & FM_PARTS) - 1, false);
        for (uint32_t a = t->first; a != 0; a = fm_node(x, a)->next)
            if (fm_node(x, a)->type == MN_ALIAS) name = fm_name(x, fm_node(x, a)->tok, false);
        if (name == NULL) return false;
        all[(*n)++] = (struct fm_table){c, name};
    }
    return true;
}

/* A table's database may be said otherwise than in FROM: all that may be meant are. */
static bool is_named(const struct fm *x, const char *own, const char *name) {
    if (x->o->fold_names && (!is_ascii(own) || !is_ascii(name))) return true; /* folded by a table that is the server's */
    return fm_same(own, name);
}

/* Marks the tables that name (NULL: any) may mean; returns how many. */
static size_t mark(struct fm *x, const struct fm_table *all, size_t n, const char *name, unsigned flag) {
    size_t marked = 0;
    for (size_t i = 0; i < n; i++) {
        if (name != NULL && !is_named(x, all[i].name, name)) continue;
        x->t->nodes[all[i].node].flags |= (uint8_t)flag;
        marked++;
    }
    return marked;
}

static uint32_t count(const struct fm *x, uint32_t node) {
    uint32_t n = 0;
    for (uint32_t c = fm_node(x, node)->first; c != 0; c = fm_node(x, c)->next) n++;
    return n;
}

static bool lock_from(struct fm *x, uint32_t lock, uint32_t from) {
    struct fm_table all[MAX_JOINED];
    size_t n = 0;
    bool named = fm_node(x, lock)->first != 0 && fm_node(x, fm_node(x, lock)->first)->type == MN_TARGET;
    if (!collect(x, from, all, &n)) return false;
    if (n * count(x, lock) > MAX_COMPARED) return fm_fail(x, POL_TOO_LARGE, "more than %d tables are not supported here", MAX_JOINED);
    for (uint32_t t = fm_node(x, lock)->first; named && t != 0; t = fm_node(x, t)->next) {
        const struct my_node *target = fm_node(x, t);
        if (target->type != MN_TARGET) continue;
        const char *name = fm_part(x, target->tok, target->flags - 1u, false);
        if (name == NULL) return false;
        named = mark(x, all, n, name, FM_LOCK) > 0;
    }
    if (!named) mark(x, all, n, NULL, FM_LOCK);
    return true;
}

/* FOR UPDATE and its kin lock the rows of the FROM clause of the SELECT that they end. */
static bool lock(struct fm *x, uint32_t lock_node, uint32_t body) {
    bool select = fm_node(x, body)->type == MN_SELECT;
    for (uint32_t c = fm_node(x, body)->first; c != 0; c = fm_node(x, c)->next) {
        enum my_node_type type = (enum my_node_type)fm_node(x, c)->type;
        if (!select && (type == MN_SELECT || type == MN_UNION || type == MN_QUERY) && !lock(x, lock_node, c)) return false;
        if (select && type == MN_FROM && !lock_from(x, lock_node, c)) return false;
    }
    return true;
}

/* A WITH of its own in one of the queries in parentheses that this one consists of (not in a subquery). */
static bool operand_with(const struct fm *x, uint32_t node) {
    for (uint32_t c = fm_node(x, node)->first; c != 0; c = fm_node(x, c)->next) {
        enum my_node_type type = (enum my_node_type)fm_node(x, c)->type;
        if (type == MN_WITH || ((type == MN_QUERY || type == MN_UNION) && operand_with(x, c))) return true;
    }
    return false;
}

/* WITH a AS (..) (WITH b AS (..) SELECT * FROM a): to MySQL a is a table here, and in the rest of the UNION as well. */
static bool nested_with(struct fm *x, uint32_t node) {
    bool with = false, inner = false;
    for (uint32_t c = fm_node(x, node)->first; c != 0; c = fm_node(x, c)->next) {
        enum my_node_type type = (enum my_node_type)fm_node(x, c)->type;
        with = with || type == MN_WITH || type == MN_UNION;
        inner = inner || ((type == MN_QUERY || type == MN_UNION) && operand_with(x, c));
    }
    return !with || !inner ||
           fm_fail(x, POL_NOT_UNDERSTOOD, "WITH in parentheses is not understood where another WITH, or UNION, is outside of them");
}

static bool query(struct fm *x, uint32_t node) {
    struct fm_cte *outer = x->ctes;
    uint32_t body = 0;
    if (!nested_with(x, node)) return false;
    for (uint32_t c = fm_node(x, node)->first; c != 0; c = fm_node(x, c)->next) {
        enum my_node_type type = (enum my_node_type)fm_node(x, c)->type;
        if (type == MN_SELECT || type == MN_UNION || type == MN_QUERY) body = c;
        if (type == MN_LOCK && body != 0 && !lock(x, c, body)) return false;
    }
    unsigned level = x->level;
    bool ok = fm_children(x, node);
    x->ctes = outer;
    x->level = level;
    return ok;
}

/* --- the walk --- */

bool fm_children(struct fm *x, uint32_t node) {
    for (uint32_t c = fm_node(x, node)->first; c != 0; c = fm_node(x, c)->next)
        if (!fm_walk(x, c)) return false;
    return true;
}

static bool system_variable(struct fm *x, uint32_t node) {
    const struct my_node *n = fm_node(x, node);
    const char *name = fm_part(x, n->tok + 1, n->flags - 1u, true);
    return name != NULL && fm_setting(x, name, NULL, false, true);
}

bool fm_walk(struct fm *x, uint32_t node) {
    const struct my_node *n = fm_node(x, node);
    switch ((enum my_node_type)n->type) {
    case MN_QUERY: return query(x, node);
    case MN_WITH: return with(x, node);
    case MN_TABLE: return table(x, node);
    case MN_CALL: return call(x, node);
    case MN_COLUMN:
    case MN_STAR: x->columns++; return true;
    case MN_SYSVAR: return system_variable(x, node);
    case MN_INTO:
        if (n->word != 0) {
            x->c.s->actions |= POL_FILES;
            x->c.s->reads_only = false;
        }
        return true;
    case MN_PROCEDURE: return fm_function(x, NULL, "procedure analyse", fm_at(x, n->tok)) && fm_children(x, node);
    case MN_STMT: return fm_statement(x, NULL, node);
    case MN_SEQUENCE: /* LASTVAL(), PREVIOUS VALUE FOR: as PostgreSQL's currval() */
        if (fm_node(x, n->first)->word == POL_SELECT) x->c.s->last_value = true;
        return fm_children(x, node);
    case MN_USING: x->columns++; return true;
    case MN_LIMIT: x->c.s->counts_rows = x->c.s->counts_rows || (n->flags & MF_EXAMINED) != 0; return fm_children(x, node);
    default: return fm_children(x, node);
    }
}

/* --- UPDATE, DELETE, INSERT --- */

static uint32_t child(const struct fm *x, uint32_t node, enum my_node_type type) {
    for (uint32_t c = fm_node(x, node)->first; c != 0; c = fm_node(x, c)->next)
        if (fm_node(x, c)->type == type) return c;
    return 0;
}

/* A WHERE that names a column; without one the statement is about every row. */
static bool where(struct fm *x, uint32_t node) {
    uint32_t w = child(x, node, MN_WHERE), before = x->columns;
    if (w == 0) {
        x->c.s->unbounded = true;
        return true;
    }
    x->c.s->where = true;
    if (!fm_children(x, w)) return false;
    if (x->columns == before) x->c.s->unbounded = true;
    return true;
}

/* The expressions of SET a = x: its columns are read, those on the left are not. */
static bool set_values(struct fm *x, uint32_t sets) {
    for (uint32_t c = fm_node(x, sets)->first; c != 0; c = fm_node(x, c)->next) {
        uint32_t value = fm_node(x, fm_node(x, c)->first)->next;
        if (!fm_walk(x, value)) return false;
    }
    return true;
}

static bool mark_sets(struct fm *x, const struct fm_table *all, size_t n, uint32_t sets) {
    if (n * count(x, sets) > MAX_COMPARED)
        return fm_fail(x, POL_TOO_LARGE, "an UPDATE of so many columns of so many tables is not supported");
    for (uint32_t c = fm_node(x, sets)->first; c != 0; c = fm_node(x, c)->next) {
        const struct my_node *column = fm_node(x, fm_node(x, c)->first);
        unsigned parts = column->flags;
        size_t marked = 0;
        if (parts > 1) { /* the table is the part in front of the last */
            const char *name = fm_part(x, column->tok, parts - 2, false);
            if (name == NULL) return false;
            marked = mark(x, all, n, name, FM_UPDATE);
        }
        if (marked == 0) {
            mark(x, all, n, NULL, FM_UPDATE);
            if (parts == 1) return true; /* all of them */
        }
    }
    return true;
}

static bool other_children(struct fm *x, uint32_t node) {
    for (uint32_t c = fm_node(x, node)->first; c != 0; c = fm_node(x, c)->next) {
        enum my_node_type type = (enum my_node_type)fm_node(x, c)->type;
        if (type == MN_WHERE || type == MN_SETS || type == MN_WITH || type == MN_TARGET || type == MN_ORDER) continue;
        if (!fm_walk(x, c)) return false;
    }
    return true;
}

static bool order(struct fm *x, uint32_t node) {
    uint32_t o = child(x, node, MN_ORDER);
    return o == 0 || fm_children(x, o);
}

/* Whether a FROM clause is one item. */
static bool is_one(const struct fm *x, uint32_t from) {
    uint32_t first = fm_node(x, from)->first;
    return first != 0 && fm_node(x, first)->type == MN_TABLE && fm_node(x, first)->next == 0;
}

static bool update(struct fm *x, uint32_t node) {
    uint32_t from = child(x, node, MN_USING_TABLES), sets = child(x, node, MN_SETS), w = child(x, node, MN_WITH);
    struct fm_table all[MAX_JOINED];
    size_t n = 0;
    if ((w != 0 && !fm_walk(x, w)) || !collect(x, from, all, &n) || !mark_sets(x, all, n, sets)) return false;
    if (!set_values(x, sets) || !where(x, node) || !order(x, node)) return false;
    bool reads = x->columns > 0 || child(x, node, MN_RETURNING) != 0;
    if (is_one(x, from) && !reads) x->t->nodes[fm_node(x, from)->first].word = POL_UPDATE;
    return other_children(x, node);
}

static bool delete_joined(struct fm *x, uint32_t node, uint32_t from) {
    struct fm_table all[MAX_JOINED];
    size_t n = 0, targets = 0;
    if (!collect(x, from, all, &n)) return false;
    for (uint32_t c = fm_node(x, node)->first; c != 0; c = fm_node(x, c)->next) {
        const struct my_node *t = fm_node(x, c);
        if (t->type != MN_TARGET) continue;
        if (++targets > MAX_JOINED) return fm_fail(x, POL_TOO_LARGE, "more than %d tables are not supported here", MAX_JOINED);
        const char *name = fm_part(x, t->tok, t->flags - 1u, false);
        if (name == NULL) return false;
        if (mark(x, all, n, name, FM_DELETE) > 0) continue;
        mark(x, all, n, NULL, FM_DELETE); /* none is named so: the server will not know it either, or know better */
        const char *relation = fm_object(x, t->tok, t->flags - 1u), *schema = t->flags > 1 ? fm_object(x, t->tok, 0) : fm_default_db(x);
        if (relation == NULL || schema == NULL || !fm_relation(x, schema, relation, POL_DELETE | POL_SELECT, fm_at(x, t->tok)))
            return false;
    }
    return where(x, node) && other_children(x, node);
}

static bool delete (struct fm *x, uint32_t node) {
    uint32_t from = child(x, node, MN_USING_TABLES), w = child(x, node, MN_WITH);
    if (w != 0 && !fm_walk(x, w)) return false;
    if (from != 0) return delete_joined(x, node, from);
    uint32_t t = child(x, node, MN_TABLE);
    if (!where(x, node) || !order(x, node)) return false;
    if (child(x, node, MN_RETURNING) != 0 || x->columns > 0) x->t->nodes[t].word |= POL_SELECT;
    return other_children(x, node);
}

/* INSERT ... AS new: columns of the row that is to be inserted, which are read from nowhere. */
static uint32_t of_row(struct fm *x, const char *row, uint32_t node) {
    const struct my_node *n = fm_node(x, node);
    uint32_t found = 0;
    if (n->type == MN_COLUMN && n->flags == 2) {
        const char *table = fm_part(x, n->tok, 0, true);
        return table != NULL && strcmp(row, table) == 0 ? 1 : 0;
    }
    if (n->type == MN_SUBQUERY) return 0;
    for (uint32_t c = n->first; c != 0; c = fm_node(x, c)->next) found += of_row(x, row, c);
    return found;
}

static uint32_t of_the_new_row(struct fm *x, uint32_t insert, uint32_t sets) {
    uint32_t alias = child(x, insert, MN_ALIAS), found = 0;
    if (alias == 0) return 0;
    const struct my_node *t = fm_node(x, child(x, insert, MN_TABLE));
    const char *row = fm_name(x, fm_node(x, alias)->tok, true), *table = fm_part(x, t->tok, (t->flags & FM_PARTS) - 1, true);
    if (row == NULL || table == NULL || strcmp(row, table) == 0) return 0;
    for (uint32_t c = fm_node(x, sets)->first; c != 0; c = fm_node(x, c)->next)
        found += of_row(x, row, fm_node(x, fm_node(x, c)->first)->next);
    return found;
}

static bool insert(struct fm *x, uint32_t node) {
    uint32_t t = child(x, node, MN_TABLE), sets = 0;
    bool source = false; /* SETS behind a source is that of ON DUPLICATE KEY */
    for (uint32_t c = fm_node(x, node)->first; c != 0; c = fm_node(x, c)->next) {
        enum my_node_type type = (enum my_node_type)fm_node(x, c)->type;
        if (type == MN_SETS && source) sets = c;
        if (type == MN_SETS || type == MN_QUERY) source = true;
    }
    for (uint32_t c = fm_node(x, node)->first; c != 0; c = fm_node(x, c)->next) {
        enum my_node_type type = (enum my_node_type)fm_node(x, c)->type;
        uint32_t before = x->columns + (c == sets && c != 0 ? of_the_new_row(x, node, c) : 0);
        if (type == MN_SETS ? !set_values(x, c) : type == MN_QUERY || type == MN_RETURNING ? !fm_walk(x, c) : false) return false;
        if ((c == sets || type == MN_RETURNING) && x->columns > before) x->t->nodes[t].word |= POL_SELECT;
    }
    if (sets != 0) x->t->nodes[t].word |= POL_UPDATE;
    return fm_walk(x, t);
}

/* --- statements --- */

static bool is_limited(const struct fm *x, uint32_t stmt) {
    uint32_t q = fm_node(x, stmt)->first, l = q != 0 ? child(x, q, MN_LIMIT) : 0;
    return l != 0 && fm_node(x, l)->first != 0;
}

bool fm_statement(struct fm *x, const struct my_stmt *st, uint32_t node) {
    struct pol_stmt *s = x->c.s;
    bool top = st != NULL && !x->inner;
    enum pol_kind kind = POL_K_OTHER;
    bool ok;
    switch ((enum my_stmt_kind)fm_node(x, node)->word) {
    case MS_EMPTY: kind = POL_K_EMPTY, ok = true; break;
    case MS_QUERY:
        kind = POL_K_SELECT;
        if (st != NULL) s->limited = is_limited(x, node); /* of what PREPARE holds as well */
        ok = fm_children(x, node);
        break;
    case MS_INSERT: kind = POL_K_INSERT, ok = insert(x, node); break;
    case MS_UPDATE: kind = POL_K_UPDATE, ok = update(x, node); break;
    case MS_DELETE: kind = POL_K_DELETE, ok = delete (x, node); break;
    default: return fm_util(x, st, node);
    }
    if (top) s->kind = kind;
    return ok;
}

/* --- the text --- */

static bool one_statement(struct fm *x, const struct my_stmt *st, struct pol_stmt *s) {
    const struct my_token *t = x->t->tokens.t;
    pol_collect_begin(&x->c, s);
    x->ctes = NULL;
    x->in_cte = NULL;
    x->nctes = x->level = 0;
    x->columns = 0;
    *s = (struct pol_stmt){.kind = POL_K_OTHER, .tag = st->tag, .actions = st->actions, .reads_only = true};
    s->location = t[st->tok].at;
    s->len = (st->end > st->tok ? t[st->end - 1].end : s->location) - s->location;
    if (x->mode_changed)
        return fm_fail(x, POL_NOT_UNDERSTOOD, "send what follows a change of sql_mode or of a character set as a text of its own");
    return fm_statement(x, st, st->node);
}

struct pol_facts *fm_facts(struct my_tree *t, const struct my_options *o, struct fm_meaning *meanings, struct pol_parse_error *err) {
    struct pol_facts *f = calloc(1, sizeof *f);
    if (f != NULL && (f->arena = pol_arena_new()) != NULL) pol_arena_bound(f->arena, POL_ARENA_TEXT(t->tokens.t[t->tokens.n - 1].at));
    struct fm x = {.t = t, .o = o, .default_db = o->default_db, .meanings = meanings, .c.err = err};
    if (f == NULL || (x.c.arena = f->arena) == NULL || (f->stmts = pol_alloc_array(f->arena, t->nstmts, sizeof *f->stmts)) == NULL) {
        fm_no_memory(&x);
    } else {
        f->dialect = POL_MYSQL;
        f->my_server = (uint8_t)o->server;
        f->my_mode = (uint8_t)o->mode;
        f->my_version = o->version;
        if (o->default_db != NULL && (x.default_db = pol_strdup(f->arena, o->default_db)) == NULL) fm_no_memory(&x);
        while (err->rc == POL_PARSED && f->nstmts < t->nstmts) one_statement(&x, &t->stmts[f->nstmts], &f->stmts[f->nstmts]), f->nstmts++;
    }
    if (err->rc == POL_PARSED) return f;
    pol_facts_free(f);
    return NULL;
}

struct pol_facts *pol_facts_my(const char *sql, size_t len, const struct my_options *o, struct pol_parse_error *err) {
    struct my_tree t;
    struct pol_facts *f = my_parse(&t, sql, len, o, err) ? fm_facts(&t, o, NULL, err) : NULL;
    my_tree_free(&t);
    return f;
}
