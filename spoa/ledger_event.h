/* One event on its way: copied from a led_event, written to the journal as JSON, sent to Redis as an XADD, read back from the journal.
 *
 *   {"seq":12,"id":"1790000000000-0","stream":"audit","session":"s1","fields":[["type","login"],["seq","12"],["node","n1"],["time","..."],["prev","..."],...]}
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
/* A hash in hex digits, see ledger_chain.h. */
#define LEV_HASH_TEXT 65

/* Keys, as an event's hash has them, and as they are in Redis without redis.prefix. */
#define LEV_PREFIX       "gatehouse:"
#define LEV_KEY_SESSIONS LEV_PREFIX "sessions"
#define LEV_KEY_AUTH     LEV_PREFIX "auth"
#define LEV_KEY_AUDIT    LEV_PREFIX "audit:"
#define LEV_KEY_APPROVAL LEV_PREFIX "approval:"
#define LEV_KEY_MAX      512 /* of a key; names in them are at most 200 bytes, the prefix 64 */

struct lev_part {
    const char *at; /* inside the event's own memory, or the ledger's node name */
    size_t len;
};

struct lev_text {
    const char *at;
    size_t len;
};

/* Most events are small, and all of their text is made at once, in each of its three forms (ledger_forms.h). A large one, one in which something was masked, and one that was
 * read from the journal has its names and values in parts. */
struct lev {
    struct lev *next;
    size_t bytes;      /* of memory */
    size_t line_bytes; /* of its line in the journal, once it has one */
    uint64_t seq;      /* 0 until lev_number() */
    uint64_t ms;       /* of its time; from lev_number() on, of its id */
    enum led_stream stream;
    char id[LEV_ID_TEXT], seq_text[24], time_text[32], prev_text[LEV_HASH_TEXT];
    const char *key;                                    /* the Redis key */
    const char *session;                                /* NULL unless LED_SESSION or LED_APPROVAL */
    size_t nfields;                                     /* type, seq, node, time, prev, then the caller's */
    struct lev_text type, node, netstrings, json, resp; /* small: these, and the caller's fields; else at NULL */
    size_t id_len, seq_len, time_len, prev_len;
    size_t nparts;     /* name, value, name, value; 0: small */
    uint64_t plain[2]; /* a bit for each part that is known to need no escapes in JSON */
    struct lev_part parts[];
};

/* The most bytes of names and values in one event. */
#define LEV_MAX_BYTES ((size_t)16 << 20)
/* And of one of them as it is recorded: base64 takes a third more. */
#define LEV_MAX_PART (LEV_MAX_BYTES / 3 * 4 + 8)
/* A copy, stamped with the time of now. NULL when over LEV_MAX_BYTES or out of memory. node must outlive it. */
struct lev *lev_of(const struct led_event *ev, const char *node);
/* Stamps it again, before it has a number. */
void lev_stamp(struct lev *e);
/* Gives it its number and its id. */
void lev_number(struct lev *e, uint64_t seq, struct lev_id id);
/* Sets the hash of the event before it in its chain; empty until then. */
void lev_set_prev(struct lev *e, const char hash[LEV_HASH_TEXT]);
void lev_json(const struct lev *e, struct buf *out);
/* All of its names and values as RESP's bulk strings. */
void lev_resp(const struct lev *e, struct buf *out);
/* Small ones: what is hashed before its netstrings, the key and its own fields. Gives the length. */
#define LEV_HEAD_ROOM (LEV_KEY_MAX + 1024)
size_t lev_hashed_head(const struct lev *e, char out[LEV_HEAD_ROOM]);
/* From a journal's line; NULL when it is not one of ours. */
struct lev *lev_parse(const char *json, size_t len);
/* The value of its first field of this name, NUL-terminated; NULL: there is none. */
const char *lev_field(const struct lev *e, const char *name);
void lev_free_all(struct lev *list);

bool lev_id_parse(const char *text, struct lev_id *id);
/* The next id: now, or just above the last one when the clock stands still or went back. */
struct lev_id lev_id_next(struct lev_id last, uint64_t now_ms);

#endif
