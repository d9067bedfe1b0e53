/* TLS as a client, without blocking: to a database's server. Verified always; TLS 1.2 at least.
 *
 * No sessions are resumed: PostgreSQL hands out neither tickets nor session ids. */
#ifndef GH_SPOA_TLS_H
#define GH_SPOA_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a server must show. Strings are copied. */
struct tls_conf {
    const char *server_name;      /* a name or an address that its certificate must be for; NULL: any name will do (verify-ca) */
    const char *sni;              /* NULL: none is sent */
    const char *ca_file;          /* PEM: authorities, or the server's own certificate; NULL: the system's */
    const char *certificate_file; /* ours, with its chain; NULL: none */
    const char *key_file;         /* its key: for nobody but its owner to read */
    bool need_alpn;               /* the server must choose ALPN "postgresql" (direct negotiation) */
};

struct tls_ctx;  /* immutable, shared by threads, counted */
struct tls_conn; /* one connection's; the socket is not its own */

/* Reads the files. NULL and a sentence in why. */
struct tls_ctx *tls_ctx_new(const struct tls_conf *conf, char *why, size_t size);
struct tls_ctx *tls_ctx_ref(struct tls_ctx *c); /* NULL is fine */
void tls_ctx_unref(struct tls_ctx *c);          /* NULL is fine */

enum tls_rc {
    TLS_OK,
    TLS_WANT_READ,  /* again when the socket can be read */
    TLS_WANT_WRITE, /* again when it can be written */
    TLS_EOF,        /* the peer sends no more */
    TLS_FAILED,     /* tls_error() says why; nothing more can be done with it */
};

/* fd: connected, non-blocking. NULL when out of memory. */
struct tls_conn *tls_conn_new(struct tls_ctx *ctx, int fd);
/* Says goodbye when that can be done without waiting, and frees; NULL is fine. fd stays open. */
void tls_conn_free(struct tls_conn *c);
enum tls_rc tls_handshake(struct tls_conn *c);
/* OK: *n bytes, at least one. */
enum tls_rc tls_read(struct tls_conn *c, void *data, size_t size, size_t *n);
/* OK: *n of the bytes are taken, at least one. After a WANT_ the next call must begin with the same bytes. */
enum tls_rc tls_write(struct tls_conn *c, const void *data, size_t len, size_t *n);
const char *tls_error(const struct tls_conn *c);

#define TLS_END_POINT_MAX 64
/* tls-server-end-point of the peer's certificate (RFC 5929, section 4.1): its length, or 0 where that is undefined (EdDSA). */
size_t tls_end_point(const struct tls_conn *c, uint8_t out[TLS_END_POINT_MAX]);

#endif
