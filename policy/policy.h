/* The policy: a YAML file compiled to one immutable object, and the verdict on a statement's facts.
 *
 * An explicit deny wins; otherwise every access that the facts list must be granted by some rule; otherwise denied. */
#ifndef GH_POLICY_POLICY_H
#define GH_POLICY_POLICY_H

#include "policy/facts.h"
#include "policy/yaml.h"

struct pol_policy; /* immutable after loading; reference-counted (atomic): may be shared by threads */
struct pol_role;   /* what applies to one identity on one database; holds a reference to its policy; used by one thread at a time */

struct pol_policy *pol_policy_load(const char *path, struct pol_error *err);
struct pol_policy *pol_policy_load_text(const char *name, const char *text, size_t len, struct pol_error *err);
struct pol_policy *pol_policy_ref(struct pol_policy *p);
void pol_policy_unref(struct pol_policy *p);
/* Hex SHA-256 of the file: recorded with every statement. */
const char *pol_policy_hash(const struct pol_policy *p);
bool pol_policy_has_database(const struct pol_policy *p, const char *database);

struct pol_subject {
    const char *principal;
    const char *const *groups;
    size_t ngroups;
};
/* Names that unqualified relations may resolve to: the search_path that the session has pinned. */
struct pol_pins {
    const char *const *search_path; /* schemas, without pg_catalog and pg_temp, which the server adds */
    size_t nsearch_path;
    /* Values that SET may repeat; anything else for these settings is refused. */
    const char *time_zone;       /* NULL: not pinned */
    const char *date_style;      /* NULL: not pinned */
    const char *const *settings; /* name, value, name, value, ..., NULL; NULL: none. Other settings of the configuration */
};
/* NULL when out of memory. Strings are copied. */
struct pol_role *pol_role_new(struct pol_policy *p, const struct pol_subject *who, const char *database, const struct pol_pins *pins);
void pol_role_free(struct pol_role *r);
/* mode: observe for this database: verdicts are recorded, statements forwarded. */
bool pol_role_observes(const struct pol_role *r);
/* False when no rule at all names this identity here: the login itself may be refused. */
bool pol_role_any(const struct pol_role *r);

enum pol_effect { POL_ALLOW, POL_DENY };
struct pol_verdict {
    enum pol_effect effect;
    const char *rule;  /* the rule that decided; "" when none did (no rule grants it). Borrowed from the role's policy */
    size_t stmt;       /* index of the statement that was refused */
    char sqlstate[6];  /* 42501; 25006, 0A000, ... where they fit better */
    char message[512]; /* one sentence: what was refused and why */
    char detail[768];  /* which rule or pin, what tripped it */
    char hint[768];    /* what would be allowed, or what to do */
};
/* Pure: no I/O, no allocation that outlives the call. Judges all statements of the text; the first refused one decides. */
void pol_judge(const struct pol_role *r, const struct pol_facts *f, struct pol_verdict *out);
/* A startup parameter (or an item of "options"): judged as SET name = value would be. */
bool pol_judge_setting(const struct pol_role *r, const char *name, const char *value, struct pol_verdict *out);
/* Fills a verdict for a text that has no facts. */
void pol_refuse_parse(const struct pol_parse_error *e, struct pol_verdict *out);

#endif
