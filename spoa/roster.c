#include <config.h>

#include "spoa/roster.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct roster_entry {
    struct roster_entry *next, **link;
    struct registry_target target;
    char *text[8]; /* as in names */
    uint16_t src_port;
    uint64_t started_ms;
    _Atomic int state;
    _Atomic uint64_t statements, refused, rows;
};

static const char *const names[] = {"id", "principal", "issuer", "groups", "database", "user", "src", "application_name"};
#define NAMES (sizeof names / sizeof *names)

struct roster {
    pthread_mutex_t lock;
    struct roster_entry *list;
};

struct roster *roster_new(void) {
    struct roster *r = calloc(1, sizeof *r);
    if (r != NULL) pthread_mutex_init(&r->lock, NULL);
    return r;
}

static void entry_free(struct roster_entry *e) {
    for (size_t i = 0; i < NAMES; i++) free(e->text[i]);
    free(e);
}

void roster_free(struct roster *r) {
    if (r == NULL) return;
    while (r->list != NULL) {
        struct roster_entry *e = r->list;
        r->list = e->next;
        entry_free(e);
    }
    pthread_mutex_destroy(&r->lock);
    free(r);
}

struct roster_entry *roster_enter(struct roster *r, const struct roster_info *i) {
    const char *const from[] = {i->id, i->principal, i->issuer, i->groups, i->database, i->user, i->src, i->application_name};
    struct roster_entry *e = calloc(1, sizeof *e);
    if (e == NULL) return NULL;
    e->target = i->target;
    e->src_port = i->src_port;
    e->started_ms = i->started_ms;
    for (size_t k = 0; k < NAMES; k++) {
        if (from[k] == NULL || (e->text[k] = strdup(from[k])) != NULL) continue;
        entry_free(e);
        return NULL;
    }
    pthread_mutex_lock(&r->lock);
    e->next = r->list;
    e->link = &r->list;
    if (e->next != NULL) e->next->link = &e->next;
    r->list = e;
    pthread_mutex_unlock(&r->lock);
    return e;
}

void roster_leave(struct roster *r, struct roster_entry *e) {
    if (e == NULL) return;
    pthread_mutex_lock(&r->lock);
    *e->link = e->next;
    if (e->next != NULL) e->next->link = e->link;
    pthread_mutex_unlock(&r->lock);
    entry_free(e);
}

void roster_tell(struct roster_entry *e, enum roster_state state, uint64_t statements, uint64_t refused, uint64_t rows) {
    if (e == NULL) return;
    atomic_store_explicit(&e->state, state, memory_order_relaxed);
    atomic_store_explicit(&e->statements, statements, memory_order_relaxed);
    atomic_store_explicit(&e->refused, refused, memory_order_relaxed);
    atomic_store_explicit(&e->rows, rows, memory_order_relaxed);
}

static json_t *entry_json(const struct roster_entry *e) {
    static const char *const states[] = {"idle", "being judged", "running", "waits for approval"};
    char started[32];
    time_t at = (time_t)(e->started_ms / 1000);
    struct tm tm;
    json_t *o = json_object();
    gmtime_r(&at, &tm);
    strftime(started, sizeof started, "%Y-%m-%dT%H:%M:%SZ", &tm);
    for (size_t i = 0; i < NAMES; i++)
        if (e->text[i] != NULL) json_object_set_new(o, names[i], json_string(e->text[i]));
    json_object_set_new(o, "src_port", json_integer(e->src_port));
    json_object_set_new(o, "started", json_string(started));
    json_object_set_new(o, "state", json_string(states[atomic_load(&e->state)]));
    json_object_set_new(o, "statements", json_integer((json_int_t)atomic_load(&e->statements)));
    json_object_set_new(o, "refused", json_integer((json_int_t)atomic_load(&e->refused)));
    json_object_set_new(o, "rows", json_integer((json_int_t)atomic_load(&e->rows)));
    return o;
}

json_t *roster_list(struct roster *r) {
    json_t *list = json_array();
    pthread_mutex_lock(&r->lock);
    for (const struct roster_entry *e = r->list; list != NULL && e != NULL; e = e->next) json_array_insert_new(list, 0, entry_json(e));
    pthread_mutex_unlock(&r->lock);
    return list;
}

static struct roster_entry *find(struct roster *r, const char *id) {
    struct roster_entry *e = r->list;
    while (e != NULL && strcmp(e->text[0], id) != 0) e = e->next;
    return e;
}

json_t *roster_show(struct roster *r, const char *id) {
    pthread_mutex_lock(&r->lock);
    const struct roster_entry *e = find(r, id);
    json_t *o = e == NULL ? NULL : entry_json(e);
    pthread_mutex_unlock(&r->lock);
    return o;
}

bool roster_find(struct roster *r, const char *id, struct registry_target *target) {
    pthread_mutex_lock(&r->lock);
    const struct roster_entry *e = find(r, id);
    if (e != NULL) *target = e->target;
    pthread_mutex_unlock(&r->lock);
    return e != NULL;
}
