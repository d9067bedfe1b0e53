/* How a PostgreSQL client asks its server for TLS: SSLRequest, answered by one byte.
 * Source: PostgreSQL documentation, "Message Flow, SSL Session Encryption". */
#ifndef GH_FILTERS_PG_STARTTLS_H
#define GH_FILTERS_PG_STARTTLS_H

#include "filters/bytes.h"

void pg_put_ssl_request(struct buf *b);
/* What came in answer, len > 0. OK: the server begins the handshake when we do. Everything else means that there is no TLS to be had, and none of it is
 * worth showing, because anybody on the way could have written it. Bytes behind an 'S' are MALFORMED: whoever put them there, in plain text, would
 * have them read as if the server had said them inside TLS (CVE-2021-23222). */
enum gh_rc pg_ssl_answer(const uint8_t *data, size_t len, struct gh_err *err);

#endif
