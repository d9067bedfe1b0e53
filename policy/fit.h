/* Whether a policy fits a database: what rules say of columns and rows, tried on each relation that they are about, by what makes it for a session. */
#ifndef GH_POLICY_FIT_H
#define GH_POLICY_FIT_H

#include "policy/catalog.h"
#include "policy/policy.h"

struct pol_misfit {
    const char *rule;
    unsigned line;                           /* of it, in the policy's file */
    const struct pol_cat_relation *relation; /* that nobody can use whom the rule is about */
    size_t more;                             /* other relations of which the same is true */
    const char *problem;                     /* a sentence without a full stop */
    const char *meant;                       /* the column that the rule may have meant; NULL: none is near */
};
enum pol_fit {
    POL_FIT_WHOLE,
    POL_FIT_CUT, /* the steps were not enough for all rules and relations */
    POL_FIT_NO_MEMORY
};
/* Calls tell() for each, in the order of the rules. Rules are tried each by itself; those of one group or principal together where one shows a keyed hash
 * that another lets be written. assume_hash: the function behind keyed hashes need not be there yet. steps bounds the work, some ns each; 0: no bound.
 * Nothing of it needs a deep stack. */
enum pol_fit pol_policy_fit(struct pol_policy *p, const char *database, struct pol_catalog *cat, bool assume_hash, uint64_t steps,
                            void (*tell)(void *arg, const struct pol_misfit *m), void *arg);
/* One sentence: the rule "r" makes public.customers and 2 more relations unusable for whom it is about: PROBLEM; did you mean "name"? */
void pol_misfit_words(const struct pol_misfit *m, char *out, size_t size);
/* Some rule on the database hides columns or rows of something. */
bool pol_policy_restricts(const struct pol_policy *p, const char *database);

#endif
