#include <config.h>

#include "spoa/ledger_retained.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void retained_clear(struct retained *r) {
    free(r->runs);
    r->runs = NULL;
    r->nruns = 0;
}

/* --- the text --- */

/* The text that is signed. */
static char *text_of(const struct retained *r, json_t *streams) {
    json_t *runs = json_array();
    for (size_t i = 0; i < r->nruns; i++)
        json_array_append_new(
            runs, json_pack("[I, I, s, s]", (json_int_t)r->runs[i].first, (json_int_t)r->runs[i].last, r->runs[i].prev, r->runs[i].hash));
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:o}", "gatehouse", RETAINED_TYPE, "of", r->of, "where", r->where, "why",
                          r->why, "time", r->time, "events", (json_int_t)r->events, "nstreams", (json_int_t)r->nstreams, "runs", runs);
    if (o != NULL && streams != NULL) json_object_set(o, "streams", streams);
    json_decref(streams);
    char *text = o == NULL || json_array_size(runs) != r->nruns ? NULL : json_dumps(o, JSON_COMPACT);
    json_decref(o);
    return text;
}

static bool copy(char *out, size_t size, const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));
    if (s == NULL || strlen(s) >= size) return false;
    memcpy(out, s, strlen(s) + 1);
    return true;
}

static bool read_run(json_t *o, struct retained_run *run) {
    json_int_t first, last;
    const char *prev, *hash;
    if (json_unpack(o, "[I, I, s, s !]", &first, &last, &prev, &hash) != 0 || first < 1 || last < first || !gh_is_sha256(prev) ||
        !gh_is_sha256(hash))
        return false;
    run->first = (uint64_t)first;
    run->last = (uint64_t)last;
    memcpy(run->prev, prev, sizeof run->prev);
    memcpy(run->hash, hash, sizeof run->hash);
    return true;
}

bool retained_read(const char *text, struct retained *r) {
    *r = (struct retained){0};
    json_t *o = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    const char *what = json_string_value(json_object_get(o, "gatehouse"));
    const json_t *runs = json_object_get(o, "runs");
    json_int_t events = json_integer_value(json_object_get(o, "events")), streams = json_integer_value(json_object_get(o, "nstreams"));
    bool ok = what != NULL && strcmp(what, RETAINED_TYPE) == 0 && copy(r->of, sizeof r->of, o, "of") &&
              copy(r->where, sizeof r->where, o, "where") && copy(r->why, sizeof r->why, o, "why") &&
              copy(r->time, sizeof r->time, o, "time") && json_is_array(runs) && json_array_size(runs) > 0 && events >= 0 && streams >= 0;
    size_t n = ok ? json_array_size(runs) : 0;
    r->events = (uint64_t)events;
    r->nstreams = (uint64_t)streams;
    r->runs = n > 0 ? calloc(n, sizeof *r->runs) : NULL;
    ok = ok && r->runs != NULL;
    for (; ok && r->nruns < n; r->nruns++) ok = read_run(json_array_get(runs, r->nruns), &r->runs[r->nruns]);
    json_decref(o);
    return ok;
}

/* --- runs --- */

bool retained_runs(const struct retained_event *e, size_t n, struct retained *r, size_t *broken) {
    *broken = 0;
    r->nruns = 0;
    r->runs = n > 0 ? calloc(n, sizeof *r->runs) : NULL;
    if (n > 0 && r->runs == NULL) return false;
    for (size_t i = 0; i < n; i++) {
        struct retained_run *run = r->nruns > 0 ? &r->runs[r->nruns - 1] : NULL;
        bool linked = run != NULL && e[i].seq > run->last && strcmp(e[i].prev, run->hash) == 0;
        if (!linked) {
            *broken += run != NULL && e[i].seq <= run->last + 1;
            run = &r->runs[r->nruns++];
            run->first = e[i].seq;
            memcpy(run->prev, e[i].prev, sizeof run->prev);
        }
        run->last = e[i].seq;
        memcpy(run->hash, e[i].hash, sizeof run->hash);
    }
    return true;
}

/* --- the event --- */

static struct led_field field(const char *name, const char *value) { return (struct led_field){name, value, strlen(value), NULL}; }

bool retained_entry(const struct nodekey *key, const struct retained *r, json_t *streams, struct retained_entry *out) {
    *out = (struct retained_entry){.text = text_of(r, streams)};
    if (out->text == NULL || !nodekey_sign(key, out->text, strlen(out->text), out->signature)) return false;
    out->events[gh_u64_text(out->events, r->events)] = '\0';
    out->streams[gh_u64_text(out->streams, r->nstreams)] = '\0';
    const struct led_field f[] = {field("of", r->of),
                                  field("where", r->where),
                                  field("reason", r->why),
                                  field("events", out->events),
                                  field("streams", out->streams),
                                  field("signed", out->text),
                                  field("signature", out->signature),
                                  field("key", nodekey_public(key))};
    memcpy(out->f, f, sizeof f);
    out->ev = (struct led_event){.stream = LED_SESSIONS, .type = RETAINED_TYPE, .fields = out->f, .nfields = sizeof f / sizeof *f};
    return true;
}

void retained_entry_clear(struct retained_entry *e) {
    free(e->text);
    e->text = NULL;
}

/* --- files of a journal --- */

/* What the first event of the main chain from seq on was linked to. */
static bool link_at(struct jnl *j, uint64_t seq, char prev[LEV_HASH_TEXT], char *err, size_t size) {
    const char *json;
    size_t len, line;
    bool main = false;
    if (!jnl_seek(j, seq, err, size)) return false;
    while (!main) {
        struct lev *e;
        if (jnl_next(j, &seq, &json, &len, &line, err, size) != JNL_LINE) return false;
        if ((e = lev_parse(json, len)) == NULL) return false;
        main = e->stream != LED_AUTH;
        const char *was = main ? lev_field(e, "prev") : NULL;
        bool ok = !main || (was != NULL && gh_is_sha256(was));
        if (ok && main) memcpy(prev, was, LEV_HASH_TEXT);
        lev_free_all(e);
        if (!ok) return false;
    }
    return true;
}

struct lev *retained_files(struct jnl *j, const struct nodekey *key, uint64_t last, const char *why, const char *time, const char *node) {
    struct retained_run all = {.first = 1, .last = last, .prev = CHAIN_ZERO};
    struct retained r = {.where = "journal", .runs = &all, .nruns = 1};
    struct retained_entry entry = {.text = NULL};
    char err[400];
    snprintf(r.of, sizeof r.of, "%s", node);
    snprintf(r.why, sizeof r.why, "%s", why);
    snprintf(r.time, sizeof r.time, "%s", time);
    bool ok = link_at(j, last + 1, all.hash, err, sizeof err) && retained_entry(key, &r, NULL, &entry);
    struct lev *e = ok ? lev_of(&entry.ev, node) : NULL;
    retained_entry_clear(&entry);
    return e;
}
