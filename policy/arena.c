#include "policy/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct block {
    struct block *next;
    size_t used, size;
    alignas(max_align_t) unsigned char data[];
};

struct pol_arena {
    struct block *blocks; /* the first is the one being filled */
    size_t next_size;
    size_t taken, max; /* bytes of all blocks; 0: no bound */
    bool full;
};

struct pol_arena *pol_arena_new(void) {
    struct pol_arena *a = calloc(1, sizeof *a);
    if (a != NULL) a->next_size = 2048;
    return a;
}

void pol_arena_free(struct pol_arena *a) {
    if (a == NULL) return;
    for (struct block *b = a->blocks, *next; b != NULL; b = next) {
        next = b->next;
        free(b);
    }
    free(a);
}

void pol_arena_bound(struct pol_arena *a, size_t max) { a->max = max; }
bool pol_arena_full(const struct pol_arena *a) { return a != NULL && a->full; }
size_t pol_arena_bytes(const struct pol_arena *a) { return a->taken; }

static struct block *add_block(struct pol_arena *a, size_t n) {
    size_t size = a->next_size;
    if (n > size)
        size = n;
    else if (a->next_size < (1u << 20))
        a->next_size *= 2;
    if (size > SIZE_MAX - sizeof(struct block)) return NULL;
    if (a->max != 0 && size > a->max - (a->taken < a->max ? a->taken : a->max)) {
        a->full = true;
        return NULL;
    }
    struct block *b = malloc(sizeof *b + size);
    if (b == NULL) return NULL;
    a->taken += size;
    b->used = 0;
    b->size = size;
    b->next = a->blocks;
    a->blocks = b;
    return b;
}

void *pol_alloc(struct pol_arena *a, size_t n) {
    const size_t align = alignof(max_align_t);
    if (n > SIZE_MAX - align) return NULL;
    size_t want = (n + align - 1) / align * align;
    if (want == 0) want = align;
    struct block *b = a->blocks;
    if (b == NULL || want > b->size - b->used) b = add_block(a, want);
    if (b == NULL) return NULL;
    void *p = b->data + b->used;
    b->used += want;
    return memset(p, 0, want);
}

void *pol_alloc_array(struct pol_arena *a, size_t count, size_t size) {
    size_t n;
    if (__builtin_mul_overflow(count, size, &n)) return NULL;
    return pol_alloc(a, n);
}

char *pol_strndup(struct pol_arena *a, const char *s, size_t len) {
    if (len == SIZE_MAX) return NULL;
    char *p = pol_alloc(a, len + 1);
    if (p != NULL && len > 0) memcpy(p, s, len);
    return p;
}

char *pol_strdup(struct pol_arena *a, const char *s) { return s == NULL ? NULL : pol_strndup(a, s, strlen(s)); }

void *pol_grow(struct pol_arena *a, void *array, size_t n, size_t *cap, size_t size) {
    if (n < *cap) return array;
    size_t bigger = *cap == 0 ? 8 : *cap * 2;
    if (bigger <= n) return NULL; /* callers add one item at a time */
    void *moved = pol_alloc_array(a, bigger, size);
    if (moved == NULL) return NULL;
    if (*cap > 0) memcpy(moved, array, *cap * size);
    *cap = bigger;
    return moved;
}
