/* What a role may do with what, as rows: the answer to SHOW gatehouse.grants. */
#ifndef GH_POLICY_GRANTS_H
#define GH_POLICY_GRANTS_H

#include "policy/policy.h"

struct pol_grant {
    const char *schema, *relation, *column; /* column "*": all of them, none restricted */
    const char *actions;                    /* "select, update" */
    const char *shown;                      /* "visible", "hidden", "masked: email"; "unusable" when the policy does not fit the relation */
    const char *rows;                       /* "all", or "filtered" */
    const char *write;                      /* "yes", "no", or "" when neither insert nor update is allowed */
    const char *rule;                       /* that hides or masks it; "" */
};
#define POL_GRANTS_MAX 10000u /* rows; of more a last one says in "shown" that there are, and names nothing */

/* Calls row for each, in the catalog's order, until it returns false; what it is given lives as long as the call. PostgreSQL's own relations are left out, and what
 * may not be touched at all. False when memory is out or row said so. Without a catalog there are no rows. The role is used by one thread at a time. */
bool pol_role_grants(const struct pol_role *r, bool (*row)(void *arg, const struct pol_grant *g), void *arg);

#endif
