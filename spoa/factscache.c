#include "spoa/factscache.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* An arena's first block and our own entry (measured: 2,160 bytes for a short statement's facts), and facts_said without the text, which is in there four times. */
#define ENTRY_FIXED 4224u

#define SEEN 256u

struct facts_ref {
    unsigned refs;
    struct pol_facts *facts;
    struct facts_said said;
};

struct entry {
    struct entry *chain;         /* in its bucket */
    struct entry *newer, *older; /* by use */
    uint64_t hash;
    struct facts_ref *facts;
    size_t len, cost;
    enum factscache_key kind;
    char text[];
};

struct factscache {
    size_t max_entries, max_bytes, count, bytes, nbuckets;
    struct factscache_use use;
    uint64_t seed[2];
    struct entry *newest, *oldest;
    struct entry **buckets; /* a power of two of them */
    uint64_t seen[SEEN];    /* hashes of texts that were asked about, the latest in each place */
    char *tree_text;        /* a copy of the text that tree is of; NULL: none */
    struct pol_parsed tree;
};

struct facts_ref *facts_ref_new(struct pol_facts *facts) {
    struct facts_ref *r = malloc(sizeof *r);
    if (r == NULL) {
        pol_facts_free(facts);
        return NULL;
    }
    *r = (struct facts_ref){.refs = 1, .facts = facts};
    return r;
}

struct facts_ref *facts_ref_get(struct facts_ref *r) {
    r->refs++;
    return r;
}

void facts_ref_put(struct facts_ref *r) {
    if (r == NULL || --r->refs > 0) return;
    pol_facts_free(r->facts);
    led_run_free(r->said.what);
    led_run_free(r->said.which);
    free(r);
}

const struct pol_facts *facts_of(const struct facts_ref *r) { return r->facts; }
struct facts_said *facts_said(struct facts_ref *r) {
    return &r->said;
}

static uint64_t mix(uint64_t a, uint64_t b) {
    __uint128_t m = (__uint128_t)a * b;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* Multiply and fold, seeded: fast, and a client cannot aim texts at one bucket. Equality is decided on the text itself. */
static uint64_t hash_text(const struct factscache *c, enum factscache_key kind, const char *text, size_t len) {
    uint64_t h = mix(c->seed[0] ^ len, 0x9e3779b97f4a7c15u + (uint64_t)kind);
    while (len >= 8) {
        uint64_t word;
        memcpy(&word, text, 8);
        h = mix(h ^ word, c->seed[1]);
        text += 8;
        len -= 8;
    }
    uint64_t last = 0;
    memcpy(&last, text, len);
    return mix(h ^ last, c->seed[1] ^ 0xd6e8feb86659fd93u);
}

struct factscache *factscache_new(size_t entries, size_t bytes) {
    struct factscache *c = calloc(1, sizeof *c);
    if (c == NULL) return NULL;
    c->max_entries = entries;
    c->max_bytes = bytes;
    for (c->nbuckets = 64; c->nbuckets < entries && c->nbuckets < 1u << 20;) c->nbuckets *= 2;
    c->buckets = calloc(c->nbuckets, sizeof(*c->buckets));
    if (c->buckets == NULL || getrandom(c->seed, sizeof c->seed, 0) != (ssize_t)sizeof c->seed) {
        factscache_free(c);
        return NULL;
    }
    c->seed[1] |= 1;
    return c;
}

static void unlink_use(struct factscache *c, struct entry *e) {
    *(e->newer != NULL ? &e->newer->older : &c->newest) = e->older;
    *(e->older != NULL ? &e->older->newer : &c->oldest) = e->newer;
}

static void push_use(struct factscache *c, struct entry *e) {
    e->newer = NULL;
    e->older = c->newest;
    *(c->newest != NULL ? &c->newest->newer : &c->oldest) = e;
    c->newest = e;
}

static void evict(struct factscache *c, struct entry *e) {
    struct entry **at = &c->buckets[e->hash & (c->nbuckets - 1)];
    while (*at != e) at = &(*at)->chain;
    *at = e->chain;
    unlink_use(c, e);
    c->count--;
    c->bytes -= e->cost;
    facts_ref_put(e->facts);
    free(e);
}

static void drop_tree(struct factscache *c) {
    free(c->tree_text);
    c->tree_text = NULL;
    pol_parse_clear(&c->tree);
}

void factscache_keep_tree(struct factscache *c, const char *text, size_t len, struct pol_parsed *p) {
    drop_tree(c);
    if ((c->tree_text = malloc(len + 1)) == NULL) {
        pol_parse_clear(p);
        return;
    }
    if (len > 0) memcpy(c->tree_text, text, len);
    c->tree = *p;
    *p = (struct pol_parsed){0};
}

bool factscache_take_tree(struct factscache *c, const char *text, size_t len, struct pol_parsed *p) {
    *p = (struct pol_parsed){0};
    if (c->tree_text == NULL || c->tree.len != len || memcmp(c->tree_text, text, len) != 0) return false;
    *p = c->tree;
    p->sql = text;
    c->tree = (struct pol_parsed){0};
    drop_tree(c);
    return true;
}

void factscache_free(struct factscache *c) {
    if (c == NULL) return;
    while (c->oldest != NULL) evict(c, c->oldest);
    drop_tree(c);
    free(c->buckets);
    free(c);
}

static struct entry *find(struct factscache *c, uint64_t hash, enum factscache_key kind, const char *text, size_t len) {
    for (struct entry *e = c->buckets[hash & (c->nbuckets - 1)]; e != NULL; e = e->chain)
        if (e->hash == hash && e->kind == kind && e->len == len && memcmp(e->text, text, len) == 0) return e;
    return NULL;
}

struct facts_ref *factscache_find(struct factscache *c, enum factscache_key kind, const char *text, size_t len) {
    struct entry *e = find(c, hash_text(c, kind, text, len), kind, text, len);
    if (e == NULL) return NULL;
    c->use.hits++;
    unlink_use(c, e);
    push_use(c, e);
    return facts_ref_get(e->facts);
}

void factscache_missed(struct factscache *c) { c->use.misses++; }

/* What an entry takes, from above: arrays grow by doubling, names are copies of parts of the text. */
static size_t cost_of(const struct pol_facts *f, size_t len) {
    size_t cost = ENTRY_FIXED + 7 * len;
    for (size_t i = 0; i < f->nstmts; i++) {
        const struct pol_stmt *t = &f->stmts[i];
        cost += 2 * sizeof *t + t->nrelations * (2 * sizeof *t->relations + 32) + t->nfunctions * (2 * sizeof *t->functions + 32) +
                t->nsettings * (2 * sizeof *t->settings + 32);
    }
    return cost;
}

void factscache_put(struct factscache *c, enum factscache_key kind, const char *text, size_t len, struct facts_ref *r) {
    size_t cost = cost_of(r->facts, len);
    uint64_t hash = hash_text(c, kind, text, len);
    if (c->max_entries == 0 || cost > c->max_bytes || find(c, hash, kind, text, len) != NULL) return;
    struct entry *e = malloc(sizeof *e + len);
    if (e == NULL) return;
    while (c->count >= c->max_entries || cost > c->max_bytes - c->bytes) {
        evict(c, c->oldest);
        c->use.evictions++;
    }
    struct entry **bucket = &c->buckets[hash & (c->nbuckets - 1)];
    *e = (struct entry){.chain = *bucket, .hash = hash, .facts = facts_ref_get(r), .len = len, .cost = cost, .kind = kind};
    memcpy(e->text, text, len);
    *bucket = e;
    push_use(c, e);
    c->count++;
    c->bytes += cost;
}

bool factscache_again(struct factscache *c, const char *text, size_t len) {
    uint64_t hash = hash_text(c, FACTS_EXACT, text, len), *seen = &c->seen[hash >> 32 & (SEEN - 1)];
    bool again = *seen == hash;
    *seen = hash;
    return again;
}

size_t factscache_count(const struct factscache *c) { return c->count; }
size_t factscache_bytes(const struct factscache *c) { return c->bytes; }
struct factscache_use factscache_use(const struct factscache *c) {
    return c->use;
}
