/* Inside of the compiled policy: shared by policy.c, role.c and verdict.c only. */
#ifndef GH_POLICY_POLICY_INT_H
#define GH_POLICY_POLICY_INT_H

#include "policy/arena.h"
#include "policy/policy.h"

#include <stdatomic.h>

/* Actions that are about no relation: a rule grants them whatever its "on" says. */
#define POL_UNBOUND (POL_EXECUTE | POL_NOTIFY | POL_SET | POL_FILES | POL_TEMP)

struct pol_pattern { /* schema.name; each part exact or with * */
    const char *schema, *name;
    bool exact;
};
struct pol_rule {
    const char *name;
    const char *const *groups, *const *principals, *const *databases; /* NULL-terminated; databases NULL: every one */
    bool deny;
    unsigned actions;
    struct pol_pattern *on, *functions;
    size_t non, nfunctions;
    bool everything; /* "on" holds *.* */
    const char *reason, *hint;
};
struct pol_database {
    const char *name;
    bool observe;
};
struct pol_policy {
    atomic_size_t refs;
    struct pol_arena *arena;
    char hash[65];
    struct pol_database *databases;
    size_t ndatabases;
    struct pol_rule *rules;
    size_t nrules;
};

struct pol_entry { /* one pattern of one rule that applies */
    const struct pol_pattern *pattern;
    const struct pol_rule *rule;
    uint32_t next; /* index + 1 in the same hash slot; 0 ends */
};
struct pol_role {
    struct pol_policy *policy;
    struct pol_arena *arena;
    struct pol_pins pins;
    const char *database;
    bool observes;
    const struct pol_rule **rules; /* that apply, in the file's order */
    size_t nrules;
    struct pol_entry *exact, *globs; /* patterns of "on" */
    size_t nexact, nglobs;
    uint32_t *slots;              /* hash of schema.name -> index + 1 in exact */
    size_t nslots;                /* a power of two */
    unsigned unbound, everywhere; /* actions granted without a relation: the unbound ones; those of rules on *.* */
    const struct pol_rule *super; /* allow: all on *.* */
    const struct pol_rule *deny;  /* the first rule that denies; NULL: none */
};

bool pol_glob(const char *pattern, const char *text);
uint32_t pol_name_hash(const char *schema, const char *name);

#endif
