/* Inside of the facts extractors: one statement's facts while they are being found, each relation and each function once. */
#ifndef GH_POLICY_COLLECT_H
#define GH_POLICY_COLLECT_H

#include "policy/arena.h"
#include "policy/facts.h"

/* Relations, functions, and settings, of one statement: a table of names that were chosen to collide costs at most the square. */
#define POL_MAX_NAMES 4096

/* name -> index. */
struct pol_collect_set {
    uint32_t *slots; /* index + 1 */
    size_t size, used;
};
struct pol_collect {
    struct pol_arena *arena;
    struct pol_stmt *s; /* being filled */
    struct pol_collect_set relations, functions;
    size_t relations_cap, functions_cap, settings_cap;
    struct pol_parse_error *err;
};

/* Begins with the next statement, which keeps arena and err. */
void pol_collect_begin(struct pol_collect *c, struct pol_stmt *s);
/* Sets the error once; returns false. */
bool pol_collect_fail(struct pol_collect *c, enum pol_parse_rc rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
bool pol_collect_no_memory(struct pol_collect *c);
/* Names are kept, not copied: they live as long as the arena. The first finding's location stays; access adds up, and named_rows holds only when it
 * held each time. All of these return false when the error is set. */
bool pol_collect_relation(struct pol_collect *c, const struct pol_relation *r);
bool pol_collect_function(struct pol_collect *c, const struct pol_function *f);
bool pol_collect_setting(struct pol_collect *c, const struct pol_setting *s);
/* FNV-1a. */
uint32_t pol_hash_name(const char *s);

#endif
