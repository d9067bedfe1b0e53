/* What a reader of a policy should be told although it is no mistake. */
#ifndef GH_POLICY_LINT_H
#define GH_POLICY_LINT_H

#include "policy/catalog.h"
#include "policy/policy.h"

/* Calls tell() for each: rules that grant nothing because another rule denies all of it, or that say nothing new; rules that unpin; rules that ask of everybody, who can log in by them. With a database's
 * catalog also: patterns and tags that match nothing there, tags that no rule names, columns that look sensitive and that a rule shows without naming them, and views that
 * read what another rule hides from the same identities. text is one sentence, without a full stop, only valid during the call. */
void pol_policy_lint(const struct pol_policy *p, const struct pol_catalog *cat, const char *database,
                     void (*tell)(void *arg, const char *text), void *arg);

#endif
