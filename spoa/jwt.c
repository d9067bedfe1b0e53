#include "spoa/jwt.h"

#include "spoa/base64url.h"

#include <jansson.h>
#include <math.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ES256_LEN 64                 /* RFC 7518, section 3.4: r and s, 32 bytes each */
#define TIME_MAX  9007199254740992.0 /* 2^53: what JSON numbers carry exactly */

/* A token taken apart. Decoded bytes share one allocation. */
struct parts {
    const char *signed_text; /* header '.' payload, as sent */
    size_t signed_len;
    uint8_t *memory;
    const uint8_t *header, *payload, *signature;
    size_t header_len, payload_len, signature_len;
};

const char *jwt_rc_name(enum jwt_rc rc) {
    switch (rc) {
    case JWT_OK: return "ok";
    case JWT_NO_MEMORY: return "out of memory";
    case JWT_TOO_LONG: return "token too long";
    case JWT_MALFORMED: return "not a compact JWS";
    case JWT_BAD_BASE64: return "not base64url";
    case JWT_BAD_HEADER: return "bad header";
    case JWT_BAD_TYP: return "wrong typ";
    case JWT_HEADER_REFUSED: return "refused header member";
    case JWT_ALG_REFUSED: return "algorithm not allowed";
    case JWT_BAD_CLAIMS: return "bad claims";
    case JWT_BAD_ISSUER: return "unknown issuer";
    case JWT_UNKNOWN_KEY: return "unknown key";
    case JWT_AMBIGUOUS_KEY: return "no kid and more than one key";
    case JWT_KEY_MISMATCH: return "key does not fit the algorithm";
    case JWT_BAD_SIGNATURE: return "bad signature";
    case JWT_BAD_AUDIENCE: return "wrong audience";
    case JWT_NO_EXPIRY: return "no exp";
    case JWT_BAD_TIME: return "bad time claim";
    case JWT_EXPIRED: return "expired";
    case JWT_NOT_YET: return "not valid yet";
    case JWT_BAD_PRINCIPAL: return "bad principal claim";
    case JWT_BAD_GROUPS: return "bad groups claim";
    }
    return "unknown";
}

void jwt_identity_free(struct jwt_identity *id) {
    if (id == NULL) return;
    for (size_t i = 0; i < id->ngroups; i++) free(id->groups[i]);
    free(id->groups);
    free(id->principal);
    free(id->issuer);
    free(id->kid);
    free(id);
}

/* --- the three segments (RFC 7515, section 7.1) --- */

static enum jwt_rc take_apart(const char *token, size_t len, struct parts *p) {
    const char *end = token + len, *dot1 = memchr(token, '.', len);
    if (dot1 == NULL) return JWT_MALFORMED;
    const char *payload = dot1 + 1, *dot2 = memchr(payload, '.', (size_t)(end - payload));
    if (dot2 == NULL) return JWT_MALFORMED;
    const char *signature = dot2 + 1;
    if (memchr(signature, '.', (size_t)(end - signature)) != NULL) return JWT_MALFORMED;
    size_t hlen = (size_t)(dot1 - token), plen = (size_t)(dot2 - payload), slen = (size_t)(end - signature);
    p->memory = malloc(BASE64URL_DECODED(hlen) + BASE64URL_DECODED(plen) + BASE64URL_DECODED(slen));
    if (p->memory == NULL) return JWT_NO_MEMORY;
    uint8_t *h = p->memory, *c = h + BASE64URL_DECODED(hlen), *s = c + BASE64URL_DECODED(plen);
    p->signed_text = token;
    p->signed_len = (size_t)(dot2 - token);
    p->header = h;
    p->payload = c;
    p->signature = s;
    if (!base64url_decode(token, hlen, h, &p->header_len) || !base64url_decode(payload, plen, c, &p->payload_len) ||
        !base64url_decode(signature, slen, s, &p->signature_len))
        return JWT_BAD_BASE64;
    return JWT_OK;
}

static json_t *parse_object(const uint8_t *data, size_t len) {
    /* jansson refuses trailing text, invalid UTF-8, NUL in strings, and nesting over its own limit. */
    json_t *v = json_loadb((const char *)data, len, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(v)) return v;
    json_decref(v);
    return NULL;
}

/* --- the header --- */

static bool typ_is_fine(const json_t *typ) {
    static const char *const fine[] = {"JWT", "at+jwt", "application/at+jwt"};
    const char *s = json_string_value(typ);
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
        if (strcasecmp(s, fine[i]) == 0) return true;
    return false;
}

static enum jwt_rc read_header(const json_t *header, enum jwt_alg *alg, const char **kid) {
    /* Extensions that change what is signed or how it is read, and keys that the sender would choose. */
    static const char *const refused[] = {"crit", "b64", "zip", "jku", "jwk", "x5u", "x5c"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (json_object_get(header, refused[i]) != NULL) return JWT_HEADER_REFUSED;
    const json_t *typ = json_object_get(header, "typ"), *k = json_object_get(header, "kid"), *a = json_object_get(header, "alg");
    if (typ != NULL && !json_is_string(typ)) return JWT_BAD_HEADER;
    if (typ != NULL && !typ_is_fine(typ)) return JWT_BAD_TYP;
    if (k != NULL && !json_is_string(k)) return JWT_BAD_HEADER;
    if (!json_is_string(a)) return JWT_BAD_HEADER;
    *kid = k == NULL ? NULL : json_string_value(k);
    if (strcmp(json_string_value(a), "RS256") == 0)
        *alg = JWT_RS256;
    else if (strcmp(json_string_value(a), "ES256") == 0)
        *alg = JWT_ES256;
    else
        return JWT_ALG_REFUSED;
    return JWT_OK;
}

/* --- the signature --- */

/* ES256's r and s to the DER that OpenSSL takes; its length, 0 on failure. */
static int es256_to_der(const uint8_t raw[ES256_LEN], uint8_t **der) {
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, ES256_LEN / 2, NULL), *s = BN_bin2bn(raw + ES256_LEN / 2, ES256_LEN / 2, NULL);
    int len = 0;
    if (sig != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(sig, r, s) == 1) {
        r = s = NULL; /* sig owns them now */
        len = i2d_ECDSA_SIG(sig, der);
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return len > 0 ? len : 0;
}

static bool digest_verify(EVP_PKEY *pkey, const uint8_t *sig, size_t sig_len, const struct parts *p) {
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, pkey) == 1 &&
              EVP_DigestVerify(ctx, sig, sig_len, (const uint8_t *)p->signed_text, p->signed_len) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return ok;
}

static enum jwt_rc verify_signature(const struct parts *p, enum jwt_alg alg, const struct jwks_key *key) {
    if (alg == JWT_RS256) return digest_verify(key->pkey, p->signature, p->signature_len, p) ? JWT_OK : JWT_BAD_SIGNATURE;
    if (p->signature_len != ES256_LEN) return JWT_BAD_SIGNATURE;
    uint8_t *der = NULL;
    int len = es256_to_der(p->signature, &der);
    bool ok = len > 0 && digest_verify(key->pkey, der, (size_t)len, p);
    OPENSSL_free(der);
    return ok ? JWT_OK : JWT_BAD_SIGNATURE;
}

static enum jwt_rc find_key(const struct jwt_issuer *iss, enum jwt_alg alg, const char *kid, struct jwks_key *key) {
    if ((iss->algs & (unsigned)alg) == 0) return JWT_ALG_REFUSED;
    switch (jwks_find(iss->keys, alg, kid, key)) {
    case JWKS_FOUND: return JWT_OK;
    case JWKS_UNKNOWN: return JWT_UNKNOWN_KEY;
    case JWKS_MISMATCH: return JWT_KEY_MISMATCH;
    case JWKS_AMBIGUOUS: return JWT_AMBIGUOUS_KEY;
    }
    return JWT_UNKNOWN_KEY;
}

/* --- the claims --- */

static const struct jwt_issuer *find_issuer(const struct jwt_conf *conf, const json_t *claims) {
    const char *iss = json_string_value(json_object_get(claims, "iss"));
    for (size_t i = 0; iss != NULL && i < conf->nissuers; i++)
        if (strcmp(conf->issuers[i].issuer, iss) == 0) return &conf->issuers[i];
    return NULL;
}

static bool is_our_audience(const struct jwt_issuer *iss, const json_t *aud) {
    for (size_t i = 0; i < iss->naudiences; i++)
        if (strcmp(iss->audiences[i], json_string_value(aud)) == 0) return true;
    return false;
}

static enum jwt_rc check_audience(const struct jwt_issuer *iss, const json_t *claims) {
    const json_t *aud = json_object_get(claims, "aud");
    bool ours = false;
    if (json_is_string(aud)) return is_our_audience(iss, aud) ? JWT_OK : JWT_BAD_AUDIENCE;
    for (size_t i = 0; i < json_array_size(aud); i++) {
        const json_t *one = json_array_get(aud, i);
        if (!json_is_string(one)) return JWT_BAD_AUDIENCE;
        ours = ours || is_our_audience(iss, one);
    }
    return ours ? JWT_OK : JWT_BAD_AUDIENCE;
}

/* RFC 7519, section 2: NumericDate, which may have a fraction. */
static bool read_time(const json_t *v, int64_t *seconds) {
    if (!json_is_number(v)) return false;
    double d = json_number_value(v);
    if (!(d >= 0 && d <= TIME_MAX)) return false;
    *seconds = json_is_integer(v) ? (int64_t)json_integer_value(v) : (int64_t)floor(d);
    return true;
}

static enum jwt_rc check_times(const struct jwt_issuer *iss, const json_t *claims, int64_t now, struct jwt_identity *id) {
    const json_t *exp = json_object_get(claims, "exp");
    static const char *const starts[] = {"nbf", "iat"};
    if (exp == NULL) return JWT_NO_EXPIRY;
    if (!read_time(exp, &id->exp)) return JWT_BAD_TIME;
    id->valid_until = id->exp + (int64_t)iss->leeway;
    if (now >= id->valid_until) return JWT_EXPIRED;
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        const json_t *v = json_object_get(claims, starts[i]);
        int64_t from;
        if (v == NULL) continue;
        if (!read_time(v, &from)) return JWT_BAD_TIME;
        if (from - (int64_t)iss->leeway > now) return JWT_NOT_YET;
    }
    return JWT_OK;
}

/* A claim by its whole name ("https://shop.example/groups"), else by a dotted path ("realm_access.roles"). */
static const json_t *find_claim(const json_t *object, const char *path) {
    for (;;) {
        const json_t *v = json_object_get(object, path);
        const char *dot = strchr(path, '.');
        char name[JWT_NAME_MAX + 1];
        if (v != NULL || dot == NULL || (size_t)(dot - path) >= sizeof name) return v;
        memcpy(name, path, (size_t)(dot - path));
        name[dot - path] = '\0';
        object = json_object_get(object, name);
        path = dot + 1;
    }
}

/* Characters that hide or reorder others: a name is shown to people who decide by it. s is valid UTF-8. */
static bool is_hidden(uint32_t c) {
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x61c || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || c >= 0xe0000;
}

static bool is_name(const char *s, size_t len) {
    if (len == 0 || len > JWT_NAME_MAX) return false;
    for (size_t i = 0; i < len;) {
        uint8_t a = (uint8_t)s[i++];
        uint32_t c = a < 0x80 ? a : a < 0xe0 ? a & 0x1fu : a < 0xf0 ? a & 0x0fu : a & 0x07u;
        for (; i < len && ((uint8_t)s[i] & 0xc0) == 0x80; i++) c = c << 6 | ((uint8_t)s[i] & 0x3fu);
        if (is_hidden(c)) return false;
    }
    return true;
}

static enum jwt_rc read_principal(const struct jwt_issuer *iss, const json_t *claims, struct jwt_identity *id) {
    const json_t *v = find_claim(claims, iss->principal_claim == NULL ? "sub" : iss->principal_claim);
    if (!json_is_string(v) || !is_name(json_string_value(v), json_string_length(v))) return JWT_BAD_PRINCIPAL;
    id->principal = strdup(json_string_value(v));
    return id->principal == NULL ? JWT_NO_MEMORY : JWT_OK;
}

static enum jwt_rc add_group(struct jwt_identity *id, const char *name, size_t len) {
    if (id->ngroups == JWT_GROUPS_MAX || !is_name(name, len)) return JWT_BAD_GROUPS;
    if (id->groups == NULL) id->groups = calloc(JWT_GROUPS_MAX, sizeof *id->groups);
    if (id->groups == NULL) return JWT_NO_MEMORY;
    id->groups[id->ngroups] = strndup(name, len);
    if (id->groups[id->ngroups] == NULL) return JWT_NO_MEMORY;
    id->ngroups++;
    return JWT_OK;
}

static enum jwt_rc read_groups(const struct jwt_issuer *iss, const json_t *claims, struct jwt_identity *id) {
    const json_t *v = find_claim(claims, iss->groups_claim == NULL ? "groups" : iss->groups_claim);
    enum jwt_rc rc = JWT_OK;
    if (v == NULL) return JWT_OK;
    if (json_is_string(v)) {
        for (const char *s = json_string_value(v); rc == JWT_OK && *(s += strspn(s, " ")) != '\0';) {
            size_t len = strcspn(s, " ");
            rc = add_group(id, s, len);
            s += len;
        }
        return rc;
    }
    if (!json_is_array(v)) return JWT_BAD_GROUPS;
    for (size_t i = 0; rc == JWT_OK && i < json_array_size(v); i++) {
        const json_t *g = json_array_get(v, i);
        rc = json_is_string(g) ? add_group(id, json_string_value(g), json_string_length(g)) : JWT_BAD_GROUPS;
    }
    return rc;
}

static enum jwt_rc read_identity(const struct jwt_issuer *iss, const json_t *claims, const char *kid, int64_t now,
                                 struct jwt_identity **out) {
    struct jwt_identity *id = calloc(1, sizeof *id);
    if (id == NULL) return JWT_NO_MEMORY;
    id->issuer = strdup(iss->issuer);
    id->kid = strdup(kid);
    enum jwt_rc rc = id->issuer == NULL || id->kid == NULL ? JWT_NO_MEMORY : check_audience(iss, claims);
    if (rc == JWT_OK) rc = check_times(iss, claims, now, id);
    if (rc == JWT_OK) rc = read_principal(iss, claims, id);
    if (rc == JWT_OK) rc = read_groups(iss, claims, id);
    if (rc == JWT_OK)
        *out = id;
    else
        jwt_identity_free(id);
    return rc;
}

static enum jwt_rc verify_parts(const struct jwt_conf *conf, const struct parts *p, const json_t *header, const json_t *claims, int64_t now,
                                struct jwt_identity **out) {
    enum jwt_alg alg;
    const char *kid;
    struct jwks_key key;
    if (header == NULL) return JWT_BAD_HEADER;
    enum jwt_rc rc = read_header(header, &alg, &kid);
    if (rc != JWT_OK) return rc;
    if (claims == NULL) return JWT_BAD_CLAIMS;
    /* The issuer's name is not proven yet: it only picks the keys that must prove it. */
    const struct jwt_issuer *iss = find_issuer(conf, claims);
    if (iss == NULL) return JWT_BAD_ISSUER;
    rc = find_key(iss, alg, kid, &key);
    if (rc == JWT_OK) rc = verify_signature(p, alg, &key);
    return rc == JWT_OK ? read_identity(iss, claims, key.kid, now, out) : rc;
}

enum jwt_rc jwt_verify(const struct jwt_conf *conf, const char *token, size_t len, int64_t now, struct jwt_identity **out) {
    *out = NULL;
    if (len > (conf->max_token == 0 ? JWT_TOKEN_MAX : conf->max_token)) return JWT_TOO_LONG;
    struct parts p = {0};
    enum jwt_rc rc = take_apart(token, len, &p);
    if (rc == JWT_OK) {
        json_t *header = parse_object(p.header, p.header_len), *claims = parse_object(p.payload, p.payload_len);
        rc = verify_parts(conf, &p, header, claims, now, out);
        json_decref(claims);
        json_decref(header);
    }
    free(p.memory);
    return rc;
}
