#include "spoa/daemon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A database that the policy does not list would refuse every login: better said here than there. */
static bool policy_speaks_of_all(const struct snap *s, struct pol_error *err) {
    for (size_t i = 0; i < s->conf->ndatabases; i++) {
        if (pol_policy_has_database(s->policy, s->conf->databases[i].name)) continue;
        *err = (struct pol_error){.key = "databases"};
        snprintf(err->file, sizeof err->file, "%s", s->conf->policy);
        snprintf(err->text, sizeof err->text, "the policy does not list \"%.100s\", which the configuration offers: add it under databases",
                 s->conf->databases[i].name);
        return false;
    }
    return true;
}

static struct snap *load(const char *path, const struct snap *before, bool look, struct pol_error *err) {
    struct snap *s = calloc(1, sizeof *s);
    if (s == NULL) {
        *err = (struct pol_error){.text = "out of memory"};
        return NULL;
    }
    atomic_init(&s->refs, 1);
    s->generation = before == NULL ? 1 : before->generation + 1;
    s->policy_generation = s->generation;
    s->read_at = time(NULL);
    s->conf = look ? conf_look(path, err) : conf_load(path, err);
    if (s->conf != NULL) s->policy = pol_policy_load(s->conf->policy, err);
    if (s->policy != NULL && policy_speaks_of_all(s, err)) {
        bool same = before != NULL && strcmp(pol_policy_hash(before->policy), pol_policy_hash(s->policy)) == 0;
        if (same) s->policy_generation = before->policy_generation;
        return s;
    }
    pol_policy_unref(s->policy);
    conf_free(s->conf);
    free(s);
    return NULL;
}

struct snap *snap_load(const char *path, const struct snap *before, struct pol_error *err) {
    return load(path, before, false, err);
}
struct snap *snap_look(const char *path, struct pol_error *err) {
    return load(path, NULL, true, err);
}

struct snap *snap_ref(struct snap *s) {
    atomic_fetch_add(&s->refs, 1);
    return s;
}

void snap_unref(struct snap *s) {
    if (s == NULL || atomic_fetch_sub(&s->refs, 1) != 1) return;
    pol_policy_unref(s->policy);
    conf_free(s->conf);
    free(s);
}

struct snap *daemon_snap(struct daemon *d) {
    pthread_mutex_lock(&d->lock);
    struct snap *s = snap_ref(d->current);
    pthread_mutex_unlock(&d->lock);
    return s;
}

void daemon_swap(struct daemon *d, struct snap *next) {
    pthread_mutex_lock(&d->lock);
    struct snap *old = d->current;
    d->current = next;
    atomic_store(&d->generation, next->generation);
    pthread_mutex_unlock(&d->lock);
    snap_unref(old);
}

bool daemon_use_keys(struct daemon *d, const struct snap *s) {
    const struct jwt_conf *c = &s->conf->jwt;
    struct keysource **sources = calloc(c->nissuers + 1, sizeof(struct keysource *));
    for (size_t i = 0; sources != NULL && i < c->nissuers; i++) sources[i] = c->issuers[i].source;
    bool ok = sources != NULL && keystore_use(d->keys, sources, c->nissuers);
    free(sources);
    return ok;
}
