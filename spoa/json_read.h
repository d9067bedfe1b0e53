/* Reading JSON with jansson, so that nothing is read wrong when memory is out.
 *
 * jansson 2.14 ignores it when the buffer of a string or a number cannot grow: the byte at hand is left out, and what is read is another text than what was
 * sent ("lex_save" in its load.c). A statement, a name in a token, a mark in a log would be judged as something else. It also passes over a NUL byte behind a
 * number, which is in no JSON text (RFC 8259, section 2). So whoever reads comes by here. */
#ifndef GH_SPOA_JSON_READ_H
#define GH_SPOA_JSON_READ_H

#include <jansson.h>

/* As json_loadb(); NULL, with the text "out of memory", when any of its allocations failed (starved() says so too), and when there is a NUL byte. e may be NULL. */
json_t *json_read(const char *text, size_t len, size_t flags, json_error_t *e);

#endif
