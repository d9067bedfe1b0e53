#include "spoa/json_read.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local bool starved;

static void *get(size_t n) {
    void *p = malloc(n);
    if (p == NULL) starved = true;
    return p;
}

/* Before main(): nobody is to use jansson meanwhile. What it got from malloc() before, free() takes back. */
__attribute__((constructor)) static void look_at_allocations(void) { json_set_alloc_funcs(get, free); }

json_t *json_read(const char *text, size_t len, size_t flags, json_error_t *e) {
    if (len > 0 && memchr(text, 0, len) != NULL) {
        if (e != NULL) *e = (json_error_t){.text = "a NUL byte"};
        return NULL;
    }
    starved = false;
    json_t *v = json_loadb(text, len, flags, e);
    if (!starved) return v;
    json_decref(v);
    if (e != NULL) snprintf(e->text, sizeof e->text, "out of memory");
    return NULL;
}
