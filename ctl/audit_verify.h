/* Shared by the files of gatehousectl audit verify. */
#ifndef GH_CTL_AUDIT_VERIFY_H
#define GH_CTL_AUDIT_VERIFY_H

#include "ctl/audit.h"
#include "spoa/ledger_retained.h"

#define AV_FINDINGS 1000u /* that are kept; all are counted */
#define AV_KEYS     16u

struct av_seen { /* an event */
    uint64_t seq;
    uint8_t hash[32], prev[32];
    uint32_t stream; /* index in av.streams */
    bool auth;       /* of the bounded stream, which has a chain of its own */
};

struct av_anchor {
    struct av_anchor *next;
    struct chain_anchor a;
    char *text;
    bool outside; /* from the file; else it was an event of number seq */
    bool trusted; /* the signature is good, and of a key that counts */
};

struct av_run { /* of events that retention removed */
    uint64_t first, last;
    uint8_t prev[32], hash[32];
    bool used; /* the chain goes through it */
};

struct av_writer { /* one journal of one node */
    struct av_writer *next;
    char *node;
    struct av_seen *list; /* sorted by number once all is read */
    size_t n, room;
    struct av_anchor *anchors;
    struct av_run *runs; /* sorted by their first number once all is read */
    size_t nruns, runs_room;
    uint64_t end;         /* of the main chain: the last event that is there, or that retention removed behind it */
    uint64_t upto;        /* events beyond were not looked at */
    uint64_t counter;     /* gatehouse:shipped:NODE; 0: it is not there */
    uint32_t last_stream; /* while reading: 1 + the stream of the last event, and its number */
    uint64_t last_seq;
};

struct av {
    const char *source; /* "redis" or "journal", of what is looked at now */
    bool source_is_journal;
    const char *prefix;
    char auth_key[256];
    struct av_writer *writers;
    char **streams;
    size_t nstreams, streams_room;
    uint64_t entries;
    char keys[AV_KEYS][NODEKEY_PUBLIC_SIZE]; /* that count */
    size_t nkeys;
    bool have_file;
    bool any_key; /* none was named: those of the anchors count */
    json_t *findings, *notes, *removed;
    uint64_t nfindings;
};

__attribute__((format(printf, 6, 7))) void av_find(struct av *v, const char *kind, const char *node, uint64_t from, uint64_t to,
                                                   const char *fmt, ...);
__attribute__((format(printf, 2, 3))) void av_note(struct av *v, const char *fmt, ...);
struct av_writer *av_writer(struct av *v, const char *node);
/* The event of this number; NULL: it is not there. */
const struct av_seen *av_event(const struct av_writer *w, uint64_t seq);

/* A hash in hex digits. */
bool av_hex(const char *s, size_t len, uint8_t out[32]);

/* The number with which its record ends, be it that of an event that retention removed. Once the chains are checked. */
uint64_t av_last(const struct av_writer *w);

/* --- what retention removed --- */

/* An event of that type, in the event of number seq of node. */
void av_retention(struct av *v, const struct audit_event *e, uint64_t seq, const char *node);
void av_runs_sort(struct av_writer *w);
/* A place in the main chain: behind an event; 0 and zeros: its beginning. */
struct av_place {
    uint64_t seq;
    const uint8_t *hash;
};
/* Goes on through what was removed as far as it leads, at most to the event to (NULL: to the end). True when that is what comes next. */
bool av_bridge(struct av_writer *w, struct av_place *at, const struct av_seen *to);
/* Where the chain is broken: reports it and goes on behind the next run that ends before that number. False: there is none. */
bool av_skip(struct av *v, struct av_writer *w, struct av_place *at, uint64_t before);
/* True when the event of this number is one of those that were removed, as far as the chain led to them. */
bool av_removed(const struct av_writer *w, uint64_t seq);

/* --- anchors --- */

/* Whether a signed text counts; else it is reported as what. seq 0: it is from the file. */
bool av_trust(struct av *v, const char *what, const char *text, const char *signature, const char *key, uint64_t seq, const char *node);

/* Adds the public key in a PEM file to those that count. False after a message on stderr. */
bool av_key(struct av *v, const char *path);
/* An anchor that was found: in the event of number seq of node, or (seq 0) in the file. */
void av_anchor(struct av *v, const char *text, const char *signature, const char *key, uint64_t seq, const char *node);
/* Reads the file of anchors. False after a message on stderr. */
bool av_anchors_read(struct av *v, const char *path);
/* Holds what was read against the anchors. */
void av_anchors_check(struct av *v, struct av_writer *w);
void av_anchors_free(struct av_writer *w);

#endif
