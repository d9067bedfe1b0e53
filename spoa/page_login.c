#include <config.h>

#include "spoa/page_login.h"

#include "filters/bytes.h"
#include "spoa/base64url.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_LEN    32u
#define RANDOM_LEN 24u
#define MAC_LEN    32u
#define USED_MAX   1024u /* sign-ins that ended within LOGIN_TIME_MS; the oldest go first */

/* What the cookie holds, in base64url, with the MAC behind it. */
struct payload {
    uint8_t time[8];
    uint8_t random[RANDOM_LEN];
    char next[LOGIN_NEXT_SIZE];
};
#define PAYLOAD_LEN sizeof(struct payload)
_Static_assert(sizeof(struct payload) == 8 + RANDOM_LEN + LOGIN_NEXT_SIZE, "padding");
_Static_assert(BASE64URL_LEN(sizeof(struct payload) + MAC_LEN) < LOGIN_COOKIE_SIZE, "room for the cookie");

struct login_keys {
    uint8_t key[KEY_LEN];
    struct {
        uint64_t at_ms; /* 0: none */
        uint8_t random[RANDOM_LEN];
    } used[USED_MAX];
    size_t at;
};

struct login_keys *login_keys_new(void) {
    struct login_keys *k = calloc(1, sizeof *k);
    if (k != NULL && RAND_bytes(k->key, KEY_LEN) == 1) return k;
    free(k);
    return NULL;
}

void login_keys_free(struct login_keys *k) {
    if (k == NULL) return;
    gh_wipe(k, sizeof *k);
    free(k);
}

/* The MAC over the payload under a name. */
static bool mac(const struct login_keys *k, const char *name, const struct payload *p, uint8_t out[MAC_LEN]) {
    uint8_t text[16 + PAYLOAD_LEN] = {0};
    unsigned len = MAC_LEN;
    snprintf((char *)text, 16, "%s", name);
    memcpy(text + 16, p, PAYLOAD_LEN);
    return HMAC(EVP_sha256(), k->key, KEY_LEN, text, sizeof text, out, &len) != NULL && len == MAC_LEN;
}

static bool derive(const struct login_keys *k, const char *name, const struct payload *p, char out[LOGIN_TOKEN_SIZE]) {
    uint8_t m[MAC_LEN];
    if (!mac(k, name, p, m)) return false;
    base64url_encode(m, MAC_LEN, out);
    gh_wipe(m, sizeof m);
    return true;
}

static bool fill(const struct login_keys *k, const struct payload *p, struct login *out) {
    memcpy(out->next, p->next, sizeof out->next);
    return derive(k, "state", p, out->state) && derive(k, "nonce", p, out->nonce) && derive(k, "verifier", p, out->verifier);
}

bool login_begin(const struct login_keys *k, const char *next, uint64_t now_ms, struct login *out) {
    uint8_t raw[PAYLOAD_LEN + MAC_LEN];
    struct payload p = {0};
    for (unsigned i = 0; i < 8; i++) p.time[i] = (uint8_t)(now_ms >> (56 - 8 * i));
    snprintf(p.next, sizeof p.next, "%s", next);
    if (RAND_bytes(p.random, RANDOM_LEN) != 1 || !mac(k, "cookie", &p, raw + PAYLOAD_LEN)) return false;
    memcpy(raw, &p, PAYLOAD_LEN);
    base64url_encode(raw, sizeof raw, out->cookie);
    return fill(k, &p, out);
}

bool login_resume(const struct login_keys *k, const char *cookie, uint64_t now_ms, struct login *out) {
    uint8_t raw[BASE64URL_DECODED(LOGIN_COOKIE_SIZE)], want[MAC_LEN];
    struct payload p;
    size_t n;
    if (strlen(cookie) != BASE64URL_LEN(PAYLOAD_LEN + MAC_LEN) || !base64url_decode(cookie, strlen(cookie), raw, &n) ||
        n != PAYLOAD_LEN + MAC_LEN)
        return false;
    memcpy(&p, raw, PAYLOAD_LEN);
    if (!mac(k, "cookie", &p, want) || CRYPTO_memcmp(want, raw + PAYLOAD_LEN, MAC_LEN) != 0) return false;
    uint64_t began = 0;
    for (unsigned i = 0; i < 8; i++) began = began << 8 | p.time[i];
    if (now_ms < began || now_ms - began >= LOGIN_TIME_MS) return false;
    for (size_t i = 0; i < USED_MAX; i++)
        if (k->used[i].at_ms != 0 && memcmp(k->used[i].random, p.random, RANDOM_LEN) == 0) return false;
    snprintf(out->cookie, sizeof out->cookie, "%s", cookie);
    return fill(k, &p, out);
}

void login_used(struct login_keys *k, const struct login *l, uint64_t now_ms) {
    uint8_t raw[BASE64URL_DECODED(LOGIN_COOKIE_SIZE)];
    size_t n;
    if (!base64url_decode(l->cookie, strlen(l->cookie), raw, &n) || n != PAYLOAD_LEN + MAC_LEN) return;
    memcpy(k->used[k->at].random, raw + offsetof(struct payload, random), RANDOM_LEN);
    k->used[k->at].at_ms = now_ms == 0 ? 1 : now_ms;
    k->at = (k->at + 1) % USED_MAX;
}

bool login_equal(const char *a, const char *b) {
    size_t n = strlen(a);
    return strlen(b) == n && CRYPTO_memcmp(a, b, n) == 0;
}

bool login_random(char out[LOGIN_TOKEN_SIZE]) {
    uint8_t raw[32];
    bool ok = RAND_bytes(raw, sizeof raw) == 1;
    base64url_encode(raw, sizeof raw, out);
    gh_wipe(raw, sizeof raw);
    return ok;
}

/* --- what is sent --- */

/* RFC 3986, section 2.3: everything else as %XX. */
static void put_encoded(struct buf *b, const char *s) {
    static const char digits[] = "0123456789ABCDEF";
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-._~", c) != NULL;
        char coded[3] = {'%', digits[c >> 4], digits[c & 15]};
        buf_put(b, plain ? s : coded, plain ? 1 : 3);
    }
}

static void put_param(struct buf *b, const char *name, const char *value) {
    if (buf_used(b) > 0) buf_str(b, "&");
    buf_str(b, name);
    buf_str(b, "=");
    put_encoded(b, value);
}

/* The text with a NUL; the caller frees. */
static char *take(struct buf *b) {
    char *text = b->failed ? NULL : strndup((const char *)buf_at(b), buf_used(b));
    if (b->data != NULL) gh_wipe(b->data, b->cap);
    buf_free(b);
    return text;
}

char *login_address(const char *endpoint, const struct login_client *c, const struct login *l) {
    struct buf b = BUF_INIT(65536), address = BUF_INIT(65536);
    uint8_t digest[SHA256_DIGEST_LENGTH];
    char challenge[LOGIN_TOKEN_SIZE];
    SHA256((const unsigned char *)l->verifier, strlen(l->verifier), digest);
    base64url_encode(digest, sizeof digest, challenge);
    put_param(&b, "response_type", "code");
    put_param(&b, "client_id", c->id);
    put_param(&b, "redirect_uri", c->redirect_uri);
    put_param(&b, "scope", c->scope);
    put_param(&b, "state", l->state);
    put_param(&b, "nonce", l->nonce);
    put_param(&b, "code_challenge", challenge);
    put_param(&b, "code_challenge_method", "S256");
    for (const char *const *m = c->more; m != NULL && *m != NULL; m += 2) put_param(&b, m[0], m[1]);
    buf_str(&address, endpoint);
    buf_str(&address, strchr(endpoint, '?') == NULL ? "?" : "&");
    buf_put(&address, buf_at(&b), buf_used(&b));
    address.failed = address.failed || b.failed;
    buf_free(&b);
    return take(&address);
}

char *login_token_form(const struct login_client *c, const struct login *l, const char *code, const char *secret) {
    struct buf b = BUF_INIT(32768);
    put_param(&b, "grant_type", "authorization_code");
    put_param(&b, "code", code);
    put_param(&b, "redirect_uri", c->redirect_uri);
    put_param(&b, "client_id", c->id);
    put_param(&b, "code_verifier", l->verifier);
    if (secret != NULL) put_param(&b, "client_secret", secret);
    return take(&b);
}

char *login_basic(const char *client_id, const char *secret) {
    struct buf pair = BUF_INIT(32768), line = BUF_INIT(65536);
    put_encoded(&pair, client_id);
    buf_str(&pair, ":");
    put_encoded(&pair, secret);
    size_t n = buf_used(&pair);
    unsigned char *coded = pair.failed ? NULL : malloc(4 * ((n + 2) / 3) + 1);
    if (coded != NULL) {
        EVP_EncodeBlock(coded, buf_at(&pair), (int)n);
        buf_str(&line, "Authorization: Basic ");
        buf_str(&line, (const char *)coded);
        gh_wipe(coded, strlen((const char *)coded));
    } else
        line.failed = true;
    free(coded);
    if (pair.data != NULL) gh_wipe(pair.data, pair.cap);
    buf_free(&pair);
    return take(&line);
}
