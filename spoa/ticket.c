#include "spoa/ticket.h"

#include "filters/bytes.h"
#include "spoa/base64url.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The text: "1.<sid>.<expiry>.<verdict>.<reason>.<mac>"
 *   expiry   milliseconds, 16 hex digits
 *   verdict  'a', 'c' (allowed, with a client certificate) or 'r'
 *   reason   may be empty
 *   mac      HMAC-SHA256 as 43 characters of base64url
 * The MAC covers the text before the last dot, then the source address and port, which are not in the text. */
#define KEY_LEN      TICKET_KEY_LEN
#define MAC_LEN      TICKET_MAC_LEN
#define MAC_TEXT_LEN BASE64URL_LEN(MAC_LEN)
#define SID_LEN      (SID_SIZE - 1)
#define EXPIRY_LEN   16
/* Before the reason: "1.", sid, '.', expiry, '.', verdict, '.' */
#define HEAD_LEN (2 + SID_LEN + 1 + EXPIRY_LEN + 3)
#define SRC_MAX  64

_Static_assert(HEAD_LEN + TICKET_REASON_SIZE - 1 + 1 + MAC_TEXT_LEN < TICKET_SIZE, "the longest ticket fits");

struct ticket_key {
    EVP_MAC *mac;
    uint8_t secret[KEY_LEN];
};

bool sid_make(uint64_t now_ms, char out[SID_SIZE]) {
    uint8_t random[8];
    out[0] = '\0';
    if (RAND_bytes(random, sizeof random) != 1) return false;
    int n = snprintf(out, SID_SIZE, "%012llx-", (unsigned long long)(now_ms & 0xffffffffffffull));
    gh_hex(out + n, random, sizeof random);
    out[SID_SIZE - 1] = '\0';
    return true;
}

struct ticket_key *ticket_key_of(const uint8_t secret[KEY_LEN]) {
    struct ticket_key *k = calloc(1, sizeof *k);
    if (k == NULL) return NULL;
    k->mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    memcpy(k->secret, secret, sizeof k->secret);
    if (k->mac != NULL) return k;
    ticket_key_free(k);
    return NULL;
}

struct ticket_key *ticket_key_new(void) {
    uint8_t secret[KEY_LEN];
    struct ticket_key *k = RAND_bytes(secret, sizeof secret) == 1 ? ticket_key_of(secret) : NULL;
    gh_wipe(secret, sizeof secret);
    return k;
}

void ticket_key_copy(const struct ticket_key *k, uint8_t out[KEY_LEN]) { memcpy(out, k->secret, KEY_LEN); }

void ticket_key_free(struct ticket_key *k) {
    if (k == NULL) return;
    EVP_MAC_free(k->mac);
    gh_wipe(k->secret, sizeof k->secret);
    free(k);
}

static bool compute_mac(const struct ticket_key *k, const char *text, size_t len, const char *src, uint16_t port, uint8_t out[MAC_LEN]) {
    char tail[SRC_MAX + 16], digest[] = "SHA256";
    size_t n = strlen(src), written;
    if (n == 0 || n > SRC_MAX || memchr(src, '\n', n) != NULL) return false;
    /* The ticket's own alphabet has no newline: the three parts cannot be shifted against each other. */
    int tail_len = snprintf(tail, sizeof tail, "\n%s\n%u", src, port);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(k->mac);
    if (ctx == NULL) return false;
    bool ok = EVP_MAC_init(ctx, k->secret, sizeof k->secret, params) == 1 && EVP_MAC_update(ctx, (const uint8_t *)text, len) == 1 &&
              EVP_MAC_update(ctx, (const uint8_t *)tail, (size_t)tail_len) == 1 && EVP_MAC_final(ctx, out, &written, MAC_LEN) == 1 &&
              written == MAC_LEN;
    EVP_MAC_CTX_free(ctx);
    return ok;
}

static bool is_sid(const char *s) { return gh_is_hex(s, 12) && s[12] == '-' && gh_is_hex(s + 13, 16); }

static bool is_reason(const char *s, size_t n) {
    if (n >= TICKET_REASON_SIZE) return false;
    for (size_t i = 0; i < n; i++)
        if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9') || s[i] == '_' || s[i] == '-')) return false;
    return true;
}

/* Capitals: MySQL's protocol. */
static char verdict_letter(const struct ticket *t) {
    if (t->verdict != TICKET_ALLOW) return t->mysql ? 'R' : 'r';
    if (t->certificate) return t->mysql ? 'C' : 'c';
    return t->mysql ? 'A' : 'a';
}

bool ticket_make(const struct ticket_key *k, uint64_t now_ms, uint64_t ttl_ms, const char *src, uint16_t port, const struct ticket *t,
                 char out[TICKET_SIZE]) {
    uint8_t mac[MAC_LEN];
    char text[MAC_TEXT_LEN + 1];
    out[0] = '\0';
    if (strnlen(t->sid, SID_SIZE) != SID_LEN || !is_sid(t->sid)) return false;
    if (!is_reason(t->reason, strnlen(t->reason, TICKET_REASON_SIZE))) return false;
    if (t->verdict != TICKET_ALLOW && t->verdict != TICKET_REFUSE) return false;
    if (ttl_ms > UINT64_MAX - now_ms) return false;
    int n = snprintf(out, TICKET_SIZE, "1.%s.%016llx.%c.%s", t->sid, (unsigned long long)(now_ms + ttl_ms), verdict_letter(t), t->reason);
    if (!compute_mac(k, out, (size_t)n, src, port, mac)) {
        out[0] = '\0';
        return false;
    }
    base64url_encode(mac, MAC_LEN, text);
    snprintf(out + n, TICKET_SIZE - (size_t)n, ".%s", text);
    return true;
}

/* --- what was used --- */

struct used_entry {
    uint8_t mac[MAC_LEN];
    uint64_t expiry;
    size_t next; /* in the bucket's chain: index + 1, 0 at the end */
};

/* A ring in order of use, and hash chains through it. Lifetimes are alike, so the oldest use expires first; one that lives longer
 * only delays forgetting. */
struct ticket_used {
    pthread_mutex_t lock;
    uint64_t now; /* the latest time seen: a clock that steps back must not revive what was forgotten */
    size_t max, head, count, buckets;
    size_t *bucket; /* [buckets]: index + 1 */
    struct used_entry *ring;
};

struct ticket_used *ticket_used_new(size_t max) {
    if (max == 0 || max > SIZE_MAX / 4 / sizeof(struct used_entry)) return NULL;
    struct ticket_used *u = calloc(1, sizeof *u);
    if (u == NULL) return NULL;
    if (pthread_mutex_init(&u->lock, NULL) != 0) {
        free(u);
        return NULL;
    }
    u->max = max;
    u->buckets = 1;
    while (u->buckets < max) u->buckets *= 2;
    u->bucket = calloc(u->buckets, sizeof *u->bucket);
    u->ring = calloc(max, sizeof *u->ring);
    if (u->bucket == NULL || u->ring == NULL) {
        ticket_used_free(u);
        return NULL;
    }
    return u;
}

void ticket_used_free(struct ticket_used *u) {
    if (u == NULL) return;
    pthread_mutex_destroy(&u->lock);
    free(u->bucket);
    free(u->ring);
    free(u);
}

/* The MAC is as good as random to whoever does not hold the key, so its first bytes are the hash. */
static size_t *bucket_of(struct ticket_used *u, const uint8_t mac[MAC_LEN]) {
    uint64_t h;
    memcpy(&h, mac, sizeof h);
    return &u->bucket[h & (u->buckets - 1)];
}

static void forget_oldest(struct ticket_used *u) {
    struct used_entry *e = &u->ring[u->head];
    size_t *link = bucket_of(u, e->mac);
    while (*link != u->head + 1) link = &u->ring[*link - 1].next;
    *link = e->next;
    u->head = (u->head + 1) % u->max;
    u->count--;
}

static enum ticket_rc remember(struct ticket_used *u, const uint8_t mac[MAC_LEN], uint64_t expiry) {
    size_t *bucket = bucket_of(u, mac);
    for (size_t i = *bucket; i != 0; i = u->ring[i - 1].next)
        if (memcmp(u->ring[i - 1].mac, mac, MAC_LEN) == 0) return TICKET_REUSED;
    if (u->count == u->max) return TICKET_FULL;
    size_t at = (u->head + u->count++) % u->max;
    struct used_entry *e = &u->ring[at];
    memcpy(e->mac, mac, MAC_LEN);
    e->expiry = expiry;
    e->next = *bucket;
    *bucket = at + 1;
    return TICKET_OK;
}

static enum ticket_rc use_once(struct ticket_used *u, const uint8_t mac[MAC_LEN], uint64_t expiry, uint64_t now_ms) {
    if (now_ms > u->now) u->now = now_ms;
    if (u->now >= expiry) return TICKET_EXPIRED;
    while (u->count > 0 && u->ring[u->head].expiry <= u->now) forget_oldest(u);
    return remember(u, mac, expiry);
}

size_t ticket_used_copy(struct ticket_used *u, size_t from, struct ticket_use *out, size_t max, uint64_t *now) {
    size_t n = 0;
    pthread_mutex_lock(&u->lock);
    for (; n < max && from + n < u->count; n++) {
        const struct used_entry *e = &u->ring[(u->head + from + n) % u->max];
        memcpy(out[n].mac, e->mac, MAC_LEN);
        out[n].expiry = e->expiry;
    }
    if (now != NULL) *now = u->now;
    pthread_mutex_unlock(&u->lock);
    return n;
}

bool ticket_used_add(struct ticket_used *u, const struct ticket_use *use) {
    pthread_mutex_lock(&u->lock);
    bool ok = remember(u, use->mac, use->expiry) == TICKET_OK;
    pthread_mutex_unlock(&u->lock);
    return ok;
}

void ticket_used_now(struct ticket_used *u, uint64_t now_ms) {
    pthread_mutex_lock(&u->lock);
    if (now_ms > u->now) u->now = now_ms;
    pthread_mutex_unlock(&u->lock);
}

/* --- checking --- */

const char *ticket_rc_name(enum ticket_rc rc) {
    switch (rc) {
    case TICKET_OK: return "ok";
    case TICKET_MALFORMED: return "malformed";
    case TICKET_FORGED: return "forged or wrong source";
    case TICKET_EXPIRED: return "expired";
    case TICKET_REUSED: return "used before";
    case TICKET_FULL: return "too many tickets";
    }
    return "unknown";
}

enum ticket_rc ticket_check(const struct ticket_key *k, struct ticket_used *u, const void *text, size_t len, const char *src, uint16_t port,
                            uint64_t now_ms, struct ticket *t) {
    const char *s = text;
    uint8_t mac[MAC_LEN];
    char want[MAC_TEXT_LEN + 1], hex[EXPIRY_LEN + 1];
    *t = (struct ticket){0};
    if (len < HEAD_LEN + 1 + MAC_TEXT_LEN || len >= TICKET_SIZE) return TICKET_MALFORMED;
    size_t signed_len = len - 1 - MAC_TEXT_LEN;
    const char *expiry = s + 2 + SID_LEN + 1, *verdict = expiry + EXPIRY_LEN + 1, *reason = s + HEAD_LEN;
    if (s[0] != '1' || s[1] != '.' || expiry[-1] != '.' || verdict[-1] != '.' || reason[-1] != '.' || s[signed_len] != '.' ||
        !is_sid(s + 2) || !gh_is_hex(expiry, EXPIRY_LEN) || *verdict == '\0' || strchr("acrACR", *verdict) == NULL ||
        !is_reason(reason, signed_len - HEAD_LEN))
        return TICKET_MALFORMED;
    if (!compute_mac(k, s, signed_len, src, port, mac)) return TICKET_FORGED;
    base64url_encode(mac, MAC_LEN, want);
    if (CRYPTO_memcmp(want, s + signed_len + 1, MAC_TEXT_LEN) != 0) return TICKET_FORGED;
    memcpy(hex, expiry, EXPIRY_LEN);
    hex[EXPIRY_LEN] = '\0';
    uint64_t expiry_ms = strtoull(hex, NULL, 16);
    if (pthread_mutex_lock(&u->lock) != 0) return TICKET_FULL;
    enum ticket_rc rc = use_once(u, mac, expiry_ms, now_ms);
    pthread_mutex_unlock(&u->lock);
    if (rc != TICKET_OK) return rc;
    memcpy(t->sid, s + 2, SID_LEN);
    t->verdict = *verdict == 'r' || *verdict == 'R' ? TICKET_REFUSE : TICKET_ALLOW;
    t->certificate = *verdict == 'c' || *verdict == 'C';
    t->mysql = *verdict >= 'A' && *verdict <= 'Z';
    memcpy(t->reason, reason, signed_len - HEAD_LEN);
    return TICKET_OK;
}
