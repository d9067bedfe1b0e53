#include "spoa/jwt.h"

#include "policy/text.h"
#include "spoa/base64url.h"
#include "spoa/json_read.h"
#include "spoa/jwt_int.h"
#include "spoa/keystore.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

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
    case JWT_NO_KEYS: return "no keys of the issuer yet";
    case JWT_UNKNOWN_KEY: return "unknown key";
    case JWT_AMBIGUOUS_KEY: return "no kid and more than one key";
    case JWT_KEY_MISMATCH: return "key does not fit the algorithm";
    case JWT_BAD_SIGNATURE: return "bad signature";
    case JWT_BAD_AUDIENCE: return "wrong audience";
    case JWT_NO_EXPIRY: return "no exp";
    case JWT_BAD_TIME: return "bad time claim";
    case JWT_EXPIRED: return "expired";
    case JWT_NOT_YET: return "not valid yet";
    case JWT_CLAIM_REFUSED: return "required claim missing or different";
    case JWT_BAD_PRINCIPAL: return "bad principal claim";
    case JWT_BAD_GROUPS: return "bad groups claim";
    case JWT_BAD_CLIENT: return "contradictory client claims";
    case JWT_BAD_ATTRIBUTE: return "bad attribute claim";
    case JWT_BAD_BINDING: return "bound to a key in a way that cannot be checked";
    case JWT_BAD_NONCE: return "not the nonce that was sent";
    }
    return "unknown";
}

const char *jwt_reason(enum jwt_rc rc, const struct jwt_why *why, char *out, size_t size) {
    pol_say(out, size, "%s%s%s", jwt_rc_name(rc), why->claim != NULL ? ": " : "", why->claim != NULL ? why->claim : "");
    return out;
}

void jwt_identity_free(struct jwt_identity *id) {
    if (id == NULL) return;
    for (size_t i = 0; i < id->ngroups; i++) free(id->groups[i]);
    free(id->groups);
    for (size_t i = 0; i < id->nattributes; i++) {
        free(id->attributes[i].name);
        free(id->attributes[i].value);
    }
    free(id->attributes);
    free(id->principal);
    free(id->issuer);
    free(id->kid);
    free(id->bound_to);
    free(id);
}

bool jwt_identity_same(const struct jwt_identity *a, const struct jwt_identity *b) {
    if (strcmp(a->issuer, b->issuer) != 0 || strcmp(a->principal, b->principal) != 0) return false;
    if (a->ngroups != b->ngroups || a->nattributes != b->nattributes) return false;
    for (size_t i = 0; i < a->ngroups; i++)
        if (strcmp(a->groups[i], b->groups[i]) != 0) return false;
    for (size_t i = 0; i < a->nattributes; i++)
        if (strcmp(a->attributes[i].name, b->attributes[i].name) != 0 || strcmp(a->attributes[i].value, b->attributes[i].value) != 0)
            return false;
    return true;
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
    json_t *v = json_read((const char *)data, len, JSON_REJECT_DUPLICATES, NULL);
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

static enum jwt_rc read_header(const json_t *header, const struct jwa **alg, const char **kid) {
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
    *alg = jwa_by_name(json_string_value(a));
    return *alg != NULL ? JWT_OK : JWT_ALG_REFUSED;
}

/* --- the signature --- */

/* The key, and whether the signature is its. */
static enum jwt_rc check_signature(const struct jwks *keys, const struct parts *p, const struct jwa *alg, const char *kid,
                                   struct jwks_key *key) {
    switch (jwks_find(keys, alg->alg, kid, key)) {
    case JWKS_FOUND:
        return jwa_verify(alg, key->pkey, p->signature, p->signature_len, p->signed_text, p->signed_len) ? JWT_OK : JWT_BAD_SIGNATURE;
    case JWKS_UNKNOWN: return JWT_UNKNOWN_KEY;
    case JWKS_MISMATCH: return JWT_KEY_MISMATCH;
    case JWKS_AMBIGUOUS: return JWT_AMBIGUOUS_KEY;
    }
    return JWT_UNKNOWN_KEY;
}

/* --- together --- */

static const struct jwt_issuer *find_issuer(const struct jwt_conf *conf, const json_t *claims) {
    const char *iss = json_string_value(json_object_get(claims, "iss"));
    for (size_t i = 0; iss != NULL && i < conf->nissuers; i++)
        if (strcmp(conf->issuers[i].issuer, iss) == 0) return &conf->issuers[i];
    return NULL;
}

/* What an ID token has to say besides (OpenID Connect Core 1.0, section 3.1.3.7, steps 4, 5 and 11). */
static enum jwt_rc check_id_token(const struct jwt_id_wanted *w, const json_t *header, const json_t *claims) {
    const json_t *typ = json_object_get(header, "typ"), *azp = json_object_get(claims, "azp"), *nonce = json_object_get(claims, "nonce");
    if (typ != NULL && strcasecmp(json_string_value(typ), "JWT") != 0) return JWT_BAD_TYP; /* an access token */
    if (azp == NULL ? json_array_size(json_object_get(claims, "aud")) > 1
                    : !json_is_string(azp) || strcmp(json_string_value(azp), w->client_id) != 0)
        return JWT_BAD_AUDIENCE;
    if (!json_is_string(nonce) || json_string_length(nonce) != strlen(w->nonce) || strcmp(json_string_value(nonce), w->nonce) != 0)
        return JWT_BAD_NONCE;
    return json_object_get(claims, "cnf") == NULL ? JWT_OK : JWT_BAD_BINDING;
}

static enum jwt_rc verify_parts(const struct jwt_conf *conf, const struct jwt_id_wanted *id, const struct parts *p, const json_t *header,
                                const json_t *claims, int64_t now, struct jwt_identity **out, struct jwt_why *why) {
    const struct jwa *alg;
    const char *kid;
    struct jwks_key key;
    if (header == NULL) return JWT_BAD_HEADER;
    enum jwt_rc rc = read_header(header, &alg, &kid);
    if (rc != JWT_OK) return rc;
    if (claims == NULL) return JWT_BAD_CLAIMS;
    /* The issuer's name is not proven yet: it only picks the keys that must prove it. */
    const struct jwt_issuer *iss = find_issuer(conf, claims);
    if (iss == NULL) return JWT_BAD_ISSUER;
    if ((iss->algs & (unsigned)alg->alg) == 0) return JWT_ALG_REFUSED;
    struct jwks *keys = iss->keys != NULL ? jwks_ref(iss->keys) : keysource_keys(iss->source);
    if (keys == NULL) {
        why->source = iss->source;
        return JWT_NO_KEYS;
    }
    rc = check_signature(keys, p, alg, kid, &key);
    if (rc == JWT_UNKNOWN_KEY) why->source = iss->source;
    if (rc == JWT_OK && id != NULL) rc = check_id_token(id, header, claims);
    if (rc == JWT_OK) rc = jwt_read_identity(iss, claims, key.kid, now, out, &why->claim);
    jwks_unref(keys);
    return rc;
}

static enum jwt_rc verify(const struct jwt_conf *conf, const struct jwt_id_wanted *id, const char *token, size_t len, int64_t now,
                          struct jwt_identity **out, struct jwt_why *why) {
    *out = NULL;
    *why = (struct jwt_why){NULL, NULL};
    if (len > (conf->max_token == 0 ? JWT_TOKEN_MAX : conf->max_token)) return JWT_TOO_LONG;
    struct parts p = {0};
    enum jwt_rc rc = take_apart(token, len, &p);
    if (rc == JWT_OK) {
        json_t *header = parse_object(p.header, p.header_len), *claims = parse_object(p.payload, p.payload_len);
        rc = verify_parts(conf, id, &p, header, claims, now, out, why);
        json_decref(claims);
        json_decref(header);
    }
    free(p.memory);
    return rc;
}

enum jwt_rc jwt_verify_from(const struct jwt_conf *conf, const char *token, size_t len, int64_t now, struct jwt_identity **out,
                            struct jwt_why *why) {
    return verify(conf, NULL, token, len, now, out, why);
}

enum jwt_rc jwt_verify_id(const struct jwt_issuer *issuer, const struct jwt_id_wanted *wanted, const char *token, size_t len, int64_t now,
                          struct jwt_identity **out, struct jwt_why *why) {
    struct jwt_issuer one = *issuer;
    one.audiences = &wanted->client_id;
    one.naudiences = 1;
    return verify(&(struct jwt_conf){&one, 1, wanted->max_token}, wanted, token, len, now, out, why);
}

enum jwt_rc jwt_verify(const struct jwt_conf *conf, const char *token, size_t len, int64_t now, struct jwt_identity **out) {
    struct jwt_why why;
    return jwt_verify_from(conf, token, len, now, out, &why);
}

int64_t jwt_seconds_ahead(const char *token, size_t len, int64_t now) {
    struct parts p = {0};
    int64_t from, latest = now;
    if (take_apart(token, len, &p) == JWT_OK) {
        json_t *claims = parse_object(p.payload, p.payload_len);
        if (jwt_read_time(json_object_get(claims, "nbf"), &from) && from > latest) latest = from;
        if (jwt_read_time(json_object_get(claims, "iat"), &from) && from > latest) latest = from;
        json_decref(claims);
    }
    free(p.memory);
    return latest - now;
}
