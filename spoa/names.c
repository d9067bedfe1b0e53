#include "spoa/names.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 256u /* a session has some thousand names at most (limits.prepared) */

struct name_entry {
    struct name_entry *next; /* in its bucket */
    uint64_t generation;
    size_t bytes;
    unsigned promised; /* statements on their way that make it */
    bool hold;
    char name[];
};

/* Clients choose the names: where they meet is for nobody to know. */
static struct name_entry **slot(const struct names *s, const char *name) {
    uint64_t h = (uint64_t)(uintptr_t)s->bucket * 0x9e3779b97f4a7c15u;
    for (const char *c = name; *c != '\0'; c++) {
        h = (h ^ (uint8_t)*c) * 0xff51afd7ed558ccdu;
        h ^= h >> 29;
    }
    struct name_entry **at = &s->bucket[(h >> 32) % BUCKETS];
    while (*at != NULL && strcmp((*at)->name, name) != 0) at = &(*at)->next;
    return at;
}

static struct name_entry *find(const struct names *s, const char *name) { return s->bucket == NULL ? NULL : *slot(s, name); }

static struct name_entry *add(struct names *s, const char *name) {
    if (s->bucket == NULL && (s->bucket = calloc(BUCKETS, sizeof(struct name_entry *))) == NULL) return NULL;
    size_t len = strlen(name);
    struct name_entry *e = calloc(1, sizeof *e + len + 1);
    if (e == NULL) return NULL;
    memcpy(e->name, name, len + 1);
    *slot(s, name) = e;
    s->n++;
    return e;
}

static void drop(struct names *s, struct name_entry **at) {
    struct name_entry *e = *at;
    *at = e->next;
    s->bytes -= e->bytes;
    s->n--;
    free(e);
}

void names_promise(struct names *s, const char *name, const struct name_maker *by) {
    struct name_entry *e = find(s, name);
    if (e == NULL) {
        e = add(s, name);
        if (e == NULL) {
            s->code = 1; /* as old as can be: it is not listed */
            s->called = true;
            return;
        }
        /* Code may have made it before: then that is behind the name until the server has made it anew. */
        e->generation = s->code != 0 && s->code < by->rights ? 0 : by->generation;
    }
    e->promised++;
    e->hold = e->hold || by->hold;
    if (by->bytes <= e->bytes) return;
    s->bytes += by->bytes - e->bytes;
    e->bytes = by->bytes;
}

void names_end(struct names *s, const char *name, uint64_t generation, bool made) {
    struct name_entry *e = find(s, name);
    if (e == NULL) return;
    if (e->promised > 0) e->promised--;
    if (made) e->generation = generation;
}

void names_dropped(struct names *s, const char *name) {
    if (s->bucket == NULL) return;
    struct name_entry **at = slot(s, name);
    if (*at != NULL && (*at)->promised == 0) drop(s, at);
}

static void drop_all(struct names *s, bool held, bool promised) {
    for (size_t i = 0; s->bucket != NULL && s->n > 0 && i < BUCKETS; i++) {
        struct name_entry **at = &s->bucket[i];
        while (*at != NULL) {
            if ((held || !(*at)->hold) && (promised || (*at)->promised == 0))
                drop(s, at);
            else
                at = &(*at)->next;
        }
    }
}

void names_clear(struct names *s) { drop_all(s, true, false); }

void names_transaction_over(struct names *s) { drop_all(s, false, false); }

void names_free(struct names *s) {
    drop_all(s, true, true);
    free(s->bucket);
    *s = (struct names){0};
}

void names_code(struct names *s, uint64_t rights, bool called) {
    s->called = s->called || called;
    if (s->code == 0 || rights < s->code) s->code = rights;
}

enum names_is names_look(const struct names *s, const char *name, uint64_t generation, uint64_t rights) {
    const struct name_entry *e = find(s, name);
    if (e != NULL) return e->generation < generation ? NAMES_OLD : NAMES_MADE;
    if (s->code == 0 || !s->called) return NAMES_UNKNOWN;
    return s->code < rights ? NAMES_CODE_OLD : NAMES_CODE;
}
