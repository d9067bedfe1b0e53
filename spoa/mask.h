/* Keeps tokens out of what is recorded and logged. */
#ifndef GH_SPOA_MASK_H
#define GH_SPOA_MASK_H

#include <stdbool.h>
#include <stddef.h>

/* Replaces everything in text that is shaped like a signed token by "***", in place, and gives the new length; no NUL is written. A token: a
 * base64url segment that decodes to a JSON object with a member "alg", and behind dots two more, the last of 40 characters or more (RFC 7515,
 * section 3.1; no signature that is good for anything is shorter). Identifiers of a statement, at most 63 bytes each, hardly have that
 * shape, so that nobody hides a statement this way.
 * cut: the text may end in the middle of a token: a beginning at its end counts too. */
size_t mask_tokens(char *text, size_t len, bool cut);
/* Texts of at most so many bytes hold none. */
#define MASK_NONE 10
/* Whether there is something to replace. */
bool mask_needed(const char *text, size_t len, bool cut);
/* mask_tokens() of a NUL-terminated text, which ends earlier then. */
void mask_string(char *text, bool cut);

#endif
