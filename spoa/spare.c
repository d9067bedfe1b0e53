#include "spoa/spare.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#ifdef __SANITIZE_ADDRESS__

void *spare_get(size_t size) { return malloc(size); }

void spare_put(void *block, size_t size) {
    (void)size;
    free(block);
}

#else

struct spare {
    struct spare *next;
};

struct spares {
    struct spare *of[SPARE_SIZES];
    size_t bytes;
    bool known; /* they go with the thread */
};

static _Thread_local struct spares mine;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool have_key;

static void free_all(void *arg) {
    struct spares *s = arg;
    for (size_t i = 0; i < SPARE_SIZES; i++)
        for (struct spare *b = s->of[i], *next; b != NULL; b = next) {
            next = b->next;
            free(b);
        }
    *s = (struct spares){0};
}

static void prepare(void) { have_key = pthread_key_create(&key, free_all) == 0; }

/* False: nobody would free them. */
static bool go_with_thread(struct spares *s) {
    pthread_once(&once, prepare);
    s->known = have_key && pthread_setspecific(key, s) == 0;
    return s->known;
}

/* Where blocks of this size are kept; SPARE_SIZES: nowhere. */
static size_t place(size_t size) { return size == 0 || size > SPARE_SIZES * SPARE_STEP ? SPARE_SIZES : (size - 1) / SPARE_STEP; }

void *spare_get(size_t size) {
    size_t i = place(size);
    if (i == SPARE_SIZES) return malloc(size);
    struct spare *b = mine.of[i];
    if (b == NULL) return malloc((i + 1) * SPARE_STEP);
    mine.of[i] = b->next;
    mine.bytes -= (i + 1) * SPARE_STEP;
    return b;
}

void spare_put(void *block, size_t size) {
    size_t i = place(size), room = (i + 1) * SPARE_STEP;
    struct spare *b = block;
    if (b == NULL) return;
    if (i == SPARE_SIZES || room > SPARE_BYTES - mine.bytes || (!mine.known && !go_with_thread(&mine))) {
        free(b);
        return;
    }
    b->next = mine.of[i];
    mine.of[i] = b;
    mine.bytes += room;
}

#endif
