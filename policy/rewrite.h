/* Masks and row filters go under the statement: every place where it reads a relation of which the role sees less than all becomes a subselect of what
 * the role sees, in the relation's full row shape. What cannot be rewritten soundly is refused. doc/design.md, section 5, has the rules and why. */
#ifndef GH_POLICY_REWRITE_H
#define GH_POLICY_REWRITE_H

#include "filters/bytes.h"
#include "policy/facts_my.h"
#include "policy/parsed.h"
#include "policy/policy.h"

enum pol_rewrite_rc {
    POL_REWRITE_SAME,    /* nothing in it is restricted: the text may run as it is */
    POL_REWRITE_DONE,    /* out->sql is to run, and the text must not */
    POL_REWRITE_REFUSED, /* *why says so */
    POL_REWRITE_LONG,    /* pol_parse_limits.brief: not known yet; *why is as it was */
};
struct pol_rewritten {
    char *sql; /* NUL-terminated, UTF-8; pol_rewritten_free() */
    size_t len;
    struct gh_piece *pieces; /* of the client's text in it, in order, for positions in the server's errors; NULL: too many */
    size_t npieces;
    /* What must be done to the answer: */
    bool sanitise; /* error texts could quote what is hidden */
    bool explain;  /* EXPLAIN of it shows masks and filters, and the planner's figures are of all rows */
};
/* A text that pol_judge() of this role allowed with "rewrite". sql is NUL-terminated at sql[len]. The role has a catalog and its caller promised to
 * rewrite. *out is empty but for POL_REWRITE_DONE; *why is filled for POL_REWRITE_REFUSED alone, as by pol_judge(). Needs POL_STACK_BYTES of stack like
 * pol_facts_pg(). The role is used by one thread at a time. */
enum pol_rewrite_rc pol_rewrite_pg(const char *sql, size_t len, const struct pol_role *r, struct pol_rewritten *out,
                                   struct pol_verdict *why);
/* The same of a text that is parsed, which it was for its facts. POL_REWRITE_LONG only where p->brief. */
enum pol_rewrite_rc pol_rewrite_parsed(const struct pol_parsed *p, const struct pol_role *r, struct pol_rewritten *out,
                                       struct pol_verdict *why);
/* The same for MySQL and MariaDB: o is what pol_facts_my() was given. Output columns keep their labels. There are no pieces. MY_STACK_BYTES of stack are enough. */
enum pol_rewrite_rc pol_rewrite_my(const char *sql, size_t len, const struct my_options *o, const struct pol_role *r,
                                   struct pol_rewritten *out, struct pol_verdict *why);
void pol_rewritten_free(struct pol_rewritten *w);

#endif
