#include "spoa/registry.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define BUCKETS 1024u /* sessions are counted in thousands */

struct principal {
    struct principal *next;
    size_t count;
    char name[];
};

struct key {
    struct key *next;
    uint32_t pid, secret;
    struct registry_target target;
    char *owner; /* owned; NULL: it is known by its secret */
};

struct registry {
    pthread_mutex_t lock;
    size_t count;
    uint64_t seed; /* principals come from tokens: nobody may choose their bucket */
    struct principal *principals[BUCKETS];
    struct key *keys[BUCKETS];
};

static void key_free(struct key *k) {
    free(k->owner);
    free(k);
}

struct registry *registry_new(void) {
    struct registry *r = calloc(1, sizeof *r);
    if (r == NULL) return NULL;
    if (getrandom(&r->seed, sizeof r->seed, 0) != (ssize_t)sizeof r->seed) {
        free(r);
        return NULL;
    }
    pthread_mutex_init(&r->lock, NULL);
    return r;
}

void registry_free(struct registry *r) {
    if (r == NULL) return;
    for (size_t i = 0; i < BUCKETS; i++) {
        while (r->principals[i] != NULL) {
            struct principal *p = r->principals[i];
            r->principals[i] = p->next;
            free(p);
        }
        while (r->keys[i] != NULL) {
            struct key *k = r->keys[i];
            r->keys[i] = k->next;
            key_free(k);
        }
    }
    pthread_mutex_destroy(&r->lock);
    free(r);
}

bool registry_enter(struct registry *r, size_t max) {
    pthread_mutex_lock(&r->lock);
    bool ok = r->count < max;
    if (ok) r->count++;
    pthread_mutex_unlock(&r->lock);
    return ok;
}

void registry_leave(struct registry *r) {
    pthread_mutex_lock(&r->lock);
    r->count--;
    pthread_mutex_unlock(&r->lock);
}

size_t registry_count(struct registry *r) {
    pthread_mutex_lock(&r->lock);
    size_t n = r->count;
    pthread_mutex_unlock(&r->lock);
    return n;
}

static struct principal **principal_at(struct registry *r, const char *name) {
    uint64_t h = r->seed;
    for (const char *c = name; *c != '\0'; c++) h = (h ^ (unsigned char)*c) * 0x100000001b3u;
    struct principal **p = &r->principals[(h ^ h >> 32) % BUCKETS];
    while (*p != NULL && strcmp((*p)->name, name) != 0) p = &(*p)->next;
    return p;
}

bool registry_principal_enter(struct registry *r, const char *name, size_t max) {
    bool ok = false;
    pthread_mutex_lock(&r->lock);
    struct principal **p = principal_at(r, name);
    if (*p == NULL && max > 0) {
        size_t size = strlen(name) + 1;
        *p = calloc(1, sizeof **p + size);
        if (*p != NULL) memcpy((*p)->name, name, size);
    }
    if (*p != NULL && (*p)->count < max) {
        (*p)->count++;
        ok = true;
    }
    pthread_mutex_unlock(&r->lock);
    return ok;
}

void registry_principal_leave(struct registry *r, const char *name) {
    pthread_mutex_lock(&r->lock);
    struct principal **p = principal_at(r, name);
    if (*p != NULL && --(*p)->count == 0) {
        struct principal *gone = *p;
        *p = gone->next;
        free(gone);
    }
    pthread_mutex_unlock(&r->lock);
}

static struct key **key_at(struct registry *r, uint32_t pid) {
    struct key **k = &r->keys[pid % BUCKETS];
    while (*k != NULL && (*k)->pid != pid) k = &(*k)->next;
    return k;
}

bool registry_key_new(struct registry *r, const struct registry_target *target, uint32_t *pid, uint32_t *secret) {
    struct key *fresh = calloc(1, sizeof *fresh);
    if (fresh == NULL) return false;
    bool ok = false;
    pthread_mutex_lock(&r->lock);
    for (int tries = 0; !ok && tries < 64; tries++) {
        uint32_t word[2];
        if (getrandom(word, sizeof word, 0) != (ssize_t)sizeof word) break;
        word[0] &= 0x7fffffffu; /* drivers keep the process id in a signed int */
        struct key **at = key_at(r, word[0]);
        if (word[0] == 0 || *at != NULL) continue;
        *fresh = (struct key){NULL, word[0], word[1], *target, NULL};
        *at = fresh;
        *pid = word[0];
        *secret = word[1];
        ok = true;
    }
    pthread_mutex_unlock(&r->lock);
    if (!ok) free(fresh);
    return ok;
}

bool registry_key_add(struct registry *r, const struct registry_target *target, uint32_t id, const char *owner) {
    struct key *fresh = calloc(1, sizeof *fresh);
    uint32_t secret;
    char *copy = strdup(owner);
    if (fresh == NULL || copy == NULL || getrandom(&secret, sizeof secret, 0) != (ssize_t)sizeof secret) {
        free(copy);
        free(fresh);
        return false;
    }
    *fresh = (struct key){NULL, id, secret, *target, copy};
    pthread_mutex_lock(&r->lock);
    struct key **at = key_at(r, id);
    bool ok = *at == NULL;
    if (ok) *at = fresh;
    pthread_mutex_unlock(&r->lock);
    if (!ok) key_free(fresh);
    return ok;
}

bool registry_key_owned(struct registry *r, uint32_t id, const char *owner, struct registry_target *target) {
    pthread_mutex_lock(&r->lock);
    const struct key *k = *key_at(r, id);
    bool ok = k != NULL && k->owner != NULL && strcmp(k->owner, owner) == 0;
    if (ok) *target = k->target;
    pthread_mutex_unlock(&r->lock);
    return ok;
}

bool registry_key_taken(struct registry *r, uint32_t id) {
    pthread_mutex_lock(&r->lock);
    bool taken = *key_at(r, id) != NULL;
    pthread_mutex_unlock(&r->lock);
    return taken;
}

void registry_key_drop(struct registry *r, uint32_t pid) {
    pthread_mutex_lock(&r->lock);
    struct key **k = key_at(r, pid);
    if (*k != NULL) {
        struct key *gone = *k;
        *k = gone->next;
        key_free(gone);
    }
    pthread_mutex_unlock(&r->lock);
}

bool registry_key_find(struct registry *r, uint32_t pid, uint32_t secret, struct registry_target *target) {
    pthread_mutex_lock(&r->lock);
    struct key *k = *key_at(r, pid);
    bool ok = k != NULL && CRYPTO_memcmp(&k->secret, &secret, sizeof secret) == 0;
    if (ok) *target = k->target;
    pthread_mutex_unlock(&r->lock);
    return ok;
}
