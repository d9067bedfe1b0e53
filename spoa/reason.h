/* Why a client wants to run a statement: a comment at its very beginning, or SET gatehouse.reason = 'TEXT' before it, in the form of renewal.h. */
#ifndef GH_SPOA_REASON_H
#define GH_SPOA_REASON_H

#include <stdbool.h>
#include <stddef.h>

/* A comment of C, behind blanks at most, with the word reason and a colon first, the word in any case; the text ends at the first end of a comment and holds no beginning of another one.
 * False when the text does not begin so, or the reason is blank or longer than max. *reason is inside of text, without blanks around it. */
bool reason_of(const char *text, size_t len, size_t max, const char **reason, size_t *reason_len);
/* SET gatehouse.reason: the text, of at most max bytes, without quotes, backslashes and control characters; it may be empty. False: another
 * statement. */
bool reason_set(const char *text, size_t len, size_t max, const char **reason, size_t *reason_len);

/* The same of SET gatehouse.breakglass. */
bool reason_glass(const char *text, size_t len, size_t max, const char **reason, size_t *reason_len);

#endif
