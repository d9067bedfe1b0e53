/* A statement's text without its values. */
#ifndef GH_POLICY_SHAPE_H
#define GH_POLICY_SHAPE_H

/* The text with each constant replaced by $1, $2, ...; all else stays byte for byte. The caller frees; NULL when it cannot be parsed. The stack must be
 * as for pol_facts_pg(), which must have taken the text. */
char *pol_shape_pg(const char *sql);

#endif
