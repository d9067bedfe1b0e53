/* PostgreSQL protocol 3.0: message types, and the messages that Gatehouse itself writes.
 * Source: PostgreSQL documentation, "Frontend/Backend Protocol", sections "Message Formats" and "Error and Notice Message Fields". */
#ifndef GH_FILTERS_PG_WIRE_H
#define GH_FILTERS_PG_WIRE_H

#include "filters/bytes.h"

#define PG_PROTOCOL_3      0x00030000u
#define PG_CODE_CANCEL     80877102u
#define PG_CODE_SSL        80877103u
#define PG_CODE_GSSENC     80877104u
#define PG_MAX_MESSAGE     0x3fffffffu /* the server's own ceiling (MaxAllocSize) */
#define PG_NAME_MAX        63          /* NAMEDATALEN - 1: the server compares no more of a statement's or portal's name */
#define PG_AUTH_OK         0
#define PG_AUTH_CLEARTEXT  3
#define PG_AUTH_MD5        5
#define PG_AUTH_SASL       10
#define PG_AUTH_SASL_CONT  11
#define PG_AUTH_SASL_FINAL 12

/* Starts a message of the type (0: none, as in a startup packet); pg_end() fills its length. */
size_t pg_begin(struct buf *b, char type);
void pg_end(struct buf *b, size_t start);

struct pg_error_text {    /* any of them may be NULL but sqlstate and message */
    const char *severity; /* "ERROR" (NULL too) or "FATAL" */
    const char *sqlstate, *message, *detail, *hint;
    uint32_t position; /* in the statement, in characters from 1; 0: none */
};
void pg_put_error(struct buf *b, const struct pg_error_text *e);
void pg_put_auth(struct buf *b, uint32_t code);
void pg_put_parameter(struct buf *b, const char *name, const char *value);
void pg_put_ready(struct buf *b, char status);
void pg_put_simple(struct buf *b, char type); /* a message without a body */
/* Describe or Close of a portal or statement: type 'D' or 'C', what 'S' or 'P'. */
void pg_put_named(struct buf *b, char type, char what, const char *name);

/* Fields of an ErrorResponse body. Missing ones stay "". */
struct pg_error_fields {
    char severity[16], sqlstate[6], message[256];
};
GH_CHECKED bool pg_read_error(struct cur body, struct pg_error_fields *e);
/* The row count at the end of a CommandComplete tag ("INSERT 0 5", "UPDATE 5"); 0 when there is none. */
uint64_t pg_tag_rows(const char *tag, size_t len);

#endif
