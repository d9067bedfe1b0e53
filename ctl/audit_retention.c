/* What was removed by retention, as the record itself says, signed: holes that are filled so are none. */
#include <config.h>

#include "ctl/audit_verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void no_memory(void) {
    fputs("gatehousectl: out of memory\n", stderr);
    exit(AUDIT_FAILED);
}

static void add_run(struct av_writer *w, const struct retained_run *run) {
    if (w->nruns == w->runs_room) {
        w->runs_room = w->runs_room == 0 ? 64 : 2 * w->runs_room;
        w->runs = reallocarray(w->runs, w->runs_room, sizeof *w->runs);
        if (w->runs == NULL) no_memory();
    }
    struct av_run *out = &w->runs[w->nruns++];
    *out = (struct av_run){.first = run->first, .last = run->last};
    if (!av_hex(run->prev, 64, out->prev) || !av_hex(run->hash, 64, out->hash)) w->nruns--;
}

static void tell(struct av *v, const struct retained *r, uint64_t seq, const char *node) {
    uint64_t first = r->runs[0].first, last = r->runs[r->nruns - 1].last;
    json_array_append_new(v->removed,
                          json_pack("{s:s, s:s, s:s, s:I, s:s, s:s, s:I, s:I, s:I, s:I}", "source", v->source, "node", r->of, "by", node,
                                    "seq", (json_int_t)seq, "time", r->time, "reason", r->why, "events", (json_int_t)r->events, "streams",
                                    (json_int_t)r->nstreams, "first", (json_int_t)first, "last", (json_int_t)last));
}

void av_retention(struct av *v, const struct audit_event *e, uint64_t seq, const char *node) {
    const char *text = audit_get(e, "signed"), *signature = audit_get(e, "signature"), *key = audit_get(e, "key");
    struct retained r = {0};
    if (text == NULL || !retained_read(text, &r))
        av_find(v, "forged", node, seq, 0, "event %" PRIu64 " of %s says nothing of what retention removed", seq, node);
    else if (av_trust(v, "a retention event", text, signature, key, seq, node) && strcmp(r.where, v->source) == 0) {
        struct av_writer *w = av_writer(v, r.of);
        for (size_t i = 0; i < r.nruns; i++) add_run(w, &r.runs[i]);
        tell(v, &r, seq, node);
    }
    retained_clear(&r);
}

static int by_first(const void *a, const void *b) {
    const struct av_run *x = a, *y = b;
    if (x->first != y->first) return x->first < y->first ? -1 : 1;
    return x->last < y->last ? -1 : x->last > y->last;
}

void av_runs_sort(struct av_writer *w) {
    if (w->nruns > 0) qsort(w->runs, w->nruns, sizeof *w->runs, by_first);
}

/* The first run that begins with from or later. */
static size_t runs_from(const struct av_writer *w, uint64_t from) {
    size_t low = 0, high = w->nruns;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (w->runs[mid].first < from)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* The longest one that goes on where the chain is and ends before the event that is there. Refused logins, which are in another chain, may be between. */
static struct av_run *next_run(struct av_writer *w, uint64_t at, const uint8_t hash[32], uint64_t before) {
    struct av_run *best = NULL;
    for (size_t i = runs_from(w, at + 1); i < w->nruns && w->runs[i].first < before; i++) {
        struct av_run *run = &w->runs[i];
        if (run->last < before && memcmp(run->prev, hash, 32) == 0 && (best == NULL || run->last > best->last)) best = run;
    }
    return best;
}

bool av_bridge(struct av_writer *w, struct av_place *at, const struct av_seen *to) {
    for (struct av_run *run; (run = next_run(w, at->seq, at->hash, to != NULL ? to->seq : UINT64_MAX)) != NULL;) {
        run->used = true;
        *at = (struct av_place){run->last, run->hash};
    }
    return to != NULL && memcmp(to->prev, at->hash, 32) == 0;
}

bool av_skip(struct av *v, struct av_writer *w, struct av_place *at, uint64_t before) {
    size_t i = runs_from(w, at->seq + 1);
    while (i < w->nruns && w->runs[i].last >= before) i++;
    if (i == w->nruns || w->runs[i].first >= before) return false;
    struct av_run *run = &w->runs[i];
    for (; i < w->nruns && w->runs[i].first == run->first; i++) /* the longest of those */
        if (w->runs[i].last < before) run = &w->runs[i];
    if (run->first == at->seq + 1)
        av_find(v, "changed", w->node, at->seq, run->first,
                "event %" PRIu64 " or %" PRIu64 " of %s was changed before retention removed it: they are not linked to each other",
                at->seq, run->first, w->node);
    else
        av_find(v, "deleted", w->node, at->seq + 1, run->first - 1,
                "between event %" PRIu64 " and event %" PRIu64 " of %s, which retention removed, others are missing, or one was changed",
                at->seq, run->first, w->node);
    run->used = true;
    *at = (struct av_place){run->last, run->hash};
    return true;
}

bool av_removed(const struct av_writer *w, uint64_t seq) {
    for (size_t i = runs_from(w, seq + 1); i > 0; i--)
        if (w->runs[i - 1].used && w->runs[i - 1].last >= seq) return true;
    return false;
}
