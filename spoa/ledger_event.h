/* One event on its way: copied from a led_event, written to the journal as JSON, sent to Redis as an XADD, read back from the journal.
 *
 *   {"seq":12,"id":"1790000000000-0","stream":"audit","session":"s1","fields":[["type","login"],["seq","12"],["node","n1"],["time","..."],...]}
 *
 * Both places get the same names and values. A value that is not UTF-8, or holds a NUL, is base64 (RFC 4648) under NAME.b64. */
#ifndef GH_SPOA_LEDGER_EVENT_H
#define GH_SPOA_LEDGER_EVENT_H

#include "filters/bytes.h"
#include "spoa/ledger.h"

/* A Redis stream id, <ms>-<n>. */
struct lev_id {
    uint64_t ms, n;
};
#define LEV_ID_TEXT 44

struct lev_part {
    const char *at; /* inside the event's own memory, or the ledger's node name */
    size_t len;
};

struct lev {
    struct lev *next;
    size_t bytes;      /* of memory */
    size_t line_bytes; /* of its line in the journal, once it has one */
    uint64_t seq;      /* 0 until lev_number() */
    enum led_stream stream;
    char id[LEV_ID_TEXT], seq_text[24], time_text[32];
    const char *key;     /* the Redis key */
    const char *session; /* NULL unless LED_SESSION */
    size_t nparts;       /* name, value, name, value: type, seq, node, time, then the caller's */
    struct lev_part parts[];
};

/* The most bytes of names and values in one event. */
#define LEV_MAX_BYTES ((size_t)16 << 20)
/* A copy, stamped with the time of now. NULL when over LEV_MAX_BYTES or out of memory. node must outlive it. */
struct lev *lev_of(const struct led_event *ev, const char *node);
/* Gives it its number and its id. */
void lev_number(struct lev *e, uint64_t seq, struct lev_id id);
void lev_json(const struct lev *e, struct buf *out);
/* From a journal's line; NULL when it is not one of ours. */
struct lev *lev_parse(const char *json, size_t len);
void lev_free_all(struct lev *list);

bool lev_id_parse(const char *text, struct lev_id *id);
/* The next id: now, or just above the last one when the clock stands still or went back. */
struct lev_id lev_id_next(struct lev_id last, uint64_t now_ms);

#define LEV_KEY_SESSIONS "gatehouse:sessions"
#define LEV_KEY_AUTH     "gatehouse:auth"
#define LEV_KEY_AUDIT    "gatehouse:audit:"
#define LEV_KEY_SHIPPED  "gatehouse:shipped:"

#endif
