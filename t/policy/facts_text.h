/* Facts as one line of text, for tables of expectations:
 *   KIND [+ACTION...] [schema.]relation=access,access... fn:[schema.]name set:name=value show:name forget:name portal:name uses:name opaque where writes in out
 * statements are parted by " ; "; a refusal is "!RC text". */
#ifndef GH_T_POLICY_FACTS_TEXT_H
#define GH_T_POLICY_FACTS_TEXT_H

#include "policy/facts_my.h"

#include <stddef.h>

void facts_text(const char *sql, size_t len, char *out, size_t size);
void facts_text_my(const char *sql, size_t len, const struct my_options *o, char *out, size_t size);

#endif
