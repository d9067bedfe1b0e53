#include "filters/pg_starttls.h"

#include "filters/pg_wire.h"

void pg_put_ssl_request(struct buf *b) {
    size_t at = pg_begin(b, 0);
    buf_be32(b, PG_CODE_SSL);
    pg_end(b, at);
}

enum gh_rc pg_ssl_answer(const uint8_t *data, size_t len, struct gh_err *err) {
    if (data[0] == 'N') return gh_fail(err, GH_UNSUPPORTED, 0, "the server does not speak TLS");
    if (data[0] == 'E') return gh_fail(err, GH_UNSUPPORTED, 0, "the server answered the request for TLS with an error");
    if (data[0] != 'S') return gh_fail(err, GH_MALFORMED, 0, "what answered the request for TLS is not PostgreSQL");
    if (len > 1) return gh_fail(err, GH_MALFORMED, 1, "plain text behind the server's agreement to TLS: somebody on the way put it there");
    return GH_OK;
}
