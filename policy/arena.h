/* One block list for many small objects that die together: the strings and arrays of a statement's facts, of a YAML document,
 * of a compiled policy. Not thread-safe; reading what it holds is. */
#ifndef GH_POLICY_ARENA_H
#define GH_POLICY_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct pol_arena;

struct pol_arena *pol_arena_new(void);
void pol_arena_free(struct pol_arena *a); /* everything at once; a may be NULL */
/* No more than so many bytes: what goes beyond is as if memory were out, and pol_arena_full() says which of them it was. */
void pol_arena_bound(struct pol_arena *a, size_t max);
bool pol_arena_full(const struct pol_arena *a);
/* What is found of a text of len bytes: far more than any takes that is not made to take much. */
#define POL_ARENA_TEXT(len) (((size_t)256 << 20) + (size_t)(len)*16)
size_t pol_arena_bytes(const struct pol_arena *a); /* so many are taken */
/* n zeroed bytes, aligned for any type, until the arena is freed. NULL when out of memory. */
void *pol_alloc(struct pol_arena *a, size_t n);
/* count * size zeroed bytes; NULL when out of memory or when the product overflows. */
void *pol_alloc_array(struct pol_arena *a, size_t count, size_t size);
/* A NUL-terminated copy. */
char *pol_strndup(struct pol_arena *a, const char *s, size_t len);
char *pol_strdup(struct pol_arena *a, const char *s); /* NULL for NULL */
/* Makes room for item n (from 0) of an array that grows by doubling; returns the array, moved or not. NULL when out of memory (the
 * old array stays valid). *cap starts at 0. */
void *pol_grow(struct pol_arena *a, void *array, size_t n, size_t *cap, size_t size);

#endif
