#include "spoa/tls.h"

#include "spoa/secret.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct tls_ctx {
    atomic_uint refs;
    SSL_CTX *ssl;
    char *server_name, *sni;
    bool is_address, need_alpn;
};

struct tls_conn {
    SSL *ssl;
    bool need_alpn, shaken, broken;
    char error[256];
};

/* What OpenSSL says of its last failure, in words. */
static const char *last_error(void) {
    unsigned long e = ERR_peek_last_error();
    const char *text = ERR_GET_LIB(e) == ERR_LIB_SYS ? strerror((int)ERR_GET_REASON(e)) : ERR_reason_error_string(e);
    return text != NULL ? text : "unknown error";
}

/* --- the context --- */

static int no_passphrase(char *buf, int size, int rwflag, void *arg) {
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)arg;
    return -1;
}

static bool use_key(SSL_CTX *ctx, const char *path, char *why, size_t size) {
    int fd = secret_open(path, why, size);
    if (fd < 0) return false;
    FILE *f = fdopen(fd, "r");
    if (f == NULL) close(fd);
    EVP_PKEY *key = f == NULL ? NULL : PEM_read_PrivateKey(f, NULL, no_passphrase, NULL);
    if (f != NULL) fclose(f);
    if (key == NULL)
        snprintf(why, size, "%s: not a private key in PEM without a passphrase (%s)", path, last_error());
    else if (SSL_CTX_use_PrivateKey(ctx, key) != 1)
        snprintf(why, size, "%s is not the key of the certificate: %s", path, last_error());
    else {
        EVP_PKEY_free(key);
        return true;
    }
    EVP_PKEY_free(key);
    return false;
}

static bool use_certificate(SSL_CTX *ctx, const struct tls_conf *c, char *why, size_t size) {
    if (c->certificate_file == NULL) return true;
    if (SSL_CTX_use_certificate_chain_file(ctx, c->certificate_file) != 1) {
        snprintf(why, size, "%s: no certificate in PEM (%s)", c->certificate_file, last_error());
        return false;
    }
    return use_key(ctx, c->key_file, why, size); /* which compares the two */
}

static bool trust(SSL_CTX *ctx, const struct tls_conf *c, char *why, size_t size) {
    if (c->ca_file == NULL) {
        if (SSL_CTX_set_default_verify_paths(ctx) == 1) return true;
        snprintf(why, size, "the system's certificate authorities cannot be read (%s)", last_error());
        return false;
    }
    if (SSL_CTX_load_verify_file(ctx, c->ca_file) == 1) return true;
    snprintf(why, size, "%s: no certificates in PEM (%s)", c->ca_file, last_error());
    return false;
}

static bool setup(SSL_CTX *ctx, const struct tls_conf *c, char *why, size_t size) {
    static const unsigned char alpn[] = "\012postgresql";
    snprintf(why, size, "out of memory");
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 || SSL_CTX_set_alpn_protos(ctx, alpn, sizeof alpn - 1) != 0) return false;
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_read_ahead(ctx, 1); /* a record's header and body with one call */
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    /* A certificate that is named itself is trusted as an authority is: a self-signed one, or one of a chain. */
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
    return trust(ctx, c, why, size) && use_certificate(ctx, c, why, size);
}

static bool is_address(const char *name) {
    uint8_t raw[16];
    return inet_pton(AF_INET, name, raw) == 1 || inet_pton(AF_INET6, name, raw) == 1;
}

struct tls_ctx *tls_ctx_new(const struct tls_conf *conf, char *why, size_t size) {
    struct tls_ctx *c = calloc(1, sizeof *c);
    ERR_clear_error();
    if (c == NULL) {
        snprintf(why, size, "out of memory");
        return NULL;
    }
    atomic_init(&c->refs, 1);
    c->need_alpn = conf->need_alpn;
    c->is_address = conf->server_name != NULL && is_address(conf->server_name);
    c->server_name = conf->server_name == NULL ? NULL : strdup(conf->server_name);
    c->sni = conf->sni == NULL || is_address(conf->sni) ? NULL : strdup(conf->sni); /* RFC 6066: no addresses */
    c->ssl = SSL_CTX_new(TLS_client_method());
    if (c->ssl != NULL && setup(c->ssl, conf, why, size)) return c;
    tls_ctx_unref(c);
    ERR_clear_error();
    return NULL;
}

struct tls_ctx *tls_ctx_ref(struct tls_ctx *c) {
    if (c != NULL) atomic_fetch_add(&c->refs, 1);
    return c;
}

void tls_ctx_unref(struct tls_ctx *c) {
    if (c == NULL || atomic_fetch_sub(&c->refs, 1) != 1) return;
    SSL_CTX_free(c->ssl);
    free(c->server_name);
    free(c->sni);
    free(c);
}

/* --- a connection --- */

static bool expect_name(SSL *ssl, const struct tls_ctx *ctx) {
    if (ctx->sni != NULL && SSL_set_tlsext_host_name(ssl, ctx->sni) != 1) return false;
    if (ctx->server_name == NULL) return true;
    if (ctx->is_address) return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), ctx->server_name) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, ctx->server_name) == 1;
}

struct tls_conn *tls_conn_new(struct tls_ctx *ctx, int fd) {
    struct tls_conn *c = calloc(1, sizeof *c);
    if (c == NULL) return NULL;
    ERR_clear_error();
    c->need_alpn = ctx->need_alpn;
    c->ssl = SSL_new(ctx->ssl);
    if (c->ssl != NULL && SSL_set_fd(c->ssl, fd) == 1 && expect_name(c->ssl, ctx)) {
        SSL_set_connect_state(c->ssl);
        return c;
    }
    tls_conn_free(c);
    return NULL;
}

void tls_conn_free(struct tls_conn *c) {
    if (c == NULL) return;
    ERR_clear_error();
    if (c->shaken && !c->broken) SSL_shutdown(c->ssl);
    SSL_free(c->ssl);
    ERR_clear_error();
    free(c);
}

static enum tls_rc fail(struct tls_conn *c, const char *why) {
    c->broken = true;
    snprintf(c->error, sizeof c->error, "%s", why);
    ERR_clear_error();
    return TLS_FAILED;
}

/* Why a call that gave rc did not do it. errno is the call's. */
static enum tls_rc judge(struct tls_conn *c, int rc, int error) {
    long verified = SSL_get_verify_result(c->ssl);
    switch (SSL_get_error(c->ssl, rc)) {
    case SSL_ERROR_WANT_READ: return TLS_WANT_READ;
    case SSL_ERROR_WANT_WRITE: return TLS_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN: return TLS_EOF;
    case SSL_ERROR_SYSCALL: return fail(c, error != 0 ? strerror(error) : "the connection was closed");
    default: break;
    }
    if (!c->shaken && verified != X509_V_OK) {
        c->broken = true;
        snprintf(c->error, sizeof c->error, "the server's certificate: %s", X509_verify_cert_error_string(verified));
        ERR_clear_error();
        return TLS_FAILED;
    }
    if (ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        fail(c, "the connection was closed");
        return c->shaken ? TLS_EOF : TLS_FAILED; /* the database's protocol says itself where it ends */
    }
    return fail(c, last_error());
}

enum tls_rc tls_handshake(struct tls_conn *c) {
    const unsigned char *alpn;
    unsigned len;
    if (c->broken) return TLS_FAILED;
    ERR_clear_error();
    errno = 0;
    int rc = SSL_do_handshake(c->ssl);
    if (rc != 1) {
        enum tls_rc why = judge(c, rc, errno);
        return why == TLS_EOF ? fail(c, "the server closed TLS in the handshake") : why;
    }
    SSL_get0_alpn_selected(c->ssl, &alpn, &len);
    if (c->need_alpn && (len != 10 || memcmp(alpn, "postgresql", 10) != 0)) return fail(c, "the server does not offer PostgreSQL (ALPN)");
    if (SSL_get_verify_result(c->ssl) != X509_V_OK) return fail(c, "the server's certificate is not verified");
    c->shaken = true;
    return TLS_OK;
}

enum tls_rc tls_read(struct tls_conn *c, void *data, size_t size, size_t *n) {
    if (c->broken) return TLS_FAILED;
    ERR_clear_error();
    errno = 0;
    int rc = SSL_read_ex(c->ssl, data, size, n);
    return rc == 1 ? TLS_OK : judge(c, rc, errno);
}

/* The peer has gone; an alert that it sent before says why, and lies unread. */
static enum tls_rc last_words(struct tls_conn *c, int error) {
    uint8_t byte;
    size_t n;
    ERR_clear_error();
    int rc = SSL_peek_ex(c->ssl, &byte, 1, &n);
    if (rc != 1 && SSL_get_error(c->ssl, rc) == SSL_ERROR_SSL &&
        ERR_GET_REASON(ERR_peek_last_error()) != SSL_R_UNEXPECTED_EOF_WHILE_READING)
        return fail(c, last_error());
    return fail(c, error != 0 ? strerror(error) : "the connection was closed");
}

enum tls_rc tls_write(struct tls_conn *c, const void *data, size_t len, size_t *n) {
    if (c->broken) return TLS_FAILED;
    ERR_clear_error();
    errno = 0;
    int rc = SSL_write_ex(c->ssl, data, len, n), error = errno;
    if (rc == 1) return TLS_OK;
    return SSL_get_error(c->ssl, rc) == SSL_ERROR_SYSCALL ? last_words(c, error) : judge(c, rc, error);
}

const char *tls_error(const struct tls_conn *c) { return c->error; }

size_t tls_end_point(const struct tls_conn *c, uint8_t out[TLS_END_POINT_MAX]) {
    X509 *cert = SSL_get0_peer_certificate(c->ssl);
    int digest;
    unsigned n = 0;
    uint8_t hash[EVP_MAX_MD_SIZE];
    if (cert == NULL || X509_get_signature_info(cert, &digest, NULL, NULL, NULL) != 1 || digest == NID_undef) return 0;
    if (digest == NID_md5 || digest == NID_sha1) digest = NID_sha256;
    const EVP_MD *md = EVP_get_digestbynid(digest);
    if (md == NULL || X509_digest(cert, md, hash, &n) != 1 || n > TLS_END_POINT_MAX) return 0;
    memcpy(out, hash, n);
    return n;
}
