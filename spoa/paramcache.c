#include "spoa/paramcache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PARAMS 64u
#define MAX_BYTES  65536u

struct cached {
    struct cached *next;
    char *database, *user;
    struct paramset *set;
};

struct paramcache {
    pthread_mutex_t lock;
    struct cached *list; /* one for each configured database and role */
};

struct paramcache *paramcache_new(void) {
    struct paramcache *c = calloc(1, sizeof *c);
    if (c != NULL) pthread_mutex_init(&c->lock, NULL);
    return c;
}

void paramcache_free(struct paramcache *c) {
    if (c == NULL) return;
    paramcache_forget(c, NULL);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static struct paramset *copy_set(const struct flt_kv *kv, size_t n) {
    size_t bytes = 0;
    if (n > MAX_PARAMS) return NULL;
    for (size_t i = 0; i < n; i++) {
        size_t one = strlen(kv[i].name) + strlen(kv[i].value) + 2;
        if (one > MAX_BYTES - bytes) return NULL;
        bytes += one;
    }
    struct paramset *s = malloc(sizeof *s + n * sizeof(struct flt_kv) + bytes);
    if (s == NULL) return NULL;
    s->n = n;
    char *at = (char *)&s->kv[n];
    for (size_t i = 0; i < n; i++) {
        s->kv[i].name = at;
        at = stpcpy(at, kv[i].name) + 1;
        s->kv[i].value = at;
        at = stpcpy(at, kv[i].value) + 1;
    }
    return s;
}

static struct cached *find(struct paramcache *c, const char *database, const char *user) {
    for (struct cached *e = c->list; e != NULL; e = e->next)
        if (strcmp(e->database, database) == 0 && strcmp(e->user, user) == 0) return e;
    return NULL;
}

static void cached_free(struct cached *e) {
    if (e == NULL) return;
    free(e->set);
    free(e->database);
    free(e->user);
    free(e);
}

static struct cached *add(struct paramcache *c, const char *database, const char *user) {
    struct cached *e = calloc(1, sizeof *e);
    if (e == NULL) return NULL;
    e->database = strdup(database);
    e->user = strdup(user);
    if (e->database == NULL || e->user == NULL) {
        cached_free(e);
        return NULL;
    }
    e->next = c->list;
    c->list = e;
    return e;
}

void paramcache_put(struct paramcache *c, const char *database, const char *user, const struct flt_kv *kv, size_t n) {
    struct paramset *set = copy_set(kv, n);
    if (set == NULL) return;
    pthread_mutex_lock(&c->lock);
    struct cached *e = find(c, database, user);
    if (e == NULL) e = add(c, database, user);
    if (e != NULL) {
        free(e->set);
        e->set = set;
        set = NULL;
    }
    pthread_mutex_unlock(&c->lock);
    free(set);
}

struct paramset *paramcache_get(struct paramcache *c, const char *database, const char *user) {
    pthread_mutex_lock(&c->lock);
    struct cached *e = find(c, database, user);
    struct paramset *set = e == NULL ? NULL : copy_set(e->set->kv, e->set->n);
    pthread_mutex_unlock(&c->lock);
    return set;
}

void paramcache_forget(struct paramcache *c, const char *database) {
    pthread_mutex_lock(&c->lock);
    for (struct cached **e = &c->list; *e != NULL;) {
        struct cached *gone = *e;
        if (database != NULL && strcmp(gone->database, database) != 0) {
            e = &gone->next;
            continue;
        }
        *e = gone->next;
        cached_free(gone);
    }
    pthread_mutex_unlock(&c->lock);
}
