/* The ledger: every event goes to a local append-only journal, then to Redis in order, exactly once.
 *
 * One thread of its own writes the journal (grouped) and ships to Redis; callers on any thread append and are told when the event is as
 * durable as the mode asks: LED_STRICT, Redis has acknowledged; LED_JOURNAL, the journal has it (it survives the daemon's death).
 *
 * Redis keys: gatehouse:audit:{SESSION} one stream per session; gatehouse:sessions an index stream; gatehouse:auth a bounded
 * stream of failed logins; gatehouse:shipped:NODE the sequence number shipped last, written in the same transaction as the
 * events, so that a Redis that lost its tail is filled again from the journal. */
#ifndef GH_SPOA_LEDGER_H
#define GH_SPOA_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum led_mode { LED_STRICT, LED_JOURNAL };

struct led_conf {     /* strings are copied by led_open() */
    const char *dir;  /* the journal's folder; made with mode 0700 when missing */
    const char *node; /* this node's name: [A-Za-z0-9_.-]{1,64} */
    enum led_mode mode;
    bool fsync;               /* fdatasync before an event counts as journalled */
    uint64_t segment_bytes;   /* a journal file's size before the next one starts [64 MiB] */
    uint64_t retain_bytes;    /* shipped segments beyond this are removed, oldest first [1 GiB] */
    uint64_t max_unshipped;   /* bytes not yet in Redis beyond which LED_JOURNAL refuses too [4 GiB] */
    uint64_t auth_max;        /* entries kept in gatehouse:auth [10000] */
    uint64_t timeout_ms;      /* LED_STRICT: an event not acknowledged by then is LED_UNAVAILABLE [2000] */
    const char *redis_socket; /* a Unix socket, or */
    const char *redis_host;
    uint16_t redis_port;
    const char *redis_user, *redis_password; /* may be NULL */
};

enum led_stream { LED_SESSION, LED_SESSIONS, LED_AUTH };
struct led_field {
    const char *name;
    const void *value; /* any bytes; what is not valid UTF-8 is recorded as base64 under NAME.b64 */
    size_t len;
};
#define LED_MAX_FIELDS 40
struct led_event { /* copied during led_append() */
    enum led_stream stream;
    const char *session; /* LED_SESSION: the id, else NULL */
    const char *type;    /* "statement", "result", "login", ... first field of the entry */
    const struct led_field *fields;
    size_t nfields;
};

enum led_status {
    LED_OK,
    LED_UNAVAILABLE, /* Redis is away (strict) or too much waits for it; try again later */
    LED_FAILED,      /* the journal cannot be written: disk full, I/O error; or the event is over 16 MiB */
};
/* Called on the ledger's thread, exactly once for each append that asked; must only hand the news on and return. */
typedef void (*led_done_fn)(void *arg, enum led_status status);

struct led;
/* Opens the journal, recovers a torn tail, starts the thread. NULL and a sentence in err. Redis need not be up. */
struct led *led_open(const struct led_conf *conf, char *err, size_t errsize);
/* Any thread. done may be NULL: nobody waits. Events of one thread keep their order. */
void led_append(struct led *l, const struct led_event *ev, led_done_fn done, void *arg);
/* False while appends would be answered LED_UNAVAILABLE or LED_FAILED. Any thread. */
bool led_healthy(const struct led *l);
/* A sentence that says why not (for logs); "" when healthy. */
void led_why(struct led *l, char *out, size_t size);
/* Flushes the journal, ships what it can within timeout_ms, ends the thread, frees. Waiting appends are answered. */
void led_close(struct led *l, uint64_t timeout_ms);

#endif
