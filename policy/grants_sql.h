/* The rights that a gate's own role needs in the database, as SQL: what the policy's rules can reach, and nothing else. */
#ifndef GH_POLICY_GRANTS_SQL_H
#define GH_POLICY_GRANTS_SQL_H

#include "filters/bytes.h"
#include "policy/policy.h"

struct pol_grants_sql {
    const struct pol_policy *policy;
    struct pol_catalog *catalog;
    const char *database;
    const char *role;          /* the role that gatehouse.yaml names */
    const char *const *groups; /* only of identities in these groups; ngroups 0: of everybody whom a rule names */
    size_t ngroups;
};
/* Appends statements for psql or any client, to be run by a superuser: the role, GRANTs for it, and what keyed hashes need. What no GRANT can give (ownership, for
 * ALTER and the like) stands in comments. False when memory is out. */
bool pol_grants_sql(const struct pol_grants_sql *g, struct buf *out);

#endif
