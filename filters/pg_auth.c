#include "filters/pg_auth.h"

#include "filters/pg_wire.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHA_LEN 32
/* The computation holds every session of the thread: PostgreSQL's default of 4,096 rounds takes 2 ms, this 50. */
#define MAX_ROUNDS 100000u
/* RFC 5802, section 7: what the client says of channel binding */
#define GS2_PLUS   "p=tls-server-end-point,,"
#define GS2_COULD  "y,," /* "I can, you did not offer it": a server that did offer it then knows that somebody changed its list */
#define GS2_CANNOT "n,,"

bool pg_auth_begin(struct pg_auth *a, const struct flt_upstream *up) {
    memset(a, 0, sizeof *a);
    a->user = strdup(up->user);
    a->password = up->password == NULL ? "" : up->password;
    a->allow_cleartext = up->allow_cleartext;
    a->need_binding = up->need_binding;
    a->auth_message = BUF_INIT(16384);
    EVP_EncodeBlock((unsigned char *)a->nonce, up->nonce, 24);
    return a->user != NULL;
}

void pg_auth_secured(struct pg_auth *a, const struct flt_secured *s) {
    a->tls = true;
    if (s->end_point == NULL || s->end_point_len > sizeof a->end_point) return;
    memcpy(a->end_point, s->end_point, s->end_point_len);
    a->end_point_len = s->end_point_len;
}

void pg_auth_end(struct pg_auth *a) {
    free(a->user);
    a->user = NULL;
    a->password = "";
    gh_wipe(a->server_key, sizeof a->server_key);
    buf_free(&a->auth_message);
}

static bool hmac(const uint8_t *key, size_t keylen, const void *data, size_t len, uint8_t out[SHA_LEN]) {
    unsigned n = 0;
    return HMAC(EVP_sha256(), key, (int)keylen, data, len, out, &n) != NULL && n == SHA_LEN;
}

static bool sha256(const uint8_t *data, size_t len, uint8_t out[SHA_LEN]) {
    unsigned n = 0;
    return EVP_Digest(data, len, out, &n, EVP_sha256(), NULL) == 1 && n == SHA_LEN;
}

/* Hex of MD5 over two pieces: out takes 33 bytes. */
static bool md5_hex(const void *a, size_t alen, const void *b, size_t blen, char *out) {
    uint8_t digest[16];
    unsigned n = 0;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_md5(), NULL) == 1 && EVP_DigestUpdate(ctx, a, alen) == 1 &&
              EVP_DigestUpdate(ctx, b, blen) == 1 && EVP_DigestFinal_ex(ctx, digest, &n) == 1 && n == sizeof digest;
    EVP_MD_CTX_free(ctx);
    if (!ok) return false;
    gh_hex(out, digest, sizeof digest);
    out[32] = '\0';
    return true;
}

static void put_password(struct buf *out, const char *text, size_t len) {
    size_t at = pg_begin(out, 'p');
    buf_put(out, text, len);
    buf_u8(out, 0);
    pg_end(out, at);
}

static enum gh_rc answer_md5(struct pg_auth *a, struct cur body, struct buf *out, struct gh_err *err) {
    const uint8_t *salt;
    if (!cur_take(&body, 4, &salt) || cur_left(&body) != 0)
        return gh_fail(err, GH_MALFORMED, 4, "AuthenticationMD5Password of a wrong length");
    char inner[33], text[36] = "md5";
    if (!md5_hex(a->password, strlen(a->password), a->user, strlen(a->user), inner) || !md5_hex(inner, 32, salt, 4, text + 3))
        return gh_fail(err, GH_UNSUPPORTED, 0, "MD5 is not available in this OpenSSL");
    put_password(out, text, 35);
    gh_wipe(inner, sizeof inner);
    gh_wipe(text, sizeof text);
    return GH_OK;
}

static const char *gs2(const struct pg_auth *a) { return a->plus ? GS2_PLUS : a->end_point_len > 0 ? GS2_COULD : GS2_CANNOT; }

static enum gh_rc scram_first(struct pg_auth *a, struct cur body, struct buf *out, struct gh_err *err) {
    bool offered = false, plus = false;
    for (;;) {
        const char *s;
        size_t len;
        if (!cur_cstr(&body, &s, &len)) return gh_fail(err, GH_MALFORMED, 4, "AuthenticationSASL without an end");
        if (len == 0) break;
        if (strcmp(s, "SCRAM-SHA-256") == 0) offered = true;
        if (strcmp(s, "SCRAM-SHA-256-PLUS") == 0) plus = true;
    }
    /* Only inside TLS is there anything to bind to: between us and this server somebody ended a TLS that we did not begin. */
    if (plus && !a->tls) return gh_fail(err, GH_MALFORMED, 4, "the server offers SCRAM-SHA-256-PLUS outside of TLS");
    a->plus = plus && a->end_point_len > 0;
    if (a->need_binding && !a->plus)
        return gh_fail(err, GH_UNSUPPORTED, 4,
                       "channel binding is required, and cannot be had: the server offers no SCRAM-SHA-256-PLUS for this certificate");
    if (!offered && !a->plus) return gh_fail(err, GH_UNSUPPORTED, 4, "the server offers no SCRAM-SHA-256");
    /* The name is empty: the server takes the one of the startup packet. */
    buf_str(&a->auth_message, "n=,r=");
    buf_str(&a->auth_message, a->nonce);
    if (a->auth_message.failed) return gh_fail(err, GH_LIMIT, 0, "out of memory");
    size_t at = pg_begin(out, 'p');
    buf_cstr(out, a->plus ? "SCRAM-SHA-256-PLUS" : "SCRAM-SHA-256");
    buf_be32(out, (uint32_t)(strlen(gs2(a)) + buf_used(&a->auth_message)));
    buf_str(out, gs2(a));
    buf_put(out, buf_at(&a->auth_message), buf_used(&a->auth_message));
    pg_end(out, at);
    a->state = PG_SCRAM_FIRST;
    return GH_OK;
}

/* One "x=value" attribute of a SCRAM message that ends with "," or with the message. */
static bool scram_attribute(struct cur *c, char name, const char **value, size_t *len) {
    uint8_t key, eq;
    if (!cur_u8(c, &key) || !cur_u8(c, &eq) || key != (uint8_t)name || eq != '=') return false;
    const uint8_t *comma = memchr(c->p, ',', cur_left(c));
    const uint8_t *end = comma == NULL ? c->end : comma;
    *value = (const char *)c->p;
    *len = (size_t)(end - c->p);
    c->p = comma == NULL ? c->end : comma + 1;
    return true;
}

/* Strict base64 into out; the length, or -1. */
static int unbase64(const char *s, size_t len, uint8_t *out, size_t max) {
    if (len == 0 || len % 4 != 0 || len / 4 * 3 > max) return -1;
    int n = EVP_DecodeBlock(out, (const unsigned char *)s, (int)len);
    if (n < 0) return -1;
    return n - (s[len - 1] == '=') - (s[len - 2] == '=');
}

/* RFC 5802, section 7, "channel-binding": base64 of the first message's header and what is bound to. */
static void put_binding(struct pg_auth *a, struct buf *out) {
    uint8_t in[sizeof GS2_PLUS + PG_END_POINT_MAX], text[(sizeof in + 2) / 3 * 4 + 1];
    size_t n = strlen(gs2(a));
    memcpy(in, gs2(a), n);
    if (a->plus) memcpy(in + n, a->end_point, a->end_point_len);
    EVP_EncodeBlock(text, in, (int)(n + (a->plus ? a->end_point_len : 0)));
    buf_str(out, "c=");
    buf_str(out, (const char *)text);
}

static enum gh_rc scram_prove(struct pg_auth *a, struct cur body, struct buf *out, struct gh_err *err) {
    const char *nonce, *salt64, *rounds_text;
    size_t nonce_len, salt64_len, rounds_len;
    struct cur c = body;
    size_t mine = strlen(a->nonce);
    if (!scram_attribute(&c, 'r', &nonce, &nonce_len) || !scram_attribute(&c, 's', &salt64, &salt64_len) ||
        !scram_attribute(&c, 'i', &rounds_text, &rounds_len))
        return gh_fail(err, GH_MALFORMED, 4, "SCRAM server-first message is malformed");
    if (nonce_len <= mine || nonce_len > 1024 || memcmp(nonce, a->nonce, mine) != 0)
        return gh_fail(err, GH_MALFORMED, 4, "SCRAM nonce does not continue ours");
    uint8_t salt[1024];
    int salt_len = unbase64(salt64, salt64_len, salt, sizeof salt);
    uint32_t rounds = 0;
    for (size_t i = 0; i < rounds_len && rounds <= MAX_ROUNDS; i++) {
        if (rounds_text[i] < '0' || rounds_text[i] > '9') return gh_fail(err, GH_MALFORMED, 4, "SCRAM iteration count is no number");
        rounds = rounds * 10 + (uint32_t)(rounds_text[i] - '0');
    }
    if (salt_len <= 0 || rounds == 0) return gh_fail(err, GH_MALFORMED, 4, "SCRAM salt or iteration count is malformed");
    if (rounds > MAX_ROUNDS) return gh_fail(err, GH_LIMIT, 4, "SCRAM iteration count is over 100,000");

    size_t final_at;
    buf_u8(&a->auth_message, ',');
    buf_put(&a->auth_message, body.p, cur_left(&body));
    buf_u8(&a->auth_message, ',');
    final_at = buf_used(&a->auth_message);
    put_binding(a, &a->auth_message);
    buf_str(&a->auth_message, ",r=");
    buf_put(&a->auth_message, nonce, nonce_len);
    if (a->auth_message.failed) return gh_fail(err, GH_LIMIT, 4, "SCRAM message is too long");
    const uint8_t *whole = buf_at(&a->auth_message);
    size_t whole_len = buf_used(&a->auth_message);

    uint8_t salted[SHA_LEN], client[SHA_LEN], stored[SHA_LEN], signature[SHA_LEN], proof[SHA_LEN];
    bool ok = PKCS5_PBKDF2_HMAC(a->password, (int)strlen(a->password), salt, salt_len, (int)rounds, EVP_sha256(), SHA_LEN, salted) == 1 &&
              hmac(salted, SHA_LEN, "Client Key", 10, client) && sha256(client, SHA_LEN, stored) &&
              hmac(stored, SHA_LEN, whole, whole_len, signature) && hmac(salted, SHA_LEN, "Server Key", 10, a->server_key);
    for (size_t i = 0; i < SHA_LEN; i++) proof[i] = client[i] ^ signature[i];
    char proof64[48];
    EVP_EncodeBlock((unsigned char *)proof64, proof, SHA_LEN);
    gh_wipe(salted, sizeof salted);
    gh_wipe(client, sizeof client);
    if (!ok) return gh_fail(err, GH_UNSUPPORTED, 0, "OpenSSL could not compute SCRAM-SHA-256");

    size_t at = pg_begin(out, 'p');
    buf_put(out, whole + final_at, whole_len - final_at);
    buf_str(out, ",p=");
    buf_str(out, proof64);
    pg_end(out, at);
    a->state = PG_SCRAM_PROVED;
    return GH_OK;
}

static enum gh_rc scram_verify(struct pg_auth *a, struct cur body, struct gh_err *err) {
    const char *value;
    size_t len;
    uint8_t theirs[48], ours[SHA_LEN];
    if (!scram_attribute(&body, 'v', &value, &len)) return gh_fail(err, GH_MALFORMED, 4, "SCRAM server-final message is malformed");
    if (unbase64(value, len, theirs, sizeof theirs) != SHA_LEN ||
        !hmac(a->server_key, SHA_LEN, buf_at(&a->auth_message), buf_used(&a->auth_message), ours) ||
        CRYPTO_memcmp(theirs, ours, SHA_LEN) != 0)
        return gh_fail(err, GH_MALFORMED, 4, "the server does not know the password: its SCRAM signature is wrong");
    a->state = PG_SCRAM_VERIFIED;
    return GH_OK;
}

enum gh_rc pg_auth_step(struct pg_auth *a, struct cur body, struct buf *out, bool *done, struct gh_err *err) {
    uint32_t code;
    *done = false;
    if (!cur_be32(&body, &code)) return gh_fail(err, GH_MALFORMED, 0, "Authentication message without a code");
    switch (code) {
    case PG_AUTH_OK:
        if (a->state == PG_SCRAM_FIRST || a->state == PG_SCRAM_PROVED)
            return gh_fail(err, GH_MALFORMED, 0, "the server said AuthenticationOk without proving that it knows the password");
        if (a->need_binding && !(a->plus && a->state == PG_SCRAM_VERIFIED)) break;
        a->state = PG_AUTH_DONE;
        *done = true;
        return GH_OK;
    case PG_AUTH_CLEARTEXT:
        if (a->state != PG_AUTH_START || a->need_binding) break;
        if (!a->allow_cleartext)
            return gh_fail(err, GH_UNSUPPORTED, 0, "the server wants the password in clear text, which is not allowed here");
        put_password(out, a->password, strlen(a->password));
        a->state = PG_SCRAM_VERIFIED; /* nothing more is due but AuthenticationOk */
        return GH_OK;
    case PG_AUTH_MD5:
        if (a->state != PG_AUTH_START || a->need_binding) break;
        a->state = PG_SCRAM_VERIFIED;
        return answer_md5(a, body, out, err);
    case PG_AUTH_SASL:
        if (a->state != PG_AUTH_START) break;
        return scram_first(a, body, out, err);
    case PG_AUTH_SASL_CONT:
        if (a->state != PG_SCRAM_FIRST) break;
        return scram_prove(a, body, out, err);
    case PG_AUTH_SASL_FINAL:
        if (a->state != PG_SCRAM_PROVED) break;
        return scram_verify(a, body, err);
    default: return gh_fail(err, GH_UNSUPPORTED, 0, "the server wants an authentication method other than SCRAM-SHA-256, md5 or cleartext");
    }
    if (a->need_binding && a->state == PG_AUTH_START)
        return gh_fail(err, GH_UNSUPPORTED, 0, "channel binding is required, and the server logs in without SCRAM-SHA-256-PLUS");
    return gh_fail(err, GH_MALFORMED, 0, "Authentication messages out of order");
}
