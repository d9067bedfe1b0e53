/* How names and values stand in the three places that get them: netstrings in what is hashed, JSON in the journal, RESP in Redis. Each writes at a place that has
 * room and gives what is behind it. */
#ifndef GH_SPOA_LEDGER_FORMS_H
#define GH_SPOA_LEDGER_FORMS_H

#include "filters/bytes.h"

#include <string.h>

/* The most that is written around a text of len bytes, in the first and the last form. */
#define FORM_ROOM (GH_U64_TEXT + 5)
/* In JSON a byte takes at most so many. */
#define FORM_JSON_WORST 6
/* And these bytes so many together. */
size_t form_json_len(const char *s, size_t len);

/* Puts a string literal. */
#define PUT(at, literal) ((at) = (char *)memcpy(at, literal, sizeof(literal) - 1) + sizeof(literal) - 1)

/* "LENGTH:BYTES," */
static inline char *form_netstring(char *at, const char *s, size_t len) {
    at = gh_put_len(at, len);
    *at++ = ':';
    at = gh_put(at, s, len);
    *at++ = ',';
    return at;
}

/* A bulk string. */
static inline char *form_resp(char *at, const char *s, size_t len) {
    *at++ = '$';
    at = gh_put_len(at, len);
    memcpy(at, "\r\n", 2);
    at = gh_put(at + 2, s, len);
    memcpy(at, "\r\n", 2);
    return at + 2;
}

/* The inside of a string in JSON; plain: it is known to need no escapes. */
char *form_json(char *at, const char *s, size_t len, bool plain);
/* Whether it is ASCII in which no byte needs an escape, as most texts are. */
bool form_plain(const void *text, size_t len);

#endif
