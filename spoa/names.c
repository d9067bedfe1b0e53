#include "spoa/names.h"

#include <stdlib.h>
#include <string.h>

static struct name_entry *find(const struct names *s, const char *name) {
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->list[i].name, name) == 0) return &s->list[i];
    return NULL;
}

static bool add(struct names *s, const char *name, uint64_t generation) {
    if (s->n == s->cap) {
        size_t cap = s->cap == 0 ? 8 : s->cap * 2;
        struct name_entry *list = cap > NAMES_MAX ? NULL : realloc(s->list, cap * sizeof *list);
        if (list == NULL) return false;
        s->list = list;
        s->cap = cap;
    }
    char *copy = strdup(name);
    if (copy == NULL) return false;
    s->list[s->n++] = (struct name_entry){copy, generation};
    return true;
}

void names_promise(struct names *s, const char *name, uint64_t generation) {
    /* it may be one that found no room: then what is behind it is as old as that until the server has made it anew */
    if (find(s, name) != NULL || add(s, name, s->unlisted != 0 && s->unlisted < generation ? s->unlisted : generation)) return;
    if (s->unlisted == 0 || generation < s->unlisted) s->unlisted = generation;
}

void names_made(struct names *s, const char *name, uint64_t generation) {
    struct name_entry *e = find(s, name);
    if (e != NULL) e->generation = generation;
}

void names_dropped(struct names *s, const char *name) {
    struct name_entry *e = find(s, name);
    if (e == NULL) return;
    free(e->name);
    *e = s->list[--s->n];
}

void names_clear(struct names *s) {
    for (size_t i = 0; i < s->n; i++) free(s->list[i].name);
    free(s->list);
    *s = (struct names){0};
}

bool names_older(const struct names *s, const char *name, uint64_t generation) {
    const struct name_entry *e = find(s, name);
    if (e != NULL) return e->generation < generation;
    return s->unlisted != 0 && s->unlisted < generation;
}
