/* What a statement does with columns, for "policy explain": needs a catalog from a file. */
#ifndef GH_CTL_COLUMNS_H
#define GH_CTL_COLUMNS_H

#include "policy/columns.h"

#include <jansson.h>

/* The policy in the file; NULL after a message on standard error. */
struct pol_policy *ctl_policy_file(const char *path);
/* The catalog that "gatehousectl catalog" has printed into the file; NULL after a message on standard error. */
struct pol_catalog *ctl_catalog_file(const char *path);
/* An array of relations with the columns that are touched; how each column is seen by the role, too. The caller owns it. */
json_t *ctl_columns_json(const struct pol_columns *c, const struct pol_role *role);
/* Warns of each view that the statement names and that reads, itself or through others, a relation of which the policy hides something from the role, or
 * all: what is hidden does not reach through a view. */
void ctl_views_print(const struct pol_columns *c, const struct pol_role *role);
json_t *ctl_views_json(const struct pol_columns *c, const struct pol_role *role);
void ctl_columns_print(const struct pol_columns *c, const struct pol_role *role);

#endif
