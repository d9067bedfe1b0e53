/* The ledger: every event goes to a local append-only journal, then to Redis in order, exactly once.
 *
 * Callers on any thread append and are told when the event is as durable as the mode asks: LED_STRICT, Redis has acknowledged; LED_JOURNAL, the
 * journal has it (it survives the daemon's death). A worker writes to the journal what its sessions, and those of other threads, have appended meanwhile, at
 * the end of each round of its loop (worker_defer()); what comes from other threads, what is large, and all of it when each write waits for the disk (fsync), is
 * written by a thread of the ledger's own, which ships to Redis too.
 *
 * A journal has one writer. Daemons of one node that run side by side, while one takes over from the other, each have a slot: slot 0 is
 * the journal's folder itself and writes as NODE, slot k is DIR/slot-k and writes as NODE/k, which is no node's name.
 *
 * Redis keys: gatehouse:audit:{SESSION} one stream per session; gatehouse:sessions an index stream; gatehouse:auth a bounded
 * stream of failed logins; gatehouse:approval:{REQUEST} one stream per request for approval; gatehouse:shipped:NODE the sequence number shipped last, written in the same transaction as the
 * events, so that a Redis that lost its tail is filled again from the journal. */
#ifndef GH_SPOA_LEDGER_H
#define GH_SPOA_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LED_SLOTS 8u /* journals of one node */

enum led_mode { LED_STRICT, LED_JOURNAL };

struct led_conf {     /* strings are copied by led_open() */
    const char *dir;  /* the journal's folder; made with mode 0700 when missing */
    const char *node; /* this node's name: [A-Za-z0-9_.-]{1,64} */
    unsigned slot;    /* under LED_SLOTS */
    enum led_mode mode;
    bool fsync;                        /* fdatasync before an event counts as journalled */
    uint64_t segment_bytes;            /* a journal file's size before the next one starts [64 MiB] */
    uint64_t retain_bytes;             /* shipped segments beyond this are removed, oldest first [1 GiB] */
    uint64_t retain_ms;                /* and those that are older; 0: of any age */
    uint64_t retention_ms;             /* events of ended sessions that are older are removed from Redis (ledger_trim.h); 0: of any age */
    uint64_t retention_bytes;          /* and older ones while Redis has more than this in its memory; 0: never for that */
    uint64_t retention_least_ms;       /* ... but none that are younger than this [1 day] */
    uint64_t retention_every_ms;       /* between two looks [1 hour] */
    uint64_t max_unshipped;            /* bytes not yet in Redis beyond which LED_JOURNAL refuses too [4 GiB] */
    uint64_t auth_max;                 /* entries kept in gatehouse:auth [10000] */
    uint64_t timeout_ms;               /* LED_STRICT: an event not acknowledged by then is LED_UNAVAILABLE [2000] */
    bool redis_fsync;                  /* an acknowledgement counts when Redis has it on its disk ... */
    uint64_t replicas;                 /* ... and so many of its replicas have it */
    uint64_t anchor_ms;                /* between anchors (ledger_chain.h) while events come; 0: there are no anchors */
    const char *anchor_file;           /* where they are appended; NULL: nowhere. This and the next are borrowed until led_close() */
    const char *const *anchor_command; /* absolute path, arguments, NULL; each anchor on its standard input; NULL: none */
    bool anchor_syslog;
    const char *redis_socket; /* a Unix socket, or */
    const char *redis_host;
    uint16_t redis_port;
    const char *redis_user, *redis_password; /* may be NULL */
    const char *const
        *redis_sentinels; /* "HOST:PORT", ..., NULL: asked for redis_master in place of socket and host. Borrowed, as are these: */
    const char *redis_master;
    const char *redis_prefix; /* of all keys, at most 64 bytes; NULL: "gatehouse:". With a hash tag for Cluster: "{gatehouse}:" */
};

enum led_stream { LED_SESSION, LED_SESSIONS, LED_AUTH, LED_APPROVAL };
/* A name that many events have, as it will be written up to the value: in what is hashed, in the journal, in Redis. */
#define LED_NAME_ROOM 24
struct led_name {
    const char *text;
    size_t len;
    char netstring[LED_NAME_ROOM], json[LED_NAME_ROOM], resp[LED_NAME_ROOM];
};
/* An initializer; length is the literal's, in decimal digits (the compiler looks whether it is), and at most 12. */
#define LED_NAME(length, literal)                                                                                                          \
    {                                                                                                                                      \
        literal, sizeof(char[sizeof literal - 1 == (length) && (length) <= 12 ? (length) : -1]), #length ":" literal ",",                  \
            ",[\"" literal "\",\"", "$" #length "\r\n" literal "\r\n"                                                                      \
    }
struct led_field {
    const char *name;  /* a literal of ours: ASCII that needs no escapes. NULL: value is a struct led_run, whose fields stand here */
    const void *value; /* any bytes; what is not valid UTF-8 is recorded as base64 under NAME.b64 */
    size_t len;
    const struct led_name
        *number; /* the name again: the value is a number in digits, with LED_NUMBER_ROOM bytes that may be read. Else NULL */
};
#define LED_NUMBER_ROOM 24
#define LED_MAX_FIELDS  40 /* those of runs count too */
/* Some fields that many events have, as they will be written: made once, and copied from then on. It never changes. */
struct led_run;
#define LED_RUN_FIELDS 8
#define LED_RUN_BYTES  4096u
/* NULL: out of memory, or they are no such fields: more than LED_RUN_FIELDS, over LED_RUN_BYTES, no UTF-8, or with something in them that is masked. */
struct led_run *led_run_new(const struct led_field *f, size_t n);
void led_run_free(struct led_run *run); /* NULL is fine */
/* Its i-th field, with NULs behind name and value; borrowed. */
const struct led_field *led_run_field(const struct led_run *run, size_t i);
struct led_event { /* copied during led_append() */
    enum led_stream stream;
    const char *session; /* LED_SESSION: the session's id; LED_APPROVAL: the request's; else NULL */
    const char *type;    /* "statement", "result", "login", ... first field of the entry */
    const struct led_field *fields;
    size_t nfields;
    bool can_wait; /* it may be written a few ms later, with the next event that cannot; only with done NULL */
};

enum led_status {
    LED_OK,
    LED_UNAVAILABLE, /* Redis is away (strict) or too much waits for it; try again later */
    LED_FAILED,      /* the journal cannot be written: disk full, I/O error; or the event is over 16 MiB */
};
/* Called on the ledger's thread or a worker's, not within led_append(), exactly once for each append that asked; must only hand the news on and return. */
typedef void (*led_done_fn)(void *arg, enum led_status status);

struct led;
/* Opens the journal, recovers a torn tail, starts the thread. NULL and a sentence in err. Redis need not be up. */
struct led *led_open(const struct led_conf *conf, char *err, size_t errsize);
/* Any thread. done may be NULL: nobody waits. Events of one thread keep their order. */
void led_append(struct led *l, const struct led_event *ev, led_done_fn done, void *arg);
/* The same for who may go on without Redis: the journal is enough, whatever the mode. */
void led_append_journal(struct led *l, const struct led_event *ev, led_done_fn done, void *arg);
/* In two steps, for what is long: masking, escaping and copying pass over all of it. */
struct lev;
/* What led_append() would make of the event, which may not begin or end a session; any thread. NULL: it is over 16 MiB, or out of memory. To be appended, or freed with led_drop_made(). */
struct lev *led_make(const struct led *l, const struct led_event *ev);
/* Appends what was made, which is taken over, as of now (NULL: as what could not be made); journal_does: as led_append_journal(). What is large is written a piece at a time, and events that
 * are appended behind it may come before it: who must not have that waits for the answer. */
void led_append_made(struct led *l, struct lev *made, bool journal_does, led_done_fn done, void *arg);
void led_drop_made(struct lev *made);
/* A session that this process has begun and not ended. Any thread. */
bool led_session_open(const struct led *l, const char *session);
/* False while appends would be answered LED_UNAVAILABLE or LED_FAILED. Any thread. */
bool led_healthy(const struct led *l);
/* False while the journal itself takes no events, or too much waits in it: nobody may go on then. Any thread. */
bool led_journal_healthy(const struct led *l);
/* A sentence that says why not (for logs); "" when healthy. */
void led_why(struct led *l, char *out, size_t size);
/* What to do about it, a static sentence; "" when healthy. Any thread. */
const char *led_todo(const struct led *l);

struct led_stats {
    uint64_t events;          /* written to the journal since the start */
    uint64_t unshipped;       /* events that Redis does not have */
    uint64_t unshipped_bytes; /* of journal */
    uint64_t oldest_ms;       /* when the first of them was written, milliseconds since 1970; 0: there is none */
    uint64_t journal_bytes;
    uint64_t refused, failed, dropped; /* appends answered LED_UNAVAILABLE, LED_FAILED; events lost that nobody waited for */
    uint64_t anchors_failed;           /* attempts to take an anchor out of here */
    bool redis_up;
};
/* Any thread; the numbers may be of different moments. */
void led_stats(const struct led *l, struct led_stats *out);
/* How often Redis was reached and said what it has. Any thread. */
uint64_t led_connects(const struct led *l);
/* All that was appended is in Redis, as far as this connection to it knows. Any thread. */
bool led_settled(const struct led *l);
/* The number of the newest event in the journal, and of the newest that Redis is known to have. Any thread; the second may lag. */
uint64_t led_last(const struct led *l);
uint64_t led_shipped(const struct led *l);
/* Waits until led_settled() at most timeout_ms; false when it is not by then. */
bool led_wait(const struct led *l, uint64_t timeout_ms);
/* Flushes the journal, ships what it can within timeout_ms, ends the thread, frees. Waiting appends are answered. */
void led_close(struct led *l, uint64_t timeout_ms);

#endif
