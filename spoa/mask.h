/* Keeps tokens out of what is recorded and logged. */
#ifndef GH_SPOA_MASK_H
#define GH_SPOA_MASK_H

#include <stdbool.h>
#include <stddef.h>

/* Replaces everything in text that is shaped like a token by "***", in place, and gives the new length; no NUL is written. A token: a base64url segment that
 * decodes to a JSON object with a member "alg", and behind dots
 * - two more (RFC 7515, section 3.1), of which the first begins and ends as a JSON object does (or is a token again, or what the header calls compressed), and
 *   the last has 40 characters or more, since no signature that is good for anything is shorter; or
 * - four more, of any bytes, when the header has a member "enc" (RFC 7516, section 3.1).
 * Whoever wants to can still put other bytes there: what was masked is shown to nobody, so nobody is asked to agree to it (asking_hides()), and the record
 * says how much it was.
 * cut: the text may end in the middle of a token: a beginning at its end counts too. */
size_t mask_tokens(char *text, size_t len, bool cut);
/* Texts of at most so many bytes hold none. */
#define MASK_NONE 10
/* Whether there is something to replace. */
bool mask_needed(const char *text, size_t len, bool cut);
/* mask_tokens() of a NUL-terminated text, which ends earlier then. */
void mask_string(char *text, bool cut);

#endif
