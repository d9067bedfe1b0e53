/* A text that was looked at, and parsed once for all who read its tree: facts, columns, the rewriter. */
#ifndef GH_POLICY_PARSED_H
#define GH_POLICY_PARSED_H

#include "policy/facts.h"
#include "policy/json_tape.h"

struct pol_parsed {
    const char *sql; /* borrowed: outlives this */
    size_t len;
    struct jt tree; /* libpg_query's */
    char *json;     /* what the tree points into; pol_parse_clear() */
    bool brief;     /* limits.brief: of whoever reads the tree, too */
};
/* sql is NUL-terminated at sql[len]. limits as for pol_facts_pg(); NULL: the defaults. False and *err when it has no tree; *out is empty then. Thread-safe.
 * Needs POL_STACK_BYTES of stack, as do all who read the tree. */
bool pol_parse_pg(struct pol_parsed *out, const char *sql, size_t len, const struct pol_parse_limits *limits, struct pol_parse_error *err);
void pol_parse_clear(struct pol_parsed *p); /* an empty one is fine */
/* As pol_facts_pg(), of a text that is parsed. */
struct pol_facts *pol_facts_parsed(const struct pol_parsed *p, struct pol_parse_error *err);

#endif
