#include "policy/yaml.h"

#include "filters/bytes.h"
#include "policy/arena.h"
#include "policy/file.h"
#include "policy/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#define MAX_BYTES (4u << 20)
#define MAX_DEPTH 32
#define MAX_KEYS  4096 /* of one map: duplicates are searched for pair by pair */

struct yaml_node {
    enum yaml_kind kind;
    unsigned line, column; /* from 1 */
    bool plain;            /* a scalar without quotes */
    const char *text;      /* YAML_SCALAR; YAML_NULL as it was written */
    struct yaml_node **items, **keys;
    size_t n, cap, keycap;
    const struct yaml_node *parent;
    const char *key; /* in the parent, when that is a map */
    size_t index;    /* in the parent */
    struct yaml_doc *doc;
};

struct yaml_doc {
    struct pol_arena *arena;
    const char *file;
    struct yaml_node *root;
};

void pol_error_format(const struct pol_error *e, char *out, size_t size) {
    char at[32] = "";
    if (e->line > 0) snprintf(at, sizeof at, ":%u:%u", e->line, e->column);
    snprintf(out, size, "%s%s: %s%s%s", e->file, at, e->key, e->key[0] != '\0' ? ": " : "", e->text);
}

__attribute__((format(printf, 5, 6))) static bool fail_at(const char *file, unsigned line, unsigned column, struct pol_error *err,
                                                          const char *fmt, ...) {
    memset(err, 0, sizeof *err);
    snprintf(err->file, sizeof err->file, "%s", file);
    err->line = line;
    err->column = column;
    va_list ap;
    va_start(ap, fmt);
    pol_vadd(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    return false;
}

/* "rules[2].on": from the root down, without recursion; what does not fit is cut at the front's end. */
static void path_of(const struct yaml_node *n, char *out, size_t size) {
    const struct yaml_node *up[MAX_DEPTH + 2];
    size_t depth = 0, used = 0;
    for (; n != NULL && n->parent != NULL && depth < MAX_DEPTH + 2; n = n->parent) up[depth++] = n;
    out[0] = '\0';
    while (depth-- > 0 && used < size) {
        const struct yaml_node *at = up[depth];
        int w;
        if (at->key != NULL)
            w = snprintf(out + used, size - used, "%s%s", used > 0 ? "." : "", at->key);
        else
            w = snprintf(out + used, size - used, "[%zu]", at->index);
        if (w < 0) return;
        used += (size_t)w;
    }
}

bool yaml_fail(const struct yaml_node *n, struct pol_error *err, const char *fmt, ...) {
    memset(err, 0, sizeof *err);
    if (n != NULL) {
        snprintf(err->file, sizeof err->file, "%s", n->doc->file);
        err->line = n->line;
        err->column = n->column;
        path_of(n, err->key, sizeof err->key);
        pol_utf8_tidy(err->key);
    }
    va_list ap;
    va_start(ap, fmt);
    pol_vadd(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    return false;
}

/* --- loading --- */

struct loader {
    struct yaml_doc *doc;
    yaml_parser_t parser;
    struct pol_error *err;
};

static bool no_memory(struct loader *l) { return fail_at(l->doc->file, 0, 0, l->err, "out of memory"); }

static bool fail_event(struct loader *l, const yaml_event_t *ev, const char *what) {
    return fail_at(l->doc->file, (unsigned)ev->start_mark.line + 1, (unsigned)ev->start_mark.column + 1, l->err, "%s", what);
}

static bool next_event(struct loader *l, yaml_event_t *ev) {
    if (yaml_parser_parse(&l->parser, ev)) return true;
    const yaml_parser_t *p = &l->parser;
    if (p->error == YAML_MEMORY_ERROR) return no_memory(l);
    unsigned line = (unsigned)p->problem_mark.line + 1, column = (unsigned)p->problem_mark.column + 1;
    const char *problem = p->problem != NULL ? p->problem : "not YAML";
    if (p->error == YAML_READER_ERROR) line = column = 0; /* no mark; only control characters are left to it */
    if (p->context != NULL)
        return fail_at(l->doc->file, line, column, l->err, "%s, %s%s", problem, p->context,
                       strstr(p->context, "alias") != NULL ? "; a text that begins with * must be in quotes: \"*\", \"*.*\"" : "");
    return fail_at(l->doc->file, line, column, l->err, "%s", problem);
}

static bool is_null_word(const char *s) {
    return *s == '\0' || strcmp(s, "~") == 0 || strcmp(s, "null") == 0 || strcmp(s, "Null") == 0 || strcmp(s, "NULL") == 0;
}

static bool check_event(struct loader *l, const yaml_event_t *ev) {
    const yaml_char_t *anchor = NULL, *tag = NULL;
    switch (ev->type) {
    case YAML_ALIAS_EVENT:
        return fail_event(
            l, ev, "an alias (*name) is not allowed here; write the value out, and a text that begins with * in quotes: \"*\", \"*.*\"");
    case YAML_SCALAR_EVENT: anchor = ev->data.scalar.anchor, tag = ev->data.scalar.tag; break;
    case YAML_SEQUENCE_START_EVENT: anchor = ev->data.sequence_start.anchor, tag = ev->data.sequence_start.tag; break;
    case YAML_MAPPING_START_EVENT: anchor = ev->data.mapping_start.anchor, tag = ev->data.mapping_start.tag; break;
    default: break;
    }
    if (anchor != NULL) return fail_event(l, ev, "an anchor (&name) is not allowed here; put quotes around a text that starts with &");
    if (tag != NULL) return fail_event(l, ev, "a tag (!name) is not allowed here; put quotes around a text that starts with !");
    return true;
}

static struct yaml_node *new_node(struct loader *l, const yaml_event_t *ev, enum yaml_kind kind, const struct yaml_node *parent) {
    struct yaml_node *n = pol_alloc(l->doc->arena, sizeof *n);
    if (n == NULL) {
        no_memory(l);
        return NULL;
    }
    n->kind = kind;
    n->line = (unsigned)ev->start_mark.line + 1;
    n->column = (unsigned)ev->start_mark.column + 1;
    n->parent = parent;
    n->doc = l->doc;
    return n;
}

static struct yaml_node *load_scalar(struct loader *l, const yaml_event_t *ev, const struct yaml_node *parent) {
    size_t len = ev->data.scalar.length;
    const char *text = (const char *)ev->data.scalar.value;
    if (memchr(text, 0, len) != NULL) {
        fail_event(l, ev, "a text may not contain a NUL character");
        return NULL;
    }
    struct yaml_node *n = new_node(l, ev, YAML_SCALAR, parent);
    if (n == NULL) return NULL;
    n->plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    n->text = pol_strndup(l->doc->arena, text, len);
    if (n->text == NULL) {
        no_memory(l);
        return NULL;
    }
    if (n->plain && is_null_word(n->text)) n->kind = YAML_NULL;
    return n;
}

static bool add_item(struct loader *l, struct yaml_node *to, struct yaml_node *key, struct yaml_node *item) {
    struct yaml_node **items = pol_grow(l->doc->arena, to->items, to->n, &to->cap, sizeof *items);
    if (items == NULL) return no_memory(l);
    to->items = items;
    if (key != NULL) {
        struct yaml_node **keys = pol_grow(l->doc->arena, to->keys, to->n, &to->keycap, sizeof *keys);
        if (keys == NULL) return no_memory(l);
        to->keys = keys;
        to->keys[to->n] = key;
    }
    item->index = to->n;
    to->items[to->n++] = item;
    return true;
}

static bool check_key(struct loader *l, const struct yaml_node *map, const struct yaml_node *key) {
    (void)l;
    if (key->kind != YAML_SCALAR) return yaml_fail(key, l->err, "a key must be a word; this one is empty");
    if (key->plain && strcmp(key->text, "<<") == 0)
        return yaml_fail(key, l->err, "merge keys (<<) are not allowed here; write the keys out");
    if (map->n >= MAX_KEYS) return yaml_fail(key, l->err, "more than %d keys in one map", MAX_KEYS);
    for (size_t i = 0; i < map->n; i++)
        if (strcmp(map->keys[i]->text, key->text) == 0)
            return yaml_fail(key, l->err, "\"%.64s\" is given twice; it is already on line %u", key->text, map->keys[i]->line);
    return true;
}

static struct yaml_node *load_node(struct loader *l, const yaml_event_t *ev, const struct yaml_node *parent, const char *key,
                                   unsigned depth);

static bool load_pair(struct loader *l, struct yaml_node *map, const yaml_event_t *key_event, unsigned depth) {
    if (!check_event(l, key_event)) return false;
    if (key_event->type != YAML_SCALAR_EVENT) return fail_event(l, key_event, "a key must be a word, not a list or a map");
    struct yaml_node *key = load_scalar(l, key_event, map);
    if (key == NULL) return false;
    key->key = key->text;
    if (!check_key(l, map, key)) return false;
    yaml_event_t ev;
    if (!next_event(l, &ev)) return false;
    struct yaml_node *value = load_node(l, &ev, map, key->text, depth);
    yaml_event_delete(&ev);
    if (value == NULL) return false;
    value->key = key->text;
    /* An empty value has the position behind its key's colon, or wherever the next token is: the key is what a reader looks for. */
    if (value->kind == YAML_NULL && value->text[0] == '\0') value->line = key->line, value->column = key->column;
    key->index = map->n;
    return add_item(l, map, key, value);
}

static bool load_children(struct loader *l, struct yaml_node *to, unsigned depth) {
    for (;;) {
        yaml_event_t ev;
        if (!next_event(l, &ev)) return false;
        bool end = ev.type == YAML_SEQUENCE_END_EVENT || ev.type == YAML_MAPPING_END_EVENT, ok = true;
        if (!end && to->kind == YAML_MAP) {
            ok = load_pair(l, to, &ev, depth);
        } else if (!end) {
            struct yaml_node *item = load_node(l, &ev, to, NULL, depth);
            ok = item != NULL && add_item(l, to, NULL, item);
        }
        yaml_event_delete(&ev);
        if (end || !ok) return ok;
    }
}

static struct yaml_node *load_node(struct loader *l, const yaml_event_t *ev, const struct yaml_node *parent, const char *key,
                                   unsigned depth) {
    if (!check_event(l, ev)) return NULL;
    if (ev->type == YAML_SCALAR_EVENT) return load_scalar(l, ev, parent);
    if (depth >= MAX_DEPTH) {
        fail_event(l, ev, "lists and maps are nested too deep (32 levels at most)");
        return NULL;
    }
    struct yaml_node *n = new_node(l, ev, ev->type == YAML_MAPPING_START_EVENT ? YAML_MAP : YAML_LIST, parent);
    if (n == NULL) return NULL;
    n->key = key; /* before the children: errors inside name their path */
    if (parent != NULL) n->index = parent->n;
    return load_children(l, n, depth + 1) ? n : NULL;
}

static bool load_document(struct loader *l) {
    yaml_event_t ev;
    if (!next_event(l, &ev)) return false; /* stream start */
    yaml_event_delete(&ev);
    if (!next_event(l, &ev)) return false;
    if (ev.type == YAML_STREAM_END_EVENT) {
        yaml_event_delete(&ev);
        return fail_at(l->doc->file, 1, 1, l->err, "the file is empty");
    }
    bool directive = ev.data.document_start.version_directive != NULL ||
                     ev.data.document_start.tag_directives.start != ev.data.document_start.tag_directives.end;
    if (directive) fail_event(l, &ev, "directives (%YAML, %TAG) are not allowed here");
    yaml_event_delete(&ev);
    if (directive || !next_event(l, &ev)) return false;
    l->doc->root = load_node(l, &ev, NULL, NULL, 0);
    yaml_event_delete(&ev);
    if (l->doc->root == NULL) return false;
    if (l->doc->root->kind == YAML_NULL) return fail_at(l->doc->file, 1, 1, l->err, "the file is empty");
    if (!next_event(l, &ev)) return false; /* document end */
    yaml_event_delete(&ev);
    if (!next_event(l, &ev)) return false;
    bool ended = ev.type == YAML_STREAM_END_EVENT;
    if (!ended) fail_event(l, &ev, "a second document starts here (---); one file holds one document");
    yaml_event_delete(&ev);
    return ended;
}

/* What YAML's reader would take quietly: NUL, other encodings, tabs as blanks. */
static bool check_text(const char *name, const char *text, size_t len, struct pol_error *err) {
    if (memchr(text, '\t', len) == NULL && gh_utf8_valid(text, len)) return true;
    unsigned line = 1, column = 1;
    for (size_t i = 0, step; i < len; i += step) {
        step = pol_utf8_step(text + i, len - i);
        if (step == 0) return fail_at(name, line, column, err, "not valid UTF-8 (or a NUL byte); save the file as UTF-8");
        if (text[i] == '\t') return fail_at(name, line, column, err, "a tab; use spaces (in a double-quoted text write \\t)");
        column++;
        if (text[i] == '\n') line++, column = 1;
    }
    return true;
}

struct yaml_doc *yaml_load_text(const char *name, const char *text, size_t len, struct pol_error *err) {
    if (len > MAX_BYTES) {
        fail_at(name, 0, 0, err, "more than %u bytes", MAX_BYTES);
        return NULL;
    }
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) text += 3, len -= 3; /* byte order mark */
    if (!check_text(name, text, len, err)) return NULL;
    struct yaml_doc *doc = calloc(1, sizeof *doc);
    if (doc != NULL) doc->arena = pol_arena_new();
    if (doc == NULL || doc->arena == NULL || (doc->file = pol_strdup(doc->arena, name)) == NULL) {
        fail_at(name, 0, 0, err, "out of memory");
        yaml_doc_free(doc);
        return NULL;
    }
    struct loader l = {.doc = doc, .err = err};
    bool ok = yaml_parser_initialize(&l.parser) != 0;
    if (ok) {
        yaml_parser_set_encoding(&l.parser, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&l.parser, (const unsigned char *)text, len);
        ok = load_document(&l);
        yaml_parser_delete(&l.parser);
    } else {
        no_memory(&l);
    }
    if (ok) return doc;
    yaml_doc_free(doc);
    return NULL;
}

static bool read_all(int fd, char *data, size_t max, size_t *len) {
    *len = 0;
    while (*len < max) {
        ssize_t n = read(fd, data + *len, max - *len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        if (n == 0) return true;
        *len += (size_t)n;
    }
    return true;
}

char *pol_read_file(const char *path, size_t max, size_t *len, struct pol_error *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        fail_at(path, 0, 0, err, "cannot be opened: %s", strerror(errno));
        if (fd >= 0) close(fd);
        return NULL;
    }
    char *data = S_ISREG(st.st_mode) ? malloc(max + 1) : NULL;
    bool ok = false;
    if (!S_ISREG(st.st_mode))
        fail_at(path, 0, 0, err, "is not a regular file");
    else if (data == NULL)
        fail_at(path, 0, 0, err, "out of memory");
    else if (!read_all(fd, data, max + 1, len))
        fail_at(path, 0, 0, err, "cannot be read: %s", strerror(errno));
    else if (*len > max)
        fail_at(path, 0, 0, err, "has more than %zu bytes", max);
    else
        ok = true;
    close(fd);
    if (ok) return data;
    free(data);
    return NULL;
}

struct yaml_doc *yaml_load_file(const char *path, size_t max, struct pol_error *err) {
    if (max == 0 || max > MAX_BYTES) max = MAX_BYTES;
    size_t len;
    char *data = pol_read_file(path, max, &len, err);
    if (data == NULL) return NULL;
    struct yaml_doc *doc = yaml_load_text(path, data, len, err);
    free(data);
    return doc;
}

void yaml_doc_free(struct yaml_doc *doc) {
    if (doc == NULL) return;
    pol_arena_free(doc->arena);
    free(doc);
}

/* --- reading --- */

const struct yaml_node *yaml_root(const struct yaml_doc *doc) { return doc->root; }
enum yaml_kind yaml_kind(const struct yaml_node *n) { return n->kind; }
unsigned yaml_line(const struct yaml_node *n) { return n->line; }
unsigned yaml_column(const struct yaml_node *n) { return n->column; }

const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key) {
    if (map == NULL || map->kind != YAML_MAP) return NULL;
    for (size_t i = 0; i < map->n; i++)
        if (strcmp(map->keys[i]->text, key) == 0) return map->items[i];
    return NULL;
}

size_t yaml_len(const struct yaml_node *n) { return n->n; }
const struct yaml_node *yaml_at(const struct yaml_node *n, size_t i) { return i < n->n ? n->items[i] : NULL; }
const char *yaml_key_at(const struct yaml_node *map, size_t i) { return map->kind == YAML_MAP && i < map->n ? map->keys[i]->text : NULL; }
const struct yaml_node *yaml_key_node_at(const struct yaml_node *map, size_t i) {
    return map->kind == YAML_MAP && i < map->n ? map->keys[i] : NULL;
}

static const char *list_words(const char *const *words, char *out, size_t size) {
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; words[i] != NULL && used < size; i++) {
        int w = snprintf(out + used, size - used, "%s%s", i > 0 ? ", " : "", words[i]);
        if (w < 0) break;
        used += (size_t)w;
    }
    return out;
}

bool yaml_keys(const struct yaml_node *n, const char *const *keys, struct pol_error *err) {
    char all[300];
    if (n == NULL || n->kind != YAML_MAP)
        return yaml_fail(n, err, "expected a map (key: value) with the keys %s", list_words(keys, all, sizeof all));
    for (size_t i = 0; i < n->n; i++) {
        const char *key = n->keys[i]->text;
        bool known = false;
        for (size_t j = 0; keys[j] != NULL && !known; j++) known = strcmp(keys[j], key) == 0;
        if (known) continue;
        const char *near = pol_nearest(key, keys);
        if (near != NULL) return yaml_fail(n->keys[i], err, "unknown key \"%.64s\"; did you mean \"%s\"?", key, near);
        return yaml_fail(n->keys[i], err, "unknown key \"%.64s\"; known here: %s", key, list_words(keys, all, sizeof all));
    }
    return true;
}

static const char *kind_name(const struct yaml_node *n) {
    static const char *const names[] = {"nothing", "a single value", "a list", "a map"};
    return n == NULL ? "nothing" : names[n->kind];
}

static bool scalar(const struct yaml_node *n, const char *wanted, struct pol_error *err) {
    if (n != NULL && n->kind == YAML_SCALAR) return true;
    return yaml_fail(n, err, "expected %s, found %s", wanted, kind_name(n));
}

/* Plain scalars that other YAML readers take for something else than a text. */
static bool looks_typed(const char *s) {
    if (strcmp(s, "true") == 0 || strcmp(s, "false") == 0) return true;
    char *end;
    if ((*s < '0' || *s > '9') && *s != '-' && *s != '+' && *s != '.') return false;
    strtod(s, &end);
    return *end == '\0' && end != s;
}

bool yaml_str(const struct yaml_node *n, const char **out, struct pol_error *err) {
    if (!scalar(n, "a text", err)) return false;
    if (n->plain && looks_typed(n->text))
        return yaml_fail(n, err, "expected a text, found %.64s; put it in quotes if it is meant as a text", n->text);
    *out = n->text;
    return true;
}

bool yaml_bool(const struct yaml_node *n, bool *out, struct pol_error *err) {
    if (!scalar(n, "true or false", err)) return false;
    bool yes = strcmp(n->text, "true") == 0;
    if (!n->plain && (yes || strcmp(n->text, "false") == 0)) return yaml_fail(n, err, "write true or false without quotes");
    if (!yes && strcmp(n->text, "false") != 0) return yaml_fail(n, err, "\"%.64s\" is not a truth value; write true or false", n->text);
    *out = yes;
    return true;
}

/* Decimal digits at *s, at least one; false on none or on overflow. */
static bool digits(const char **s, uint64_t *v) {
    const char *p = *s;
    *v = 0;
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(*v, 10u, v) || __builtin_add_overflow(*v, (uint64_t)(*p - '0'), v)) return false;
    if (p == *s || (**s == '0' && p - *s > 1)) return false; /* 010 is octal to some readers */
    *s = p;
    return true;
}

bool yaml_int(const struct yaml_node *n, int64_t min, int64_t max, int64_t *out, struct pol_error *err) {
    if (!scalar(n, "a whole number", err)) return false;
    const char *s = n->text;
    bool negative = *s == '-';
    if (negative) s++;
    uint64_t v;
    if (!n->plain || !digits(&s, &v) || *s != '\0')
        return yaml_fail(n, err, "\"%.64s\" is not a whole number; write decimal digits without quotes", n->text);
    if (v > (uint64_t)INT64_MAX || (negative ? -(int64_t)v : (int64_t)v) < min || (negative ? -(int64_t)v : (int64_t)v) > max)
        return yaml_fail(n, err, "%.64s is out of range; %" PRId64 " to %" PRId64 " is possible", n->text, min, max);
    *out = negative ? -(int64_t)v : (int64_t)v;
    return true;
}

struct unit {
    const char *name;
    uint64_t factor;
};

static bool with_unit(const struct yaml_node *n, const struct unit *units, const char *examples, uint64_t min, uint64_t max, uint64_t *out,
                      struct pol_error *err) {
    if (!scalar(n, examples, err)) return false;
    const char *s = n->text;
    uint64_t v;
    const struct unit *u = units;
    if (!digits(&s, &v)) return yaml_fail(n, err, "\"%.64s\" does not start with a whole number; write it as in %s", n->text, examples);
    while (*s == ' ') s++;
    while (u->name != NULL && strcmp(u->name, s) != 0) u++;
    if (u->name == NULL) return yaml_fail(n, err, "\"%.64s\" has no unit known here; write it as in %s", n->text, examples);
    if (__builtin_mul_overflow(v, u->factor, &v) || v < min || v > max)
        return yaml_fail(n, err, "%.64s is out of range; %" PRIu64 "%s to %" PRIu64 "%s is possible", n->text, min, units[0].name, max,
                         units[0].name);
    *out = v;
    return true;
}

bool yaml_size(const struct yaml_node *n, uint64_t min, uint64_t max, uint64_t *out, struct pol_error *err) {
    static const struct unit units[] = {{"", 1}, {"KiB", 1u << 10}, {"MiB", 1u << 20}, {"GiB", 1u << 30}, {"B", 1}, {NULL, 0}};
    return with_unit(n, units, "8192, 8KiB, 16MiB or 1GiB", min, max, out, err);
}

bool yaml_duration(const struct yaml_node *n, uint64_t min_ms, uint64_t max_ms, uint64_t *out, struct pol_error *err) {
    static const struct unit units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {NULL, 0}};
    if (min_ms == 0 && n != NULL && n->kind == YAML_SCALAR && strcmp(n->text, "0") == 0) { /* the one number that needs no unit */
        *out = 0;
        return true;
    }
    return with_unit(n, units, "500ms, 5s, 10m or 1h", min_ms, max_ms, out, err);
}

bool yaml_enum(const struct yaml_node *n, const char *const *words, int *out, struct pol_error *err) {
    char all[300];
    list_words(words, all, sizeof all);
    if (n == NULL || n->kind != YAML_SCALAR) return yaml_fail(n, err, "expected one of %s, found %s", all, kind_name(n));
    for (int i = 0; words[i] != NULL; i++)
        if (strcmp(words[i], n->text) == 0) {
            *out = i;
            return true;
        }
    const char *near = pol_nearest(n->text, words);
    if (near != NULL) return yaml_fail(n, err, "\"%.64s\" is not known; did you mean \"%s\"? Possible: %s", n->text, near, all);
    return yaml_fail(n, err, "\"%.64s\" is not known; possible: %s", n->text, all);
}

bool yaml_strings(struct yaml_doc *doc, const struct yaml_node *n, const char *const **out, size_t *count, struct pol_error *err) {
    if (n == NULL || n->kind == YAML_MAP || n->kind == YAML_NULL)
        return yaml_fail(n, err, "expected a text or a list of texts, found %s", kind_name(n));
    size_t len = n->kind == YAML_LIST ? n->n : 1;
    const char **all = pol_alloc_array(doc->arena, len + 1, sizeof *all);
    if (all == NULL) return yaml_fail(n, err, "out of memory");
    for (size_t i = 0; i < len; i++)
        if (!yaml_str(n->kind == YAML_LIST ? n->items[i] : n, &all[i], err)) return false;
    *out = all;
    *count = len;
    return true;
}
