/* How the policy commands read SQL: as PostgreSQL does, or as the MySQL or MariaDB does that their catalog is of. */
#ifndef GH_CTL_DIALECT_H
#define GH_CTL_DIALECT_H

#include "policy/facts_my.h"
#include "policy/rewrite.h"

struct ctl_dialect {
    bool mysql;
    struct my_options my;
    struct pol_pins pins;
    const char *path[1]; /* the default one */
};

/* catalog NULL: PostgreSQL. path, npath: what the caller was given; 0: "public", or the catalog's database. All are borrowed. */
void ctl_dialect(struct ctl_dialect *d, const struct pol_catalog *catalog, const char *const *path, size_t npath);
/* NULL when out of memory. The catalog, if there is one, is in it. */
struct pol_role *ctl_dialect_role(const struct ctl_dialect *d, struct pol_policy *p, const struct pol_subject *who, const char *database,
                                  struct pol_catalog *catalog);
/* Calls fn, and waits for it, on a stack of POL_STACK_BYTES: the parser recurses, and that is what its limits were made for. False: there is no thread. */
bool ctl_on_stack(void *(*fn)(void *), void *arg);
/* These need such a stack. Facts are NULL, and *v a refusal, when there are none. */
struct pol_facts *ctl_dialect_judge(const struct ctl_dialect *d, const char *sql, size_t len, const struct pol_role *role,
                                    struct pol_verdict *v);
/* What runs in the place of a text that v allows; v refuses it when nothing can. */
enum pol_rewrite_rc ctl_dialect_rewrite(const struct ctl_dialect *d, const char *sql, size_t len, const struct pol_role *role,
                                        struct pol_rewritten *out, struct pol_verdict *v);

#endif
