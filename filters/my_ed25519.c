/* Ed25519 (RFC 8032) over OpenSSL's big numbers, for secrets that are no seeds. Both branches of each step are computed, whatever the bit is. */
#include "filters/my_auth.h"

#include <openssl/bn.h>
#include <openssl/evp.h>
#include <string.h>

#define LEN  32u
#define HASH 64u

struct point { /* extended homogeneous coordinates: x = X/Z, y = Y/Z, xy = T/Z */
    BIGNUM *x, *y, *z, *t;
};

struct curve {
    BN_CTX *ctx;
    BIGNUM *p, *l, *d2; /* the field, the group's order, 2 d */
    BIGNUM *tmp[8];
    struct point base, sum, dbl, alt;
    bool ok;
};

static bool sha512(uint8_t out[HASH], const void *a, size_t alen, const void *b, size_t blen, const void *c, size_t clen) {
    unsigned n = 0;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha512(), NULL) == 1 && EVP_DigestUpdate(ctx, a, alen) == 1 &&
              (blen == 0 || EVP_DigestUpdate(ctx, b, blen) == 1) && (clen == 0 || EVP_DigestUpdate(ctx, c, clen) == 1) &&
              EVP_DigestFinal_ex(ctx, out, &n) == 1 && n == HASH;
    EVP_MD_CTX_free(ctx);
    return ok;
}

static BIGNUM *fresh(struct curve *c) {
    BIGNUM *n = BN_CTX_get(c->ctx);
    c->ok = c->ok && n != NULL;
    return n;
}

static BIGNUM *from_hex(struct curve *c, const char *hex) {
    BIGNUM *n = fresh(c);
    c->ok = c->ok && BN_hex2bn(&n, hex) > 0;
    return n;
}

static void mul(struct curve *c, BIGNUM *r, const BIGNUM *a, const BIGNUM *b) { c->ok = c->ok && BN_mod_mul(r, a, b, c->p, c->ctx) == 1; }
static void add(struct curve *c, BIGNUM *r, const BIGNUM *a, const BIGNUM *b) { c->ok = c->ok && BN_mod_add_quick(r, a, b, c->p) == 1; }
static void sub(struct curve *c, BIGNUM *r, const BIGNUM *a, const BIGNUM *b) { c->ok = c->ok && BN_mod_sub_quick(r, a, b, c->p) == 1; }

static void point_new(struct curve *c, struct point *q) { *q = (struct point){fresh(c), fresh(c), fresh(c), fresh(c)}; }

/* RFC 8032, section 5.1.4: holds for equal points too. r may be a or b. */
static void point_add(struct curve *c, struct point *r, const struct point *a, const struct point *b) {
    BIGNUM **t = c->tmp;
    sub(c, t[0], a->y, a->x);
    sub(c, t[1], b->y, b->x);
    mul(c, t[0], t[0], t[1]); /* A */
    add(c, t[1], a->y, a->x);
    add(c, t[2], b->y, b->x);
    mul(c, t[1], t[1], t[2]); /* B */
    mul(c, t[2], a->t, c->d2);
    mul(c, t[2], t[2], b->t); /* C */
    mul(c, t[3], a->z, b->z);
    add(c, t[3], t[3], t[3]); /* D */
    sub(c, t[4], t[1], t[0]); /* E */
    sub(c, t[5], t[3], t[2]); /* F */
    add(c, t[6], t[3], t[2]); /* G */
    add(c, t[7], t[1], t[0]); /* H */
    mul(c, r->x, t[4], t[5]);
    mul(c, r->y, t[6], t[7]);
    mul(c, r->t, t[4], t[7]);
    mul(c, r->z, t[5], t[6]);
}

static void point_set(struct curve *c, struct point *r, const struct point *a) {
    c->ok =
        c->ok && BN_copy(r->x, a->x) != NULL && BN_copy(r->y, a->y) != NULL && BN_copy(r->z, a->z) != NULL && BN_copy(r->t, a->t) != NULL;
}

static void point_swap(struct point *a, struct point *b, unsigned bit) {
    int words = LEN / (int)sizeof(BN_ULONG);
    BN_consttime_swap(bit, a->x, b->x, words);
    BN_consttime_swap(bit, a->y, b->y, words);
    BN_consttime_swap(bit, a->z, b->z, words);
    BN_consttime_swap(bit, a->t, b->t, words);
}

static void widen(struct curve *c, struct point *q) { /* room for every word, as the swap wants it */
    BIGNUM *all[] = {q->x, q->y, q->z, q->t};
    for (size_t i = 0; c->ok && i < 4; i++) {
        c->ok = BN_set_bit(all[i], 8 * (int)LEN) == 1;
        BN_zero(all[i]);
    }
}

/* scalar (little-endian) times the base point, encoded (section 5.1.2). */
static void base_times(struct curve *c, const uint8_t scalar[LEN], uint8_t out[LEN]) {
    widen(c, &c->sum);
    widen(c, &c->alt);
    c->ok = c->ok && BN_one(c->sum.y) == 1 && BN_one(c->sum.z) == 1;
    point_set(c, &c->dbl, &c->base);
    for (unsigned i = 0; c->ok && i < 8 * LEN; i++) {
        unsigned bit = scalar[i / 8] >> (i % 8) & 1u;
        point_add(c, &c->alt, &c->sum, &c->dbl);
        if (c->ok) point_swap(&c->sum, &c->alt, bit);
        point_add(c, &c->dbl, &c->dbl, &c->dbl);
    }
    BIGNUM *inverse = c->ok ? BN_mod_inverse(c->tmp[0], c->sum.z, c->p, c->ctx) : NULL;
    c->ok = inverse != NULL;
    if (!c->ok) return;
    mul(c, c->tmp[1], c->sum.x, inverse);
    mul(c, c->tmp[2], c->sum.y, inverse);
    c->ok = c->ok && BN_bn2lebinpad(c->tmp[2], out, LEN) == (int)LEN;
    if (c->ok && BN_is_odd(c->tmp[1])) out[LEN - 1] |= 0x80;
}

/* A hash as a number below the group's order. */
static void reduce(struct curve *c, const uint8_t hash[HASH], BIGNUM *r) {
    c->ok = c->ok && BN_lebin2bn(hash, HASH, r) != NULL && BN_nnmod(r, r, c->l, c->ctx) == 1;
}

static void curve_init(struct curve *c) {
    memset(c, 0, sizeof *c);
    c->ctx = BN_CTX_secure_new();
    c->ok = c->ctx != NULL;
    if (!c->ok) return;
    BN_CTX_start(c->ctx);
    c->p = from_hex(c, "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed");
    c->l = from_hex(c, "1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed");
    c->d2 = from_hex(c, "2406d9dc56dffce7198e80f2eef3d13000e0149a8283b156ebd69b9426b2f159");
    for (size_t i = 0; i < 8; i++) c->tmp[i] = fresh(c);
    point_new(c, &c->sum);
    point_new(c, &c->dbl);
    point_new(c, &c->alt);
    c->base.x = from_hex(c, "216936d3cd6e53fec0a4e231fdd6dc5c692cc7609525a7b2c9562d608f25d51a");
    c->base.y = from_hex(c, "6666666666666666666666666666666666666666666666666666666666666658");
    c->base.z = fresh(c);
    c->base.t = fresh(c);
    c->ok = c->ok && BN_one(c->base.z) == 1;
    if (c->ok) mul(c, c->base.t, c->base.x, c->base.y);
}

bool my_ed25519_sign(const void *password, size_t password_len, const void *message, size_t message_len, uint8_t signature[64]) {
    struct curve c;
    uint8_t secret[HASH], hash[HASH], nonce[LEN], public[LEN];
    curve_init(&c);
    BIGNUM *r = c.ok ? fresh(&c) : NULL, *k = c.ok ? fresh(&c) : NULL, *a = c.ok ? fresh(&c) : NULL;
    c.ok =
        c.ok && sha512(secret, password, password_len, NULL, 0, NULL, 0) && sha512(hash, secret + LEN, LEN, message, message_len, NULL, 0);
    secret[0] &= 248;
    secret[LEN - 1] = (uint8_t)((secret[LEN - 1] & 63) | 64);
    if (c.ok) reduce(&c, hash, r);
    c.ok = c.ok && BN_bn2lebinpad(r, nonce, LEN) == (int)LEN;
    if (c.ok) base_times(&c, nonce, signature);
    if (c.ok) base_times(&c, secret, public);
    c.ok = c.ok && sha512(hash, signature, LEN, public, LEN, message, message_len) && BN_lebin2bn(secret, LEN, a) != NULL;
    if (c.ok) reduce(&c, hash, k);
    c.ok = c.ok && BN_mod_mul(k, k, a, c.l, c.ctx) == 1 && BN_mod_add(k, k, r, c.l, c.ctx) == 1 &&
           BN_bn2lebinpad(k, signature + LEN, LEN) == (int)LEN;
    gh_wipe(secret, sizeof secret);
    gh_wipe(nonce, sizeof nonce);
    gh_wipe(hash, sizeof hash);
    if (c.ctx != NULL) BN_CTX_end(c.ctx);
    BN_CTX_free(c.ctx); /* clears what it gave out */
    return c.ok;
}
