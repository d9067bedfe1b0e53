#include "filters/pg_names.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct pg_stmt *pg_stmt_new(const char *text, size_t len) {
    struct pg_stmt *s = calloc(1, sizeof *s);
    if (s == NULL) return NULL;
    s->text = malloc(len + 1);
    if (s->text == NULL) {
        free(s);
        return NULL;
    }
    memcpy(s->text, text, len);
    s->text[len] = '\0';
    s->len = len;
    s->refs = 1;
    return s;
}

void pg_stmt_unref(struct pg_stmt *s) {
    if (s == NULL || --s->refs > 0) return;
    if (s->ctx_free != NULL && s->ctx != NULL) s->ctx_free(s->ctx);
    free(s->types);
    free(s->text);
    free(s);
}

struct pg_portal *pg_portal_new(struct pg_stmt *s, const struct flt_param *params, size_t nparams, size_t keep) {
    struct pg_portal *p = gh_zalloc(sizeof *p);
    if (p == NULL) return NULL;
    size_t room = 0;
    if (nparams > keep / PG_PARAM_COST) {
        nparams = keep / PG_PARAM_COST;
        p->cut = true;
    }
    for (size_t i = 0; i < nparams; i++) {
        size_t n = params[i].kept < keep - room ? params[i].kept : keep - room;
        room += n;
    }
    if (nparams > 0) {
        p->params = malloc(nparams * sizeof *p->params + room);
        if (p->params == NULL) {
            free(p);
            return NULL;
        }
    }
    uint8_t *bytes = nparams == 0 ? NULL : (uint8_t *)(p->params + nparams);
    size_t used = 0;
    for (size_t i = 0; i < nparams; i++) {
        size_t n = params[i].kept < room - used ? params[i].kept : room - used;
        p->params[i] = params[i];
        if (params[i].data == NULL) continue;
        if (n > 0) memcpy(bytes + used, params[i].data, n);
        p->params[i].data = bytes + used;
        p->params[i].kept = (uint32_t)n;
        used += n;
    }
    p->nparams = nparams;
    p->bytes = sizeof *p + nparams * sizeof *p->params + room;
    p->stmt = s;
    s->refs++;
    p->refs = 1;
    return p;
}

void pg_portal_unref(struct pg_portal *p) {
    if (p == NULL || --p->refs > 0) return;
    pg_stmt_unref(p->stmt);
    free(p->params);
    free(p);
}

static size_t stmt_bytes(const struct pg_stmt *s) { return s->len + s->ntypes * sizeof *s->types; }

static void *take(struct pg_names *t, void *obj) {
    if (obj == NULL) return NULL;
    if (t->portals) {
        ((struct pg_portal *)obj)->refs++;
        t->bytes += ((struct pg_portal *)obj)->bytes;
    } else {
        ((struct pg_stmt *)obj)->refs++;
        t->bytes += stmt_bytes(obj);
    }
    return obj;
}

static void drop(struct pg_names *t, void **at) {
    void *obj = *at;
    *at = NULL;
    if (obj == NULL) return;
    if (t->portals) {
        t->bytes -= ((struct pg_portal *)obj)->bytes;
        pg_portal_unref(obj);
    } else {
        t->bytes -= stmt_bytes(obj);
        pg_stmt_unref(obj);
    }
}

static struct pg_name **slot(struct pg_names *t, const char *name) {
    /* A table is capped at a few thousand names. Clients choose them: where they meet is for nobody to know. */
    uint64_t h = (uint64_t)(uintptr_t)t * 0x9e3779b97f4a7c15u;
    for (const char *s = name; *s != '\0'; s++) {
        h = (h ^ (uint8_t)*s) * 0xff51afd7ed558ccdu;
        h ^= h >> 29;
    }
    struct pg_name **at = &t->bucket[(h >> 32) % PG_NAME_BUCKETS];
    while (*at != NULL && strcmp((*at)->name, name) != 0) at = &(*at)->next;
    return at;
}

struct pg_name *pg_names_get(struct pg_names *t, const char *name) {
    return *slot(t, name);
}

static void settle(struct pg_names *t, struct pg_name *n) {
    if (n->npend == 0) drop(t, &n->pend);
    if (n->npend > 0 || n->live != NULL || n->doubt) return;
    struct pg_name **at = slot(t, n->name);
    assert(*at == n);
    *at = n->next;
    free(n);
    t->count--;
}

void pg_names_free(struct pg_names *t) {
    for (size_t i = 0; i < PG_NAME_BUCKETS; i++) {
        struct pg_name *n = t->bucket[i];
        while (n != NULL) {
            struct pg_name *next = n->next;
            drop(t, &n->live);
            drop(t, &n->pend);
            free(n);
            n = next;
        }
        t->bucket[i] = NULL;
    }
    t->count = t->npend = 0;
}

void *pg_names_look(struct pg_names *t, const char *name, uint64_t unit, bool *wait) {
    struct pg_name *n = *slot(t, name);
    *wait = false;
    if (n == NULL) return NULL;
    if (n->npend == 0) return n->live;
    *wait = n->unit != unit;
    return n->pend;
}

struct pg_name *pg_names_pend(struct pg_names *t, const char *name, void *obj, uint64_t unit) {
    struct pg_name **at = slot(t, name), *n = *at;
    if (n == NULL) {
        n = gh_zalloc(sizeof *n);
        if (n == NULL) return NULL;
        assert(strlen(name) <= PG_NAME_MAX);
        memcpy(n->name, name, strlen(name) + 1);
        *at = n;
        t->count++;
    }
    void *held = take(t, obj);
    drop(t, &n->pend);
    n->pend = held;
    n->npend++;
    n->unit = unit;
    t->npend++;
    return n;
}

void pg_names_commit(struct pg_names *t, struct pg_name *n, void *obj) {
    assert(n->npend > 0);
    void *held = take(t, obj);
    drop(t, &n->live);
    n->live = held;
    n->doubt = false;
    pg_names_abort(t, n);
}

static void suspect(struct pg_names *t, struct pg_name *n) {
    n->doubt = n->doubt || n->live != NULL;
    drop(t, &n->live);
}

void pg_names_doubt(struct pg_names *t, struct pg_name *n) {
    suspect(t, n);
    pg_names_abort(t, n);
}

void pg_names_suspect(struct pg_names *t, struct pg_name *n) {
    suspect(t, n);
    settle(t, n);
}

static void forget(struct pg_names *t, struct pg_name *n) {
    drop(t, &n->live);
    n->doubt = false;
    settle(t, n);
}

void pg_names_abort(struct pg_names *t, struct pg_name *n) {
    assert(n->npend > 0);
    n->npend--;
    t->npend--;
    settle(t, n);
}

void pg_names_forget(struct pg_names *t, const char *name) {
    struct pg_name *n = *slot(t, name);
    if (n != NULL) forget(t, n);
}

void pg_names_forget_all(struct pg_names *t) {
    for (size_t i = 0; i < PG_NAME_BUCKETS && t->count > 0; i++) {
        for (struct pg_name *n = t->bucket[i], *next; n != NULL; n = next) {
            next = n->next;
            if (!t->portals && n->name[0] == '\0') continue; /* DEALLOCATE ALL and DISCARD ALL leave the unnamed statement */
            forget(t, n);
        }
    }
}
