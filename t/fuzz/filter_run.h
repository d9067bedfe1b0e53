/* A whole filter, both directions, with an owner that refuses some statements: what the targets of PostgreSQL and MySQL share. Input: records of side (1 byte), length
 * (2 bytes), bytes.
 *
 * Checked besides memory errors: what the protocol's own check says of the bytes for the server; and cutting the input into single bytes changes neither output nor
 * events. A sweep: what goes to the server with less memory is the beginning of what goes there with all of it, and the client is told. */
#ifndef GH_T_FILTER_RUN_H
#define GH_T_FILTER_RUN_H

#include "filters/filter.h"

struct run {
    struct flt *f;
    bool closed;           /* it said so */
    struct buf out[2];     /* everything that came out */
    struct buf pending[2]; /* fed and not taken */
    struct buf allowed;    /* texts that were allowed, each behind its length */
    uint64_t events;       /* a hash of all events */
    size_t server_left;    /* of the server's message at hand */
    unsigned opened, odd;  /* connections to the server; which of them begin with SSLRequest */
    unsigned lost;         /* logins there that failed */
    bool starttls;         /* PostgreSQL: its answer is due, one byte */
};

/* The target's protocol. */
extern const struct run_protocol {
    struct flt *(*create)(void);
    /* Opens a connection to the server: the next of r->opened, which it counts up; or says that there is none. */
    void (*open)(struct run *r);
    void (*hello)(struct run *r, const struct flt_event *ev);
    void (*login)(struct run *r, const struct flt_event *ev);
    void (*statement)(struct run *r, const struct flt_event *ev);
    void (*secured)(struct run *r);
    /* The length of the server's message that begins at p; n where its beginning does not say. */
    size_t (*message)(struct run *r, const uint8_t *p, size_t n);
    /* Aborts when what went to the server is not what may go there. cut: memory was out, so the last message may be unfinished. */
    void (*check)(const struct run *r, bool cut);
    const char *no_memory; /* is in an error about it */
} run_protocol;

void run_mix(struct run *r, const void *data, size_t len);

/* Refused is a third of all texts, by their bytes. */
bool run_refused(const char *text, size_t len);

/* What the server may be sent from now on. */
void run_allow(struct run *r, const char *text, size_t len);
bool run_was_allowed(const struct run *r, const void *text, size_t len);

#endif
