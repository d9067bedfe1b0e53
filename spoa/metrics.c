#include "spoa/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_LINE 64

const uint32_t m_bucket_us[M_BUCKETS - 1] = {50,    100,    250,    500,    1000,    2500,    5000,    10000,
                                             25000, 100000, 250000, 500000, 1000000, 5000000, 30000000};

struct mblock *mblock_new(void) {
    /* Whole cache lines, so that two threads' blocks share none. */
    size_t size = (sizeof(struct mblock) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    struct mblock *b = aligned_alloc(CACHE_LINE, size);
    if (b != NULL) memset(b, 0, size);
    return b;
}

void mblock_free(struct mblock *b) {
    if (b == NULL) return;
    for (int f = 0; f < M_FAMILIES; f++)
        for (size_t i = 0; i < M_FAMILY_SLOTS; i++) free(atomic_load(&b->slot[f][i]));
    free(b);
}

/* What is kept of a label: so many bytes, whole characters, "?" for what is none. Two labels that would look the same are the same. */
static uint64_t clean(uint64_t h, const char *in, char out[M_LABEL_BYTES]) {
    size_t len = strnlen(in, M_LABEL_BYTES), o = 0;
    for (size_t i = 0; i < len && o < M_LABEL_BYTES - 1;) {
        unsigned char c = (unsigned char)in[i];
        size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        if (n > M_LABEL_BYTES - 1 - o) break;
        bool valid = c < 0x80 || (n <= len - i && gh_utf8_valid(in + i, n));
        if (!valid) n = 1;
        memcpy(out + o, valid ? in + i : "?", n);
        i += n;
        o += n;
    }
    out[o] = '\0';
    for (size_t k = 0; k <= o; k++) h = (h ^ (unsigned char)out[k]) * 0x100000001b3u;
    return h;
}

static bool is_of(const struct m_entry *e, const char *const label[M_LABELS]) {
    for (size_t k = M_LABELS; k-- > 0;)
        if (strcmp(e->label[k], label[k]) != 0) return false;
    return true;
}

void m_count(struct mblock *b, enum m_family f, const char *l0, const char *l1, const char *l2) {
    const char *in[M_LABELS] = {l0 != NULL ? l0 : "", l1 != NULL ? l1 : "", l2 != NULL ? l2 : ""};
    struct m_entry *last = b->last[f]; /* most often it is the same again; what was cleaned is clean */
    if (last != NULL && is_of(last, in)) {
        m_bump(&last->value, 1);
        return;
    }
    char label[M_LABELS][M_LABEL_BYTES];
    uint64_t h = 0xcbf29ce484222325u;
    for (int i = 0; i < M_LABELS; i++) h = clean(h, in[i], label[i]);
    for (size_t i = (size_t)(h ^ h >> 32);; i++) { /* ends: half of the slots stay empty */
        _Atomic(struct m_entry *) *slot = &b->slot[f][i % M_FAMILY_SLOTS];
        struct m_entry *e = atomic_load_explicit(slot, memory_order_relaxed);
        if (e == NULL) {
            e = b->used[f] < M_FAMILY_SLOTS / 2 ? calloc(1, sizeof *e) : NULL;
            if (e == NULL) {
                m_bump(&b->other[f], 1);
                return;
            }
            for (int k = 0; k < M_LABELS; k++) memcpy(e->label[k], label[k], strlen(label[k]) + 1);
            b->used[f]++;
            m_bump(&e->value, 1);
            atomic_store_explicit(slot, e, memory_order_release);
            return;
        }
        if (is_of(e, (const char *const[]){label[0], label[1], label[2]})) {
            m_bump(&e->value, 1);
            b->last[f] = e;
            return;
        }
    }
}

void m_observe(struct mblock *b, enum m_histogram h, uint64_t us) {
    size_t i = 0;
    while (i < M_BUCKETS - 1 && us > m_bucket_us[i]) i++;
    m_bump(&b->bucket[h][i], 1);
    m_bump(&b->sum_us[h], us);
}

uint64_t m_sum(struct mblock *const *blocks, size_t n, enum m_counter c) {
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += atomic_load_explicit(&blocks[i]->counter[c], memory_order_relaxed);
    return sum;
}
