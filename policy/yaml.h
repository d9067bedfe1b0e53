/* YAML as a strict tree with positions: what the configuration and the policy are read with.
 *
 * One document; no aliases, anchors, tags, duplicate keys, empty files. Every node knows its line and column, and every mistake is
 * reported as file, line, column, key and a sentence. libyaml does the scanning (YAML 1.1). */
#ifndef GH_POLICY_YAML_H
#define GH_POLICY_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pol_error {
    char file[256];
    unsigned line, column; /* from 1; 0: the file as a whole */
    char key[128];         /* dotted path of the key, "" when none */
    char text[512];        /* what is wrong and what to do */
};
/* "FILE:LINE:COLUMN: KEY: TEXT" into out (always NUL-terminated). */
void pol_error_format(const struct pol_error *e, char *out, size_t size);

struct yaml_doc;  /* owns every node and string */
struct yaml_node; /* borrowed from its doc */

/* Files over max bytes (0: 4 MiB) or deeper than 32 levels are refused. NULL and *err on a mistake. */
struct yaml_doc *yaml_load_file(const char *path, size_t max, struct pol_error *err);
struct yaml_doc *yaml_load_text(const char *name, const char *text, size_t len, struct pol_error *err);
/* Not "yaml_free": libyaml exports a symbol of that name and calls it itself. */
void yaml_doc_free(struct yaml_doc *doc);
const struct yaml_node *yaml_root(const struct yaml_doc *doc);

enum yaml_kind { YAML_NULL, YAML_SCALAR, YAML_LIST, YAML_MAP };
enum yaml_kind yaml_kind(const struct yaml_node *n);
unsigned yaml_line(const struct yaml_node *n);
unsigned yaml_column(const struct yaml_node *n);
/* Fills *err at n's position and returns false, for the caller's own checks. */
bool yaml_fail(const struct yaml_node *n, struct pol_error *err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* A map's value; NULL when absent. Marks the key as known. */
const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);
/* False and *err (with the nearest known key as a suggestion) when n is no map or holds a key outside keys, a NULL-terminated list. */
bool yaml_keys(const struct yaml_node *n, const char *const *keys, struct pol_error *err);
size_t yaml_len(const struct yaml_node *n);                           /* of a list or map */
const struct yaml_node *yaml_at(const struct yaml_node *n, size_t i); /* list item, or map value */
const char *yaml_key_at(const struct yaml_node *map, size_t i);
/* The position of the i-th key itself, for errors about keys. */
const struct yaml_node *yaml_key_node_at(const struct yaml_node *map, size_t i);

/* Typed values; false and *err on a wrong type or range. Strings are borrowed from the doc. */
bool yaml_str(const struct yaml_node *n, const char **out, struct pol_error *err);
bool yaml_bool(const struct yaml_node *n, bool *out, struct pol_error *err); /* true and false only, unquoted */
bool yaml_int(const struct yaml_node *n, int64_t min, int64_t max, int64_t *out, struct pol_error *err);
bool yaml_size(const struct yaml_node *n, uint64_t min, uint64_t max, uint64_t *out,
               struct pol_error *err); /* 8192, 8KiB, 16MiB, 1GiB -> bytes */
bool yaml_duration(const struct yaml_node *n, uint64_t min_ms, uint64_t max_ms, uint64_t *out,
                   struct pol_error *err); /* 500ms, 5s, 10m, 1h, and 0 where min_ms is 0 -> ms */
bool yaml_enum(const struct yaml_node *n, const char *const *words, int *out, struct pol_error *err); /* NULL-terminated words -> index */
/* A string, or a list of strings: *out is a NULL-terminated array owned by the doc, *n its length. */
bool yaml_strings(struct yaml_doc *doc, const struct yaml_node *n, const char *const **out, size_t *count, struct pol_error *err);

#endif
