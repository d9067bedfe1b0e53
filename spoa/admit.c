#include "spoa/admit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024u /* a power of two */

struct admits {
    pthread_mutex_t lock;
    size_t max, count;
    struct admit *bucket[BUCKETS];
    struct admit *oldest, *newest; /* lifetimes are alike: the oldest expires first */
};

void admit_free(struct admit *a) {
    if (a == NULL) return;
    cert_free(a->cert);
    free(a);
}

struct admits *admits_new(size_t max) {
    struct admits *t = calloc(1, sizeof *t);
    if (t == NULL) return NULL;
    pthread_mutex_init(&t->lock, NULL);
    t->max = max;
    return t;
}

void admits_free(struct admits *t) {
    if (t == NULL) return;
    for (struct admit *a = t->oldest, *next; a != NULL; a = next) {
        next = a->newer;
        admit_free(a);
    }
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* Session ids are random: 64 bits of ours, which nobody chooses. */
static struct admit **bucket_of(struct admits *t, const char *sid) {
    uint32_t h = 2166136261u;
    for (; *sid != '\0'; sid++) h = (h ^ (unsigned char)*sid) * 16777619u;
    return &t->bucket[h & (BUCKETS - 1)];
}

static void unlink_entry(struct admits *t, struct admit *a) {
    struct admit **link = bucket_of(t, a->sid);
    while (*link != a) link = &(*link)->next;
    *link = a->next;
    *(a->older != NULL ? &a->older->newer : &t->oldest) = a->newer;
    *(a->newer != NULL ? &a->newer->older : &t->newest) = a->older;
    a->next = a->newer = a->older = NULL;
    t->count--;
}

static void expire(struct admits *t, uint64_t now_ms) {
    while (t->oldest != NULL && t->oldest->expiry_ms <= now_ms) {
        struct admit *a = t->oldest;
        unlink_entry(t, a);
        admit_free(a);
    }
}

bool admits_put(struct admits *t, struct admit *a, uint64_t now_ms, uint64_t ttl_ms) {
    pthread_mutex_lock(&t->lock);
    expire(t, now_ms);
    bool room = t->count < t->max;
    if (room) {
        struct admit **bucket = bucket_of(t, a->sid);
        a->expiry_ms = now_ms + ttl_ms;
        a->next = *bucket;
        *bucket = a;
        a->newer = NULL;
        a->older = t->newest;
        *(t->newest != NULL ? &t->newest->newer : &t->oldest) = a;
        t->newest = a;
        t->count++;
    }
    pthread_mutex_unlock(&t->lock);
    return room;
}

struct admit *admits_take(struct admits *t, const char *sid, uint64_t now_ms) {
    pthread_mutex_lock(&t->lock);
    expire(t, now_ms);
    struct admit *a = *bucket_of(t, sid);
    while (a != NULL && strcmp(a->sid, sid) != 0) a = a->next;
    if (a != NULL) unlink_entry(t, a);
    pthread_mutex_unlock(&t->lock);
    return a;
}

size_t admits_count(struct admits *t) {
    pthread_mutex_lock(&t->lock);
    size_t n = t->count;
    pthread_mutex_unlock(&t->lock);
    return n;
}
