/* What secret_sql.c and secret_my.c share. */
#ifndef GH_SPOA_SECRET_INT_H
#define GH_SPOA_SECRET_INT_H

#include "filters/bytes.h"
#include "policy/facts.h"

#include <stdbool.h>
#include <stddef.h>

#define SECRET_STARS "***"

/* A text with pieces replaced, from its beginning to its end. */
struct hidden {
    const char *text;
    struct buf out;
    size_t from; /* up to here it is in out */
    bool any;
};
/* Its bytes from at to end, behind all that was replaced before. */
void hidden_replace(struct hidden *h, size_t at, size_t end, const char *with);
/* What comes of a text of len bytes, for the caller to free(). NULL: nothing was replaced, or, with *failed, there is no memory. */
char *hidden_done(struct hidden *h, size_t len, size_t *outlen, bool *failed);
/* Between tokens, from at to end: what comments say behind the word for a secret. */
void hidden_comments(struct hidden *h, size_t at, size_t end);

/* Whether one of these, in lower case and ended by NULL, is in the text in whatever case. */
bool secret_says(const char *text, size_t len, const char *const *words);
/* Whether a text, or a name, says password or the like; secret_named(): or what else settings and options with secrets are called. */
bool secret_said(const char *text, size_t len);
bool secret_named(const char *text, size_t len);
/* A text of which nobody knows how it is read: all behind the first word for a secret is hidden. */
char *secret_coarse(const char *text, size_t len, size_t *outlen, bool *failed);

/* secret_my.c: these two of secret_sql.h, for MySQL and MariaDB */
bool secret_my_may(const struct pol_facts *f);
char *secret_my_hide(const char *text, size_t len, const struct pol_facts *f, size_t *outlen, bool *failed);

#endif
