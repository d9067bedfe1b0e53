/* Gatehouse's login at a server: the vector of RFC 7677, a SCRAM server that checks each byte, and servers that cheat. */
#include "filters/pg_auth.h"
#include "filters/pg_wire.h"
#include "t/lib/guard.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

static struct pg_auth auth;
static struct buf out;
static struct gh_err err;
static bool done;

static void begin(const char *password, bool cleartext, bool need_binding) {
    const struct flt_upstream up = {
        .user = "gate", .password = password, .nonce = {1, 2, 3}, .allow_cleartext = cleartext, .need_binding = need_binding};
    out = BUF_INIT(65536);
    err = (struct gh_err){0};
    ck_assert(pg_auth_begin(&auth, &up));
}
static void end(void) {
    pg_auth_end(&auth);
    pg_auth_end(&auth);
    buf_free(&out);
}

/* One Authentication message, at the end of a page behind which nothing is mapped. */
static enum gh_rc step(uint32_t code, const char *data, size_t len) {
    uint8_t text[4096] = {0, 0, 0, (uint8_t)code};
    ck_assert_uint_le(len, sizeof text - 4);
    memcpy(text + 4, data, len);
    uint8_t *p = guard_copy(text, len + 4);
    enum gh_rc rc = pg_auth_step(&auth, cur_of(p, len + 4), &out, &done, &err);
    guard_free(p, len + 4);
    return rc;
}
static enum gh_rc say(uint32_t code, const char *text) { return step(code, text, strlen(text)); }
static enum gh_rc offer(const char *names, size_t len) { return step(PG_AUTH_SASL, names, len); }
#define OFFER(names) offer(names, sizeof names) /* the closing NUL ends the list */

/* What was sent since the last look, without its header; for SASLInitialResponse without mechanism and length too. */
static const char *sent(char mechanism[32]) {
    static char text[4096];
    struct cur c = cur_of(buf_at(&out), buf_used(&out));
    uint8_t type;
    uint32_t len, n;
    const char *name;
    size_t name_len;
    ck_assert(cur_u8(&c, &type) && type == 'p' && cur_be32(&c, &len) && len == cur_left(&c) + 4);
    if (mechanism != NULL) {
        ck_assert(cur_cstr(&c, &name, &name_len) && cur_be32(&c, &n) && n == cur_left(&c));
        snprintf(mechanism, 32, "%s", name);
    }
    snprintf(text, sizeof text, "%.*s", (int)cur_left(&c), (const char *)c.p);
    buf_reset(&out);
    return text;
}

START_TEST(rfc7677) {
    char mechanism[32];
    begin("pencil", false, false);
    snprintf(auth.nonce, sizeof auth.nonce, "rOprNGfwEbeRWgbNEkqO");
    ck_assert_int_eq(OFFER("SCRAM-SHA-256\0"), GH_OK);
    ck_assert_str_eq(sent(mechanism), "n,,n=,r=rOprNGfwEbeRWgbNEkqO");
    ck_assert_str_eq(mechanism, "SCRAM-SHA-256");
    buf_reset(&auth.auth_message); /* PostgreSQL's clients leave the name empty; the vector does not */
    buf_str(&auth.auth_message, "n=user,r=rOprNGfwEbeRWgbNEkqO");
    ck_assert_int_eq(say(PG_AUTH_SASL_CONT, "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
                     GH_OK);
    ck_assert_str_eq(sent(NULL),
                     "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    ck_assert_int_eq(say(PG_AUTH_SASL_FINAL, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), GH_OK);
    ck_assert(!done);
    ck_assert_int_eq(say(PG_AUTH_OK, ""), GH_OK);
    ck_assert(done);
    end();
}
END_TEST

/* --- a server of our own, that believes nothing --- */

static const char SALT64[] = "c2FsdHNhbHRzYWx0";
static const char SALT[] = "saltsaltsalt";

static void mac(const uint8_t *key, const void *data, size_t len, uint8_t mac_out[32]) {
    unsigned n = 0;
    ck_assert_ptr_nonnull(HMAC(EVP_sha256(), key, 32, data, len, mac_out, &n));
}

static void base64(const void *data, size_t len, char *text) { EVP_EncodeBlock((uint8_t *)text, data, (int)len); }

/* Runs SCRAM through; binding is what the final message must repeat. The server's own signature is changed by wrong. */
static enum gh_rc serve(const char *password, const char *gs2, const void *end_point, size_t end_point_len, bool wrong) {
    char mechanism[32], first[512], final[1024], challenge[512], bound[256], want_c[300], v[64];
    uint8_t salted[32], client_key[32], stored[32], signature[32], proof[48], server_key[32], in[128];
    unsigned n;
    snprintf(first, sizeof first, "%s", sent(mechanism));
    ck_assert_msg(strncmp(first, gs2, strlen(gs2)) == 0, "%s", first);
    ck_assert_str_eq(mechanism, end_point_len > 0 ? "SCRAM-SHA-256-PLUS" : "SCRAM-SHA-256");
    const char *bare = first + strlen(gs2);
    snprintf(challenge, sizeof challenge, "%ssrv,s=%s,i=4096", strstr(bare, "r="), SALT64);
    ck_assert_int_eq(say(PG_AUTH_SASL_CONT, challenge), GH_OK);
    snprintf(final, sizeof final, "%s", sent(NULL));
    memcpy(in, gs2, strlen(gs2));
    if (end_point_len > 0) memcpy(in + strlen(gs2), end_point, end_point_len);
    base64(in, strlen(gs2) + end_point_len, bound);
    snprintf(want_c, sizeof want_c, "c=%s,r=", bound);
    ck_assert_msg(strncmp(final, want_c, strlen(want_c)) == 0, "%s", final);
    char *p = strstr(final, ",p="), message[2048];
    ck_assert_ptr_nonnull(p);
    *p = '\0';
    ck_assert_int_eq(EVP_DecodeBlock(proof, (const uint8_t *)p + 3, 44), 33);
    snprintf(message, sizeof message, "%s,%s,%s", bare, challenge, final);
    ck_assert_int_eq(PKCS5_PBKDF2_HMAC(password, -1, (const uint8_t *)SALT, 12, 4096, EVP_sha256(), 32, salted), 1);
    mac(salted, "Client Key", 10, client_key);
    EVP_Digest(client_key, 32, stored, &n, EVP_sha256(), NULL);
    mac(stored, message, strlen(message), signature);
    for (int i = 0; i < 32; i++) ck_assert_uint_eq(proof[i] ^ signature[i], client_key[i]);
    mac(salted, "Server Key", 10, server_key);
    mac(server_key, message, strlen(message), signature);
    signature[7] ^= wrong;
    memcpy(v, "v=", 2);
    base64(signature, 32, v + 2);
    return say(PG_AUTH_SASL_FINAL, v);
}

static void secured(const void *end_point, size_t len) { pg_auth_secured(&auth, &(struct flt_secured){end_point, len}); }

START_TEST(binding) {
    uint8_t hash[64];
    for (unsigned i = 0; i < sizeof hash; i++) hash[i] = (uint8_t)(i * 37);
    for (size_t len = 32; len <= 64; len += 16) {
        begin("secret", false, true);
        secured(hash, len);
        ck_assert_int_eq(OFFER("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0"), GH_OK);
        ck_assert_int_eq(serve("secret", "p=tls-server-end-point,,", hash, len, false), GH_OK);
        ck_assert_int_eq(say(PG_AUTH_OK, ""), GH_OK);
        ck_assert(done);
        end();
    }
    /* -PLUS alone */
    begin("secret", false, false);
    secured(hash, 32);
    ck_assert_int_eq(OFFER("SCRAM-SHA-256-PLUS\0"), GH_OK);
    ck_assert_int_eq(serve("secret", "p=tls-server-end-point,,", hash, 32, false), GH_OK);
    end();
}
END_TEST

START_TEST(no_binding) {
    /* we could, the server does not offer it: one that did would now know that its offer was changed on the way */
    begin("secret", false, false);
    secured("0123456789abcdef0123456789abcdef", 32);
    ck_assert_int_eq(OFFER("SCRAM-SHA-256\0"), GH_OK);
    ck_assert_int_eq(serve("secret", "y,,", NULL, 0, false), GH_OK);
    end();
    /* inside TLS, with a certificate for which the binding is undefined: whatever the server offers */
    begin("secret", false, false);
    secured(NULL, 0);
    ck_assert_int_eq(OFFER("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0"), GH_OK);
    ck_assert_int_eq(serve("secret", "n,,", NULL, 0, false), GH_OK);
    end();
    /* outside of TLS */
    begin("secret", false, false);
    ck_assert_int_eq(OFFER("SCRAM-SHA-256\0"), GH_OK);
    ck_assert_int_eq(serve("secret", "n,,", NULL, 0, false), GH_OK);
    end();
    begin("secret", false, false);
    ck_assert_int_eq(OFFER("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0"), GH_MALFORMED);
    ck_assert_uint_eq(buf_used(&out), 0);
    end();
}
END_TEST

START_TEST(required_binding) {
    const char hash[] = "0123456789abcdef0123456789abcdef";
    begin("secret", true, true);
    secured(hash, 32);
    ck_assert_int_eq(OFFER("SCRAM-SHA-256\0"), GH_UNSUPPORTED);
    end();
    begin("secret", true, true);
    secured(NULL, 0);
    ck_assert_int_eq(OFFER("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0"), GH_UNSUPPORTED);
    end();
    static const struct {
        uint32_t code;
        const char *data;
    } other[] = {{PG_AUTH_OK, ""}, {PG_AUTH_CLEARTEXT, ""}, {PG_AUTH_MD5, "salt"}};
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        begin("secret", true, true);
        secured(hash, 32);
        ck_assert_int_eq(say(other[i].code, other[i].data), GH_UNSUPPORTED);
        ck_assert(!done);
        ck_assert_uint_eq(buf_used(&out), 0);
        end();
    }
}
END_TEST

START_TEST(server_that_cheats) {
    begin("secret", false, false);
    ck_assert_int_eq(OFFER("SCRAM-SHA-256\0"), GH_OK);
    ck_assert_int_eq(serve("secret", "n,,", NULL, 0, true), GH_MALFORMED); /* it does not know the password */
    end();
    begin("secret", false, false);
    ck_assert_int_eq(OFFER("SCRAM-SHA-256\0"), GH_OK);
    ck_assert_int_eq(say(PG_AUTH_OK, ""), GH_MALFORMED);
    ck_assert(!done);
    end();
    begin("secret", false, false); /* the proof is sent; the server's is left out */
    snprintf(auth.nonce, sizeof auth.nonce, "abc");
    ck_assert_int_eq(OFFER("SCRAM-SHA-256\0"), GH_OK);
    ck_assert_int_eq(say(PG_AUTH_SASL_CONT, "r=abcd,s=c2FsdA==,i=1"), GH_OK);
    ck_assert_int_eq(say(PG_AUTH_OK, ""), GH_MALFORMED);
    end();
    static const struct {
        const char *challenge;
        enum gh_rc rc;
    } bad[] = {{"r=abc,s=c2FsdA==,i=4096", GH_MALFORMED}, /* adds nothing to our nonce */
               {"r=xbcd,s=c2FsdA==,i=4096", GH_MALFORMED},
               {"r=abcd,s=,i=4096", GH_MALFORMED},
               {"r=abcd,s=c2FsdA==,i=0", GH_MALFORMED},
               {"r=abcd,s=c2FsdA==,i=-1", GH_MALFORMED},
               {"r=abcd,s=c2FsdA==,i=100001", GH_LIMIT},
               {"r=abcd,s=c2FsdA==,i=99999999999999999999999", GH_LIMIT},
               {"r=abcd,s=c2FsdA==", GH_MALFORMED},
               {"m=x,r=abcd,s=c2FsdA==,i=4096", GH_MALFORMED},
               {"", GH_MALFORMED}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        begin("secret", false, false);
        snprintf(auth.nonce, sizeof auth.nonce, "abc");
        ck_assert_int_eq(OFFER("SCRAM-SHA-256\0"), GH_OK);
        buf_reset(&out);
        ck_assert_int_eq(say(PG_AUTH_SASL_CONT, bad[i].challenge), bad[i].rc);
        ck_assert_uint_eq(buf_used(&out), 0);
        end();
    }
}
END_TEST

START_TEST(other_methods) {
    begin("secret", false, false);
    ck_assert_int_eq(say(PG_AUTH_CLEARTEXT, ""), GH_UNSUPPORTED);
    ck_assert_uint_eq(buf_used(&out), 0);
    end();
    begin("secret", true, false);
    ck_assert_int_eq(say(PG_AUTH_CLEARTEXT, ""), GH_OK);
    ck_assert_str_eq(sent(NULL), "secret");
    ck_assert_int_eq(say(PG_AUTH_CLEARTEXT, ""), GH_MALFORMED); /* once is enough */
    end();
    begin("secret", true, false);
    ck_assert_int_eq(say(PG_AUTH_MD5, "salt"), GH_OK);
    ck_assert_str_eq(sent(NULL), "md5d31d68258784fd8c1b370bd847055193");
    ck_assert_int_eq(OFFER("SCRAM-SHA-256\0"), GH_MALFORMED); /* one method */
    end();
    for (uint32_t code = 0; code < 14; code++) {
        if (code == PG_AUTH_OK || code == PG_AUTH_CLEARTEXT || code == PG_AUTH_MD5 || code == PG_AUTH_SASL) continue;
        begin("secret", true, false);
        ck_assert_int_ne(say(code, ""), GH_OK);
        ck_assert_uint_eq(buf_used(&out), 0);
        end();
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("pg_auth");
    TCase *t = tcase_create("pg_auth");
    tcase_add_test(t, rfc7677);
    tcase_add_test(t, binding);
    tcase_add_test(t, no_binding);
    tcase_add_test(t, required_binding);
    tcase_add_test(t, server_that_cheats);
    tcase_add_test(t, other_methods);
    suite_add_tcase(s, t);
    return run_suite(s);
}
