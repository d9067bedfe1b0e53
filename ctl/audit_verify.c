/* gatehousectl audit verify: whether the record is what was written, and if not, what was touched. */
#include <config.h>

#include "ctl/audit.h"
#include "ctl/audit_verify.h"
#include "ctl/door.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CATCH_UP_MS 3000 /* for events that are on their way to Redis when the anchors are read */

/* --- what is found --- */

void av_find(struct av *v, const char *kind, const char *node, uint64_t from, uint64_t to, const char *fmt, ...) {
    char text[1500];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    v->nfindings++;
    if (json_array_size(v->findings) >= AV_FINDINGS) return;
    json_t *o = json_pack("{s:s, s:s*}", "kind", kind, "source", v->source);
    if (node != NULL) json_object_set_new(o, "node", json_string(node));
    if (from != 0) json_object_set_new(o, "seq", json_integer((json_int_t)from));
    if (to > from) json_object_set_new(o, "to", json_integer((json_int_t)to));
    json_t *words = json_string(text);
    json_object_set_new(o, "text", words != NULL ? words : json_string("(not UTF-8)"));
    json_array_append_new(v->findings, o);
}

void av_note(struct av *v, const char *fmt, ...) {
    char text[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    json_array_append_new(v->notes, json_string(text));
}

/* --- reading --- */

struct av_writer *av_writer(struct av *v, const char *node) {
    for (struct av_writer *w = v->writers; w != NULL; w = w->next)
        if (strcmp(w->node, node) == 0) return w;
    struct av_writer *w = calloc(1, sizeof *w);
    if (w == NULL || (w->node = strdup(node)) == NULL) {
        fputs("gatehousectl: out of memory\n", stderr);
        exit(AUDIT_FAILED);
    }
    w->upto = UINT64_MAX;
    w->next = v->writers;
    v->writers = w;
    return w;
}

static uint32_t stream_number(struct av *v, const char *key) {
    if (v->nstreams > 0 && strcmp(v->streams[v->nstreams - 1], key) == 0) return (uint32_t)v->nstreams - 1;
    if (v->source_is_journal) /* events of all streams in turns: a name for each session is enough */
        for (size_t i = v->nstreams > 64 ? v->nstreams - 64 : 0; i < v->nstreams; i++)
            if (strcmp(v->streams[i], key) == 0) return (uint32_t)i;
    if (v->nstreams == v->streams_room) {
        v->streams_room = v->streams_room == 0 ? 256 : 2 * v->streams_room;
        v->streams = reallocarray(v->streams, v->streams_room, sizeof *v->streams);
    }
    if (v->streams == NULL || (v->streams[v->nstreams] = strdup(key)) == NULL) {
        fputs("gatehousectl: out of memory\n", stderr);
        exit(AUDIT_FAILED);
    }
    return (uint32_t)v->nstreams++;
}

bool av_hex(const char *s, size_t len, uint8_t out[32]) {
    if (len != 64 || !gh_is_hex(s, 64)) return false;
    for (size_t i = 0; i < 32; i++) {
        unsigned byte;
        if (sscanf(s + 2 * i, "%2x", &byte) != 1) return false;
        out[i] = (uint8_t)byte;
    }
    return true;
}

static void add_seen(struct av_writer *w, const struct av_seen *s) {
    if (w->n == w->room) {
        w->room = w->room == 0 ? 1024 : 2 * w->room;
        w->list = reallocarray(w->list, w->room, sizeof *w->list);
        if (w->list == NULL) {
            fputs("gatehousectl: out of memory\n", stderr);
            exit(AUDIT_FAILED);
        }
    }
    w->list[w->n++] = *s;
}

static bool take(void *arg, const struct audit_event *e) {
    struct av *v = arg;
    struct av_seen s = {.stream = stream_number(v, e->key), .auth = strcmp(e->key, v->auth_key) == 0};
    const char *node;
    char hash[LEV_HASH_TEXT];
    v->entries++;
    if (!audit_number(e, &s.seq, &node) || !av_hex(e->parts[9].at, e->parts[9].len, s.prev)) {
        av_find(v, "inserted", NULL, 0, 0, "entry %s of %s is none that Gatehouse wrote, or its first fields were changed", e->id, e->key);
        return true;
    }
    struct av_writer *w = av_writer(v, node);
    if (s.seq > w->upto) return true; /* newer than this look at Redis */
    /* Its key with the standard prefix: what the node hashed, whatever Redis calls it. */
    char key[1200];
    snprintf(key, sizeof key, "gatehouse:%s", strncmp(e->key, v->prefix, strlen(v->prefix)) == 0 ? e->key + strlen(v->prefix) : e->key);
    if (!chain_hash(key, e->parts, e->nparts, hash) || !av_hex(hash, 64, s.hash)) {
        fputs("gatehousectl: cannot compute SHA-256\n", stderr);
        exit(AUDIT_FAILED);
    }
    if (w->last_stream == s.stream + 1 && s.seq <= w->last_seq)
        av_find(v, s.seq == w->last_seq ? "inserted" : "reordered", node, s.seq, 0,
                "event %" PRIu64 " of %s (entry %s of %s) stands behind event %" PRIu64, s.seq, node, e->id, e->key, w->last_seq);
    w->last_stream = s.stream + 1;
    w->last_seq = s.seq;
    add_seen(w, &s);
    if (!s.auth && strcmp(e->parts[1].at, "anchor") == 0 && audit_get(e, "signed") != NULL)
        av_anchor(v, audit_get(e, "signed"), audit_get(e, "signature"), audit_get(e, "key"), s.seq, node);
    if (!s.auth && strcmp(e->parts[1].at, RETAINED_TYPE) == 0) av_retention(v, e, s.seq, node);
    return true;
}

/* --- the chains --- */

static int by_seq(const void *a, const void *b) {
    const struct av_seen *x = a, *y = b;
    if (x->seq != y->seq) return x->seq < y->seq ? -1 : 1;
    return memcmp(x->hash, y->hash, sizeof x->hash);
}

const struct av_seen *av_event(const struct av_writer *w, uint64_t seq) {
    size_t low = 0, high = w->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (w->list[mid].seq < seq)
            low = mid + 1;
        else
            high = mid;
    }
    return low < w->n && w->list[low].seq == seq ? &w->list[low] : NULL;
}

uint64_t av_last(const struct av_writer *w) {
    uint64_t last = w->n > 0 ? w->list[w->n - 1].seq : 0;
    return w->end > last ? w->end : last;
}

/* Of two with one number, the one that the chain leads to counts. */
static void drop_doubles(struct av *v, struct av_writer *w) {
    size_t kept = 0;
    for (size_t i = 0, j; i < w->n; i = j) {
        size_t best = i;
        for (j = i + 1; j < w->n && w->list[j].seq == w->list[i].seq; j++) continue;
        for (size_t k = i; j < w->n && k < j; k++)
            for (size_t m = j; m < w->n && m < j + 8; m++) /* the next one of its chain is near */
                if (memcmp(w->list[m].prev, w->list[k].hash, 32) == 0) best = k;
        for (size_t k = i; k < j; k++)
            if (k != best)
                av_find(v, "inserted", w->node, w->list[k].seq, 0,
                        "event %" PRIu64 " of %s is there twice; the one in %s is not in the chain", w->list[k].seq, w->node,
                        v->streams[w->list[k].stream]);
        w->list[kept++] = w->list[best];
    }
    w->n = kept;
}

/* The numbers between a and b that nobody has; *first and *last of them. */
static uint64_t missing(const struct av_writer *w, uint64_t a, uint64_t b, uint64_t *first, uint64_t *last) {
    uint64_t have = 0, prev = a;
    *first = *last = 0;
    size_t low = 0, high = w->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (w->list[mid].seq <= a)
            low = mid + 1;
        else
            high = mid;
    }
    for (size_t i = low; i <= w->n; i++) {
        uint64_t seq = i < w->n && w->list[i].seq < b ? w->list[i].seq : b;
        if (seq > prev + 1) {
            if (*first == 0) *first = prev + 1;
            *last = seq - 1;
        }
        prev = seq;
        if (seq == b) break;
        have++;
    }
    return b - a - 1 - have;
}

static void broken(struct av *v, struct av_writer *w, const struct av_seen *p, const struct av_seen *e) {
    uint64_t first, last, n = missing(w, p->seq, e->seq, &first, &last);
    if (n == 0)
        av_find(v, "changed", w->node, p->seq, 0,
                "event %" PRIu64 " of %s in %s was changed: it is not what event %" PRIu64 " was linked to", p->seq, w->node,
                v->streams[p->stream], e->seq);
    else
        av_find(v, "deleted", w->node, first, last,
                "%" PRIu64 " event%s of %s %s missing between event %" PRIu64 " (%s) and event %" PRIu64 " (%s)", n, n == 1 ? "" : "s",
                w->node, n == 1 ? "is" : "are", p->seq, v->streams[p->stream], e->seq, v->streams[e->stream]);
}

static void missing_before(struct av *v, const struct av_writer *w, const struct av_place *at, const struct av_seen *e) {
    if (at->seq + 1 == e->seq)
        av_find(v, "changed", w->node, at->seq, 0,
                "event %" PRIu64 " of %s, which retention removed, was changed: it is not what event %" PRIu64 " was linked to", at->seq,
                w->node, e->seq);
    else if (at->seq > 0)
        av_find(v, "deleted", w->node, at->seq + 1, e->seq - 1,
                "between event %" PRIu64 " of %s, which retention removed, and event %" PRIu64 " others are missing, or one was changed",
                at->seq, w->node, e->seq);
    else
        av_find(v, "deleted", w->node, 1, e->seq - 1,
                e->seq == 2 ? "the event of %s before %" PRIu64 " is missing" : "the events of %s before %" PRIu64 " are missing", w->node,
                e->seq);
}

static void check_chain(struct av *v, struct av_writer *w, bool auth) {
    static const uint8_t zero[32];
    const struct av_seen *p = NULL;
    struct av_place at = {0, zero};
    for (size_t i = 0; i < w->n; i++) {
        const struct av_seen *e = &w->list[i];
        if (e->auth != auth) continue;
        bool linked = memcmp(e->prev, at.hash, 32) == 0 || (auth && p == NULL); /* refused logins lose their oldest */
        while (!auth && !linked && !(linked = av_bridge(w, &at, e)) && av_skip(v, w, &at, e->seq)) continue;
        if (!linked && p != NULL && at.seq == p->seq)
            broken(v, w, p, e);
        else if (!linked)
            missing_before(v, w, &at, e);
        p = e;
        at = (struct av_place){e->seq, e->hash};
    }
    if (auth) return;
    (void)av_bridge(w, &at, NULL);
    w->end = at.seq;
}

static void check_writer(struct av *v, struct av_writer *w) {
    if (w->n > 0) qsort(w->list, w->n, sizeof *w->list, by_seq);
    drop_doubles(v, w);
    check_chain(v, w, false);
    check_chain(v, w, true);
}

/* The daemon went on after the counter was read, or did not write where it should have. */
static void check_counter(struct av *v, const struct av_writer *w) {
    uint64_t last = av_last(w);
    if (v->source_is_journal) return;
    if (w->counter == 0 && last > 0)
        av_find(v, "changed", w->node, 0, 0, "%sshipped:%s is not there", v->prefix, w->node);
    else if (w->counter > last)
        av_find(v, "cut", w->node, last + 1, w->counter, "Redis had events of %s up to %" PRIu64 ", and now they end at %" PRIu64, w->node,
                w->counter, last);
}

/* --- both places --- */

/* What is in both must be the same. */
static void compare(struct av *redis, struct av *journal) {
    for (struct av_writer *j = journal->writers; j != NULL; j = j->next) {
        const struct av_writer *r = redis->writers;
        while (r != NULL && strcmp(r->node, j->node) != 0) r = r->next;
        uint64_t gone = 0, first = 0, last = 0, end = j->n > 0 ? j->list[j->n - 1].seq : 0;
        for (size_t i = 0; r != NULL && i < j->n; i++) {
            const struct av_seen *e = av_event(r, j->list[i].seq);
            if (e != NULL && memcmp(e->hash, j->list[i].hash, 32) != 0)
                av_find(redis, "changed", j->node, e->seq, 0, "event %" PRIu64 " of %s in %s is not what the journal has", e->seq, j->node,
                        redis->streams[e->stream]);
            if (e != NULL || j->list[i].auth || j->list[i].seq > r->upto || av_removed(r, j->list[i].seq)) continue;
            if (gone++ == 0) first = j->list[i].seq;
            last = j->list[i].seq;
        }
        for (size_t i = r == NULL ? 0 : r->n; i > 0 && r->list[i - 1].seq > end; i--)
            av_find(redis, "inserted", j->node, r->list[i - 1].seq, 0,
                    "event %" PRIu64 " of %s in %s is not in the journal, which ends at event %" PRIu64, r->list[i - 1].seq, j->node,
                    redis->streams[r->list[i - 1].stream], end);
        if (gone > 0)
            av_find(redis, "deleted", j->node, first, last, "%" PRIu64 " event%s of %s that the journal has %s not in Redis", gone,
                    gone == 1 ? "" : "s", j->node, gone == 1 ? "is" : "are");
    }
}

/* --- one place --- */

static void damaged(void *arg, const char *what) { av_find(arg, "damaged", NULL, 0, 0, "%s", what); }

/* How far each writer was in Redis before anything else is looked at: what comes later may be seen by halves. */
static bool read_counters(struct av *v, const struct audit_source *s) {
    char pattern[300], cursor[32] = "0";
    size_t skip = (size_t)snprintf(pattern, sizeof pattern, "%sshipped:*", v->prefix) - 1;
    do {
        redisReply *r = audit_ask(s, 6, (const char *[]){"SCAN", cursor, "MATCH", pattern, "COUNT", "1000"});
        if (r->type != REDIS_REPLY_ARRAY || r->elements != 2) {
            audit_refused(s, "cannot list the keys in Redis", r, "no list");
            freeReplyObject(r);
            return false;
        }
        snprintf(cursor, sizeof cursor, "%s", r->element[0]->str);
        for (size_t i = 0; i < r->element[1]->elements; i++) {
            const char *key = r->element[1]->element[i]->str;
            redisReply *n = audit_ask(s, 2, (const char *[]){"GET", key});
            struct av_writer *w = av_writer(v, key + skip);
            if (n->type == REDIS_REPLY_STRING) w->upto = w->counter = strtoull(n->str, NULL, 10);
            if (n->type == REDIS_REPLY_ERROR) {
                char what[500];
                snprintf(what, sizeof what, "Redis does not let %.400s be read", key);
                audit_refused(s, what, n, "");
            }
            bool ok = n->type != REDIS_REPLY_ERROR;
            freeReplyObject(n);
            if (ok) continue;
            freeReplyObject(r);
            return false;
        }
        freeReplyObject(r);
    } while (strcmp(cursor, "0") != 0);
    return true;
}

static bool behind(const struct av *v) {
    for (const struct av_writer *w = v->writers; w != NULL; w = w->next)
        for (const struct av_anchor *x = w->anchors; x != NULL; x = x->next)
            if (x->outside && x->a.seq > w->counter) return true;
    return false;
}

static bool look(struct av *v, const struct audit_source *s) {
    bool ok = true;
    for (int i = 0; s->journal == NULL && ok && (i == 0 || (behind(v) && i <= CATCH_UP_MS / 100)); i++) {
        if (i > 0) nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
        ok = read_counters(v, s);
    }
    ok = ok && audit_each(s, "-", take, damaged, v);
    for (struct av_writer *w = v->writers; ok && w != NULL; w = w->next) {
        av_runs_sort(w);
        check_writer(v, w);
        check_counter(v, w);
        av_anchors_check(v, w);
    }
    return ok;
}

static void clean(struct av *v) {
    for (struct av_writer *w = v->writers, *next; w != NULL; w = next) {
        next = w->next;
        av_anchors_free(w);
        free(w->runs);
        free(w->list);
        free(w->node);
        free(w);
    }
    for (size_t i = 0; i < v->nstreams; i++) free(v->streams[i]);
    free(v->streams);
    json_decref(v->findings);
    json_decref(v->notes);
    json_decref(v->removed);
}

static bool prepare(struct av *v, const struct audit_source *s, const struct audit_options *o) {
    const char *anchors = o->anchors != NULL ? o->anchors : s->anchors[0] != '\0' ? s->anchors : NULL;
    char path[4200] = "";
    *v = (struct av){.source = s->journal != NULL ? "journal" : "redis",
                     .source_is_journal = s->journal != NULL,
                     .prefix = s->journal != NULL ? "gatehouse:" : s->prefix,
                     .findings = json_array(),
                     .notes = json_array(),
                     .removed = json_array()};
    snprintf(v->auth_key, sizeof v->auth_key, "%sauth", v->prefix);
    bool ok = true;
    for (size_t i = 0; ok && i < o->nkeys; i++) ok = av_key(v, o->keys[i]);
    if (o->nkeys == 0 && s->key[0] != '\0')
        ok = ok && av_key(v, s->key);
    else if (o->nkeys == 0 && s->journal != NULL && snprintf(path, sizeof path, "%s/node.pub", s->journal) > 0)
        ok = ok && av_key(v, path);
    v->any_key = v->nkeys == 0;
    if (anchors != NULL) return ok && av_anchors_read(v, anchors);
    av_note(v,
            "no anchors from outside were named (--anchors FILE): that %s was cut at its end, or brought back to an older state, cannot be "
            "seen",
            v->source_is_journal ? "the journal" : "Redis");
    return ok;
}

/* --- what it says --- */

static json_t *writers_json(const struct av *v) {
    json_t *list = json_array();
    for (const struct av_writer *w = v->writers; w != NULL; w = w->next) {
        uint64_t anchors = 0, outside = 0, upto = 0;
        for (const struct av_anchor *x = w->anchors; x != NULL; x = x->next) {
            *(x->outside ? &outside : &anchors) += 1;
            if (x->a.seq > upto) upto = x->a.seq;
        }
        json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "source", v->source, "node", w->node, "events",
                                              (json_int_t)w->n, "first", (json_int_t)(w->n > 0 ? w->list[0].seq : 0), "last",
                                              (json_int_t)(w->n > 0 ? w->list[w->n - 1].seq : 0), "anchors", (json_int_t)anchors,
                                              "anchors_outside", (json_int_t)outside, "anchored", (json_int_t)upto));
    }
    return list;
}

static void print_writers(const json_t *list) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *w = json_array_get(list, i);
        char line[400];
        snprintf(line, sizeof line, "%s, %s: %lld events, %lld to %lld; %lld anchors inside, %lld outside, up to event %lld",
                 json_string_value(json_object_get(w, "node")), json_string_value(json_object_get(w, "source")),
                 (long long)json_integer_value(json_object_get(w, "events")), (long long)json_integer_value(json_object_get(w, "first")),
                 (long long)json_integer_value(json_object_get(w, "last")), (long long)json_integer_value(json_object_get(w, "anchors")),
                 (long long)json_integer_value(json_object_get(w, "anchors_outside")),
                 (long long)json_integer_value(json_object_get(w, "anchored")));
        door_field("writer", line);
    }
}

static void print_removed(const json_t *list) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *r = json_array_get(list, i);
        const char *why = json_string_value(json_object_get(r, "reason")), *source = json_string_value(json_object_get(r, "source"));
        long long events = (long long)json_integer_value(json_object_get(r, "events")),
                  first = (long long)json_integer_value(json_object_get(r, "first")),
                  last = (long long)json_integer_value(json_object_get(r, "last"));
        char line[400], count[100] = "files of the journal";
        if (strcmp(source, "redis") == 0)
            snprintf(count, sizeof count, "%lld events of %lld streams", events,
                     (long long)json_integer_value(json_object_get(r, "streams")));
        snprintf(line, sizeof line, "%s, %s: %s, between %lld and %lld, by retention (%s) on %s, signed",
                 json_string_value(json_object_get(r, "node")), source, count, first, last, why,
                 json_string_value(json_object_get(r, "time")));
        door_field("removed", line);
    }
}

static void print_report(const json_t *report, uint64_t nfindings) {
    const json_t *notes = json_object_get(report, "notes"), *found = json_object_get(report, "findings");
    print_writers(json_object_get(report, "writers"));
    print_removed(json_object_get(report, "removed"));
    for (size_t i = 0; i < json_array_size(notes); i++) door_field("note", json_string_value(json_array_get(notes, i)));
    for (size_t i = 0; i < json_array_size(found); i++)
        door_field(json_string_value(json_object_get(json_array_get(found, i), "kind")),
                   json_string_value(json_object_get(json_array_get(found, i), "text")));
    if (nfindings > json_array_size(json_object_get(report, "findings")))
        printf("... and %" PRIu64 " more\n", nfindings - json_array_size(json_object_get(report, "findings")));
    bool less = json_array_size(json_object_get(report, "removed")) > 0;
    puts(nfindings > 0 ? "The record was touched."
         : less        ? "The record is whole, but for what was removed by retention, signed."
                       : "The record is whole.");
}

static void add_report(json_t *report, const struct av *v) {
    json_t *writers = writers_json(v);
    json_array_extend(json_object_get(report, "writers"), writers);
    json_array_extend(json_object_get(report, "notes"), v->notes);
    json_array_extend(json_object_get(report, "findings"), v->findings);
    json_array_extend(json_object_get(report, "removed"), v->removed);
    json_decref(writers);
}

int ctl_audit_verify(const struct audit_options *o) {
    struct audit_source redis, journal = {0};
    struct audit_options only = *o;
    struct av a, b = {0};
    bool two = o->journal != NULL && (o->redis != NULL || o->config != NULL);
    only.journal = two ? NULL : o->journal;
    if (!audit_open(&redis, &only, false)) return AUDIT_FAILED;
    bool ok = prepare(&a, &redis, o) && look(&a, &redis);
    if (ok && two) {
        journal = redis; /* borrows what the configuration says */
        journal.journal = o->journal;
        ok = prepare(&b, &journal, o) && look(&b, &journal);
        if (ok) compare(&a, &b);
    }
    json_t *report =
        json_pack("{s:b, s:[], s:[], s:[], s:[]}", "whole", a.nfindings + b.nfindings == 0, "writers", "notes", "removed", "findings");
    if (ok) add_report(report, &a);
    if (ok && two) add_report(report, &b);
    if (ok && o->json)
        audit_print_json(report, true);
    else if (ok)
        print_report(report, a.nfindings + b.nfindings);
    int rc = !ok ? AUDIT_FAILED : a.nfindings + b.nfindings > 0 ? AUDIT_TOUCHED : AUDIT_OK;
    json_decref(report);
    clean(&a);
    if (two) clean(&b);
    audit_close(&redis);
    return rc;
}
