#include <config.h>

#include "spoa/quota.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS   4096u
#define ALL_MAX   65536u /* principals with a debt; further ones share one */
#define MINUTE_MS 60000u

struct debt { /* what was taken and has not come back */
    struct debt *next;
    uint64_t bytes, seen_ms, told_ms, refused;
    bool told;
    char principal[];
};

struct quotas {
    pthread_mutex_t lock;
    struct debt *buckets[BUCKETS];
    struct debt *others; /* has no name */
    size_t n;
};

struct quotas *quotas_new(void) {
    struct quotas *q = calloc(1, sizeof *q);
    if (q == NULL || (q->others = calloc(1, sizeof *q->others + 1)) == NULL) {
        free(q);
        return NULL;
    }
    pthread_mutex_init(&q->lock, NULL);
    return q;
}

void quotas_free(struct quotas *q) {
    if (q == NULL) return;
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct debt *d = q->buckets[i], *next; d != NULL; d = next) {
            next = d->next;
            free(d);
        }
    free(q->others);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

/* FNV-1a: principals come from identity providers, not from strangers. */
static size_t bucket_of(const char *s) {
    uint64_t h = 14695981039346656037u;
    for (; *s != '\0'; s++) h = (h ^ (unsigned char)*s) * 1099511628211u;
    return (size_t)(h % BUCKETS);
}

static void pay(struct debt *d, uint64_t per_minute, uint64_t now_ms) {
    uint64_t passed = now_ms > d->seen_ms ? now_ms - d->seen_ms : 0;
    uint64_t back = passed >= MINUTE_MS ? d->bytes : (uint64_t)((unsigned __int128)per_minute * passed / MINUTE_MS);
    if (back == 0 && d->bytes > 0) return; /* too short to count: not lost */
    d->bytes = back < d->bytes ? d->bytes - back : 0;
    d->seen_ms = now_ms;
}

/* The principal's; those in its bucket that are paid and have nothing to tell go. */
static struct debt *find(struct quotas *q, const char *principal, uint64_t per_minute, uint64_t now_ms) {
    struct debt **at = &q->buckets[bucket_of(principal)], *d;
    while ((d = *at) != NULL) {
        pay(d, per_minute, now_ms);
        if (strcmp(d->principal, principal) == 0) return d;
        if (d->bytes == 0 && d->refused == 0) {
            *at = d->next;
            free(d);
            q->n--;
        } else
            at = &d->next;
    }
    size_t len = strlen(principal) + 1;
    d = q->n < ALL_MAX ? calloc(1, sizeof *d + len) : NULL;
    if (d == NULL) {
        pay(q->others, per_minute, now_ms);
        return q->others;
    }
    memcpy(d->principal, principal, len);
    d->seen_ms = now_ms;
    *at = d;
    q->n++;
    return d;
}

enum quota quota_take(struct quotas *q, const char *principal, uint64_t bytes, uint64_t per_minute, uint64_t now_ms, uint64_t *refused) {
    enum quota out = QUOTA_OK;
    if (per_minute == 0) return out;
    pthread_mutex_lock(&q->lock);
    struct debt *d = find(q, principal, per_minute, now_ms);
    if (d->bytes == 0 || bytes <= per_minute - (d->bytes < per_minute ? d->bytes : per_minute))
        d->bytes += bytes;
    else {
        d->refused++;
        out = QUOTA_OVER;
        if (!d->told || now_ms - d->told_ms >= QUOTA_REPORT_MS) {
            out = QUOTA_TELL;
            *refused = d->refused;
            d->refused = 0;
            d->told = true;
            d->told_ms = now_ms;
        }
    }
    pthread_mutex_unlock(&q->lock);
    return out;
}
