#include "spoa/jwks.h"

#include "spoa/base64url.h"
#include "spoa/json_read.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 8192
#define RSA_E_BITS   64 /* a larger public exponent only costs time */
#define KID_MAX      255
#define COORD_MAX    66

struct entry {
    EVP_PKEY *pkey;
    char *kid;     /* "" when absent */
    unsigned algs; /* set of enum jwa_alg: all of the key's type and curve, or the one in its "alg" */
};
struct jwks {
    atomic_uint refs;
    size_t count;
    struct entry keys[JWKS_KEYS_MAX];
};

/* Where a sentence about the set goes, and which key it is about. */
struct report {
    char *text;
    size_t size;
    size_t key; /* counted from 1 */
};

static bool complain(const struct report *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool complain(const struct report *r, const char *fmt, ...) {
    va_list ap;
    int n = r->key > 0 ? snprintf(r->text, r->size, "JWKS key %zu: ", r->key) : snprintf(r->text, r->size, "JWKS: ");
    if (n < 0 || (size_t)n >= r->size) return false;
    va_start(ap, fmt);
    vsnprintf(r->text + n, r->size - (size_t)n, fmt, ap);
    va_end(ap);
    return false;
}

/* A member in base64url as bytes; NULL when missing or not strict base64url. The caller frees. */
static uint8_t *member_bytes(const json_t *key, const char *name, size_t *len) {
    const json_t *v = json_object_get(key, name);
    if (!json_is_string(v)) return NULL;
    size_t n = json_string_length(v);
    uint8_t *out = malloc(BASE64URL_DECODED(n));
    if (out == NULL) return NULL;
    if (base64url_decode(json_string_value(v), n, out, len) && *len > 0) return out;
    free(out);
    return NULL;
}

static EVP_PKEY *pkey_from(const char *type, OSSL_PARAM *params) {
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (ctx != NULL && params != NULL && EVP_PKEY_fromdata_init(ctx) == 1) EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params);
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

static EVP_PKEY *build_rsa(const BIGNUM *n, const BIGNUM *e) {
    OSSL_PARAM *params = NULL;
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    if (bld != NULL && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e) == 1)
        params = OSSL_PARAM_BLD_to_param(bld);
    EVP_PKEY *pkey = pkey_from("RSA", params);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    return pkey;
}

static bool take_rsa(const json_t *key, EVP_PKEY **pkey, const struct report *r) {
    size_t nlen = 0, elen = 0;
    uint8_t *nraw = member_bytes(key, "n", &nlen), *eraw = member_bytes(key, "e", &elen);
    bool ok = false;
    BIGNUM *n = NULL, *e = NULL;
    if (nraw == NULL || eraw == NULL) {
        complain(r, "n or e is missing or not base64url");
    } else if (nlen > RSA_BITS_MAX / 8 + 8 || elen > RSA_E_BITS) {
        complain(r, "n or e is too long");
    } else if ((n = BN_bin2bn(nraw, (int)nlen, NULL)) == NULL || (e = BN_bin2bn(eraw, (int)elen, NULL)) == NULL) {
        complain(r, "out of memory");
    } else if (BN_num_bits(n) < RSA_BITS_MIN || BN_num_bits(n) > RSA_BITS_MAX) {
        complain(r, "an RSA key of %d bits; it must have %d to %d", BN_num_bits(n), RSA_BITS_MIN, RSA_BITS_MAX);
    } else if (!BN_is_odd(n) || !BN_is_odd(e) || BN_is_one(e) || BN_num_bits(e) > RSA_E_BITS) {
        complain(r, "not an RSA public key (n and e must be odd, e from 3 to 64 bits)");
    } else {
        *pkey = build_rsa(n, e);
        ok = *pkey != NULL || complain(r, "the library refuses this RSA key");
    }
    BN_free(n);
    BN_free(e);
    free(nraw);
    free(eraw);
    return ok;
}

/* Key types and curves that are for us (RFC 7518, section 6; RFC 8037, section 2). */
static const struct kind {
    const char *kty, *crv; /* crv NULL: the type has none */
    enum jwa_key key;
    const char *group; /* OpenSSL's name of the curve */
    size_t coord;      /* bytes of a coordinate */
} kinds[] = {
    {"RSA", NULL, JWA_RSA, NULL, 0},
    {"EC", "P-256", JWA_P256, "prime256v1", 32},
    {"EC", "P-384", JWA_P384, "secp384r1", 48},
    {"EC", "P-521", JWA_P521, "secp521r1", 66},
    {"OKP", "Ed25519", JWA_ED25519, NULL, 32},
};

static bool take_ec(const json_t *key, const struct kind *k, EVP_PKEY **pkey, const struct report *r) {
    size_t xlen = 0, ylen = 0;
    uint8_t *x = member_bytes(key, "x", &xlen), *y = member_bytes(key, "y", &ylen), point[1 + 2 * COORD_MAX] = {4}; /* uncompressed */
    char group[16];
    bool ok = false;
    if (x == NULL || y == NULL || xlen != k->coord || ylen != k->coord) {
        complain(r, "x or y is missing or not %zu bytes of base64url", k->coord);
    } else {
        memcpy(point + 1, x, k->coord);
        memcpy(point + 1 + k->coord, y, k->coord);
        snprintf(group, sizeof group, "%s", k->group);
        OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
                               OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * k->coord),
                               OSSL_PARAM_construct_end()};
        *pkey = pkey_from("EC", params); /* refuses a point that is not on the curve */
        ok = *pkey != NULL || complain(r, "not a point on %s", k->crv);
    }
    free(x);
    free(y);
    return ok;
}

static bool take_okp(const json_t *key, const struct kind *k, EVP_PKEY **pkey, const struct report *r) {
    size_t len = 0;
    uint8_t *x = member_bytes(key, "x", &len);
    bool ok = false;
    if (x == NULL || len != k->coord)
        complain(r, "x is missing or not %zu bytes of base64url", k->coord);
    else {
        *pkey = EVP_PKEY_new_raw_public_key_ex(NULL, k->crv, NULL, x, len);
        ok = *pkey != NULL || complain(r, "the library refuses this %s key", k->crv);
    }
    free(x);
    return ok;
}

static bool member_is(const json_t *key, const char *name, const char *want) {
    const json_t *v = json_object_get(key, name);
    return json_is_string(v) && strcmp(json_string_value(v), want) == 0;
}

/* RFC 7517, sections 4.2 to 4.4: what is said of the key's purpose must be what we need; nothing said is fine. */
static bool is_for_verifying(const json_t *key) {
    const json_t *ops = json_object_get(key, "key_ops");
    if (json_object_get(key, "use") != NULL && !member_is(key, "use", "sig")) return false;
    if (ops == NULL) return true;
    for (size_t i = 0; i < json_array_size(ops); i++) {
        const json_t *op = json_array_get(ops, i);
        if (json_is_string(op) && strcmp(json_string_value(op), "verify") == 0) return true;
    }
    return false;
}

static bool take_kid(struct jwks *set, const json_t *key, struct entry *e, const struct report *r) {
    const json_t *kid = json_object_get(key, "kid");
    if (kid != NULL && (!json_is_string(kid) || json_string_length(kid) == 0 || json_string_length(kid) > KID_MAX))
        return complain(r, "kid is not a string of 1 to %d bytes", KID_MAX);
    const char *text = kid == NULL ? "" : json_string_value(kid);
    for (size_t i = 0; kid != NULL && i < set->count; i++)
        if (strcmp(set->keys[i].kid, text) == 0) return complain(r, "its kid is that of an earlier key");
    e->kid = strdup(text);
    return e->kid != NULL || complain(r, "out of memory");
}

static const struct kind *kind_of(const json_t *key) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (member_is(key, "kty", kinds[i].kty) && (kinds[i].crv == NULL || member_is(key, "crv", kinds[i].crv))) return &kinds[i];
    return NULL;
}

/* RFC 7517, section 4.4: a key that names its algorithm is for that one alone. 0: for none of ours. */
static unsigned algs_of(const json_t *key, enum jwa_key kind) {
    const json_t *alg = json_object_get(key, "alg");
    if (alg == NULL) return jwa_algs_of(kind);
    const struct jwa *a = json_is_string(alg) ? jwa_by_name(json_string_value(alg)) : NULL;
    return a != NULL && a->key == kind ? (unsigned)a->alg : 0;
}

static bool take_key(struct jwks *set, const json_t *key, const struct report *r) {
    if (!json_is_object(key)) return complain(r, "not an object");
    if (!json_is_string(json_object_get(key, "kty"))) return complain(r, "kty is missing or not a string");
    struct entry e = {0};
    const struct kind *k = kind_of(key);
    if (k == NULL) return true;
    if (json_object_get(key, "d") != NULL) return complain(r, "a private key; put public keys only into this set");
    e.algs = algs_of(key, k->key);
    if (e.algs == 0 || !is_for_verifying(key)) return true;
    if (set->count == JWKS_KEYS_MAX) return complain(r, "more than %d keys", JWKS_KEYS_MAX);
    bool ok = k->key == JWA_RSA       ? take_rsa(key, &e.pkey, r)
              : k->key == JWA_ED25519 ? take_okp(key, k, &e.pkey, r)
                                      : take_ec(key, k, &e.pkey, r);
    ok = ok && take_kid(set, key, &e, r);
    ERR_clear_error();
    if (ok) {
        set->keys[set->count++] = e;
        return true;
    }
    EVP_PKEY_free(e.pkey);
    free(e.kid);
    return false;
}

static bool take_keys(struct jwks *set, const json_t *root, struct report *r) {
    const json_t *keys = json_object_get(root, "keys");
    if (!json_is_object(root)) return complain(r, "not a JSON object");
    if (!json_is_array(keys)) return complain(r, "\"keys\" is missing or not an array");
    for (size_t i = 0; i < json_array_size(keys); i++) {
        r->key = i + 1;
        if (!take_key(set, json_array_get(keys, i), r)) return false;
    }
    r->key = 0;
    return set->count > 0 || complain(r, "no key that can verify (RSA, EC on P-256, P-384 or P-521, Ed25519, for signatures)");
}

struct jwks *jwks_parse(const char *text, size_t len, char *err, size_t errlen) {
    struct report r = {err, errlen, 0};
    json_error_t jerr;
    if (len > JWKS_FILE_MAX) {
        complain(&r, "longer than %d bytes", JWKS_FILE_MAX);
        return NULL;
    }
    json_t *root = json_read(text, len, JSON_REJECT_DUPLICATES, &jerr);
    if (root == NULL) {
        complain(&r, "not valid JSON, line %d column %d: %s", jerr.line, jerr.column, jerr.text);
        return NULL;
    }
    struct jwks *set = calloc(1, sizeof *set);
    if (set == NULL) {
        complain(&r, "out of memory");
    } else {
        atomic_init(&set->refs, 1);
        if (!take_keys(set, root, &r)) {
            jwks_unref(set);
            set = NULL;
        }
    }
    json_decref(root);
    return set;
}

struct jwks *jwks_load(const char *path, char *err, size_t errlen) {
    FILE *f = fopen(path, "rbe");
    if (f == NULL) {
        snprintf(err, errlen, "cannot open the JWKS file %s: %s", path, strerror(errno));
        return NULL;
    }
    struct jwks *set = NULL;
    char *text = malloc(JWKS_FILE_MAX + 1);
    size_t len = text == NULL ? 0 : fread(text, 1, JWKS_FILE_MAX + 1, f);
    if (text == NULL)
        snprintf(err, errlen, "out of memory for the JWKS file %s", path);
    else if (ferror(f))
        snprintf(err, errlen, "cannot read the JWKS file %s: %s", path, strerror(errno));
    else
        set = jwks_parse(text, len, err, errlen);
    free(text);
    fclose(f);
    return set;
}

struct jwks *jwks_ref(struct jwks *set) {
    atomic_fetch_add(&set->refs, 1);
    return set;
}

void jwks_unref(struct jwks *set) {
    if (set == NULL || atomic_fetch_sub(&set->refs, 1) != 1) return;
    for (size_t i = 0; i < set->count; i++) {
        EVP_PKEY_free(set->keys[i].pkey);
        free(set->keys[i].kid);
    }
    free(set);
}

size_t jwks_count(const struct jwks *set) { return set->count; }
const char *jwks_kid(const struct jwks *set, size_t i) { return set->keys[i].kid; }
unsigned jwks_algs(const struct jwks *set, size_t i) { return set->keys[i].algs; }

enum jwks_rc jwks_find(const struct jwks *set, enum jwa_alg alg, const char *kid, struct jwks_key *key) {
    const struct entry *found = NULL;
    for (size_t i = 0; i < set->count; i++) {
        const struct entry *e = &set->keys[i];
        if (kid != NULL) {
            if (e->kid[0] == '\0' || strcmp(e->kid, kid) != 0) continue;
            if ((e->algs & (unsigned)alg) == 0) return JWKS_MISMATCH;
        } else if ((e->algs & (unsigned)alg) == 0) {
            continue;
        }
        if (found != NULL) return JWKS_AMBIGUOUS;
        found = e;
    }
    if (found == NULL) return JWKS_UNKNOWN;
    *key = (struct jwks_key){found->pkey, found->kid};
    return JWKS_FOUND;
}
