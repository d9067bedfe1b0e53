/* Texts with the same blanked text (policy/shape.h), and whether they have the same facts. */
#ifndef GH_T_POLICY_ALIKE_H
#define GH_T_POLICY_ALIKE_H

#include "policy/facts.h"

/* Another text with the same blanked text: values that differ from what they are blanked with become others, by seed; names that mean something are among them. out has len
 * bytes of room and one more. False: it has no values. */
bool alike_text(const char *sql, size_t len, unsigned seed, char *out);
/* All that they say, and where. */
bool facts_same(const struct pol_facts *a, const struct pol_facts *b);

#endif
