#include "spoa/throttle.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SETS      4096u /* a power of two */
#define WAYS      8u
#define MINUTE_MS 60000u
#define UNIT      1000u /* one bad login */
/* What sources over their budget may still have looked at: a flood of 500 a second leaves room for a good one from the same address. A verification
 * takes 20 to 60 us in the default algorithms, and less than a millisecond in any. */
#define SPARE_PER_SECOND 500u

/* A debt of zero is no debt: the place is free. */
struct debt {
    uint64_t tag;
    uint64_t units;
    uint64_t seen_ms, reported_ms; /* reported: 0 is never */
    uint64_t unreported;
};

/* The ways of a set, and one more that all share for which there is no room: a debt that is not paid is never forgotten for another. */
struct table {
    struct debt debt[SETS][WAYS + 1];
};

struct throttle {
    pthread_mutex_t lock;
    uint8_t secret[16]; /* names and addresses come from strangers: nobody may choose their set */
    uint64_t spare_units, spare_ms;
    atomic_size_t held;
    struct table sources, names;
};

struct throttle *throttle_new(void) {
    struct throttle *t = calloc(1, sizeof *t);
    if (t == NULL) return NULL;
    if (getrandom(t->secret, sizeof t->secret, 0) != (ssize_t)sizeof t->secret) {
        free(t);
        return NULL;
    }
    pthread_mutex_init(&t->lock, NULL);
    return t;
}

void throttle_free(struct throttle *t) {
    if (t == NULL) return;
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* --- debts --- */

/* Where a key belongs, and its tag there, which is not 0. False: the library failed. */
static bool place(const struct throttle *t, const void *key, size_t len, size_t *set, uint64_t *tag) {
    uint8_t digest[EVP_MAX_MD_SIZE], in[sizeof t->secret + 256];
    unsigned n = 0;
    uint32_t word;
    if (len > sizeof in - sizeof t->secret) len = sizeof in - sizeof t->secret; /* longer names share what follows */
    memcpy(in, t->secret, sizeof t->secret);
    memcpy(in + sizeof t->secret, key, len);
    if (EVP_Digest(in, sizeof t->secret + len, digest, &n, EVP_sha256(), NULL) != 1) return false;
    memcpy(&word, digest, sizeof word);
    memcpy(tag, digest + sizeof word, sizeof *tag);
    *set = word & (SETS - 1);
    if (*tag == 0) *tag = 1;
    return true;
}

static void settle(struct debt *d, uint64_t limit, uint64_t now_ms) {
    uint64_t passed = now_ms > d->seen_ms ? now_ms - d->seen_ms : 0;
    uint64_t paid = passed >= MINUTE_MS ? d->units : passed * limit * UNIT / MINUTE_MS;
    if (paid >= d->units) {
        d->units = 0;
        d->seen_ms = now_ms > d->seen_ms ? now_ms : d->seen_ms;
    } else { /* what is too short to pay a unit is not lost */
        d->units -= paid;
        d->seen_ms += paid * MINUTE_MS / (limit * UNIT);
    }
}

/* The key's debt as of now. Without one: a free place when make, else NULL. */
static struct debt *find(struct throttle *t, struct table *table, const void *key, size_t len, uint64_t limit, uint64_t now_ms, bool make) {
    size_t set;
    uint64_t tag;
    struct debt *empty = NULL;
    if (!place(t, key, len, &set, &tag)) return NULL;
    struct debt *ways = table->debt[set];
    for (size_t i = 0; i < WAYS; i++) {
        if (ways[i].tag != 0) settle(&ways[i], limit, now_ms);
        if (ways[i].tag == tag && ways[i].units > 0) return &ways[i];
        if (ways[i].units == 0 && (empty == NULL || ways[i].tag == tag)) empty = &ways[i];
    }
    if (empty == NULL) {
        settle(&ways[WAYS], limit, now_ms);
        return &ways[WAYS];
    }
    if (!make) return NULL;
    *empty = (struct debt){.tag = tag, .seen_ms = now_ms};
    return empty;
}

static bool spent(const struct debt *d, uint64_t limit) { return d->units + UNIT > limit * UNIT; }

/* The bytes of an address that count, after a letter of its family. */
static size_t source_key(const char *src, uint8_t out[64]) {
    struct in6_addr six;
    struct in_addr four;
    if (inet_pton(AF_INET, src, &four) == 1) {
        out[0] = '4';
        memcpy(out + 1, &four, sizeof four);
        return 1 + sizeof four;
    }
    if (inet_pton(AF_INET6, src, &six) == 1 && IN6_IS_ADDR_V4MAPPED(&six)) {
        out[0] = '4';
        memcpy(out + 1, six.s6_addr + 12, 4);
        return 5;
    }
    if (inet_pton(AF_INET6, src, &six) == 1) {
        out[0] = '6';
        memcpy(out + 1, six.s6_addr, 8);
        return 9;
    }
    size_t n = strnlen(src, 63);
    out[0] = '?';
    memcpy(out + 1, src, n);
    return 1 + n;
}

bool throttle_over(struct throttle *t, const struct throttle_limits *l, const char *src, uint64_t now_ms) {
    uint8_t key[64];
    size_t len = source_key(src, key);
    pthread_mutex_lock(&t->lock);
    const struct debt *d = find(t, &t->sources, key, len, l->per_source, now_ms, false);
    bool over = d != NULL && spent(d, l->per_source);
    pthread_mutex_unlock(&t->lock);
    return over;
}

/* True when it was over already. The debt is at most a minute's. */
static bool owe(struct debt *d, uint64_t limit) {
    if (d == NULL) return true; /* no library, no memory of it: the quieter way */
    bool over = spent(d, limit);
    if (!over) d->units += UNIT;
    return over;
}

static void tell(struct debt *d, uint64_t now_ms, struct throttle_news *news) {
    if (d == NULL) return;
    d->unreported++;
    if (d->reported_ms != 0 && now_ms - d->reported_ms < THROTTLE_REPORT_MS) return;
    news->report = true;
    news->unreported = d->unreported;
    d->unreported = 0;
    d->reported_ms = now_ms == 0 ? 1 : now_ms;
}

struct throttle_news throttle_bad(struct throttle *t, const struct throttle_limits *l, const char *src, const char *name, uint64_t now_ms) {
    struct throttle_news news = {0};
    uint8_t key[64];
    size_t len = source_key(src, key);
    pthread_mutex_lock(&t->lock);
    struct debt *source = find(t, &t->sources, key, len, l->per_source, now_ms, true);
    struct debt *named = find(t, &t->names, name, strlen(name), l->per_name, now_ms, true);
    news.over_source = owe(source, l->per_source);
    news.over_name = owe(named, l->per_name);
    if (news.over_source || news.over_name) tell(news.over_source ? source : named, now_ms, &news);
    pthread_mutex_unlock(&t->lock);
    return news;
}

bool throttle_spare(struct throttle *t, uint64_t now_ms) {
    pthread_mutex_lock(&t->lock);
    uint64_t passed = now_ms > t->spare_ms ? now_ms - t->spare_ms : 0;
    t->spare_ms = now_ms > t->spare_ms ? now_ms : t->spare_ms;
    t->spare_units = passed >= 1000 ? SPARE_PER_SECOND * UNIT : t->spare_units + passed * SPARE_PER_SECOND;
    if (t->spare_units > SPARE_PER_SECOND * UNIT) t->spare_units = SPARE_PER_SECOND * UNIT;
    bool ok = t->spare_units >= UNIT;
    if (ok) t->spare_units -= UNIT;
    pthread_mutex_unlock(&t->lock);
    return ok;
}

/* --- answers held back --- */

bool throttle_hold(struct throttle *t, size_t max) {
    if (atomic_fetch_add(&t->held, 1) < max) return true;
    atomic_fetch_sub(&t->held, 1);
    return false;
}

void throttle_unhold(struct throttle *t) { atomic_fetch_sub(&t->held, 1); }

size_t throttle_held(const struct throttle *t) { return atomic_load(&t->held); }

uint64_t throttle_jitter(uint64_t delay_ms) {
    uint16_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random) random = 0;
    return delay_ms + (delay_ms / 2) * random / UINT16_MAX;
}
