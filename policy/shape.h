/* A statement's text without its values. */
#ifndef GH_POLICY_SHAPE_H
#define GH_POLICY_SHAPE_H

#include "policy/facts.h"

/* The text with each constant replaced by $1, $2, ...; all else stays byte for byte. The caller frees; NULL when it cannot be parsed. The stack must be
 * as for pol_facts_pg(), which must have taken the text. */
char *pol_shape_pg(const char *sql);

/* The text with plain integers and strings blanked, '0' for each digit and 'x' for each character, all else byte for byte, into out, which has len bytes of room. Texts
 * with the same blanked text have the same tree but for the values of such constants, at the same places. How many there are; 0: none, or the text has
 * something that this does not read, and out holds nothing of use. Thread-safe; looks at each byte once. */
size_t pol_blank_pg(const char *sql, size_t len, char *out);
/* Whether all texts with the same blanked text have these facts: they do not depend on the value of any constant. */
bool pol_facts_alike(const struct pol_facts *f);

#endif
