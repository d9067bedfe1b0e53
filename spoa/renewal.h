/* SET gatehouse.token = 'TOKEN': how a client gives its session a fresh token. Told by the text alone, in one strict form:
 *
 *   [blanks] SET [SESSION] gatehouse.token {= | TO} 'TOKEN' [blanks] [;] [blanks]
 *
 * with blanks where PostgreSQL has white space, words in any case, and a token of A-Z, a-z, 0-9, '-', '_' and '.' only, so that there is one
 * way to read it. Every other text that names gatehouse.token is refused. */
#ifndef GH_SPOA_RENEWAL_H
#define GH_SPOA_RENEWAL_H

#include <stdbool.h>
#include <stddef.h>

/* Records and prepared statements show this in place of what was sent... */
#define RENEWAL_SHOWN "SET gatehouse.token = '***'"
/* ...and the server gets this: it changes nothing (the setting is pinned), is answered like any SET, and the transaction's state stays the
 * server's own to tell. */
#define RENEWAL_INSTEAD "SET standard_conforming_strings = on"

enum renewal {
    RENEWAL_NONE,  /* another statement */
    RENEWAL_SET,   /* in that form: the token is in the text */
    RENEWAL_OTHER, /* names gatehouse.token in another way */
};
enum renewal renewal_scan(const char *text, size_t len, const char **token, size_t *token_len);
/* That form for gatehouse.NAME, with a value of characters that takes() takes: no quote, no backslash. */
bool renewal_form(const char *text, size_t len, const char *name, bool (*takes)(char c), const char **value, size_t *value_len);
/* The name as the facts have it. */
bool renewal_is_name(const char *setting);

#endif
