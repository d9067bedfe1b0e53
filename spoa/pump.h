/* Moves bytes between two sockets and a filter: raw reads and writes on readiness, bounded buffers, backpressure both ways. The server's side may
 * turn to TLS.
 *
 * A side is not read while bytes that it sent wait for the filter, or while an output that its bytes may lengthen is over the mark. */
#ifndef GH_SPOA_PUMP_H
#define GH_SPOA_PUMP_H

#include "filters/filter.h"
#include "spoa/metrics.h"
#include "spoa/tls.h"

#include <event2/event.h>

struct pump_side {
    struct pump *pump;
    int fd; /* -1: not connected, or closed */
    struct event *rd, *wr;
    bool rd_on, wr_on; /* what the loop watches */
    bool eof;          /* the peer sends no more */
    bool eof_told;
    bool dead;                 /* the peer takes no more */
    struct buf in;             /* read, but not yet taken by the filter: at most one read */
    uint64_t blocked_ms;       /* since when a write waits, or since it was seen last that the peer takes bytes meanwhile; 0: none does */
    int unread;                /* bytes in its socket when pump_stalled() looked last; -1: it did not, since the write waits */
    struct tls_conn *tls;      /* NULL: none */
    struct tls_conn *tls_next; /* begins when the plain text that announces it has been written */
    bool shaking;              /* the handshake is not done: no byte is moved */
    bool more;                 /* TLS may hold bytes that the socket does not show */
    bool want_write;           /* a handshake, or a read inside TLS, waits for room in the socket */
};

struct pump {
    struct event_base *base;
    struct flt *filter;
    uint8_t *scratch; /* one read's worth, shared by the pumps of a thread */
    size_t scratch_size, mark;
    struct mblock *m; /* counts bytes; NULL: nobody does */
    void *owner;
    void (*on_event)(void *owner, const struct flt_event *ev); /* may answer, may not call pump_run() */
    /* The handshake that pump_tls() began is over; why: what went wrong, or NULL. May answer the filter, may not call pump_run(). */
    void (*on_tls)(void *owner, const char *why);
    /* Both sockets are closed; nothing follows. The pump's memory must outlive the call. */
    void (*on_closed)(void *owner);
    struct pump_side side[2]; /* by enum flt_side */
    struct buf *out[2];       /* the filter's */
    bool running, closing, lingering, closed;
    uint64_t turns;        /* grows whenever the loop comes to this pump */
    uint64_t deadline_ms;  /* while closing */
    uint64_t active_ms;    /* when bytes moved last */
    uint64_t began_ms;     /* when the client's bytes came last to a session at rest: no transaction that is open is older */
    size_t linger_bytes;   /* thrown away after our last byte */
    uint64_t bytes_client; /* written to the client */
};

/* Prepares p, whose base, filter, scratch, scratch_size, mark, owner and calls are set. */
void pump_init(struct pump *p);
/* Gives the side its socket, which the pump owns from here on; call pump_run() after. False when out of memory: fd is closed. */
bool pump_attach(struct pump *p, enum flt_side side, int fd);
/* The server's side becomes TLS: conn, which is the pump's from here on, begins its handshake. May be called from on_event. False when bytes that were
 * read in plain text are left over: nothing has changed then but that conn is freed. */
bool pump_tls(struct pump *p, struct tls_conn *conn);
/* What broke the server's TLS; "" when nothing did. */
const char *pump_tls_error(const struct pump *p);
/* Closes the server's connection; the session lives on and may attach another. May be called from on_event. */
void pump_detach_server(struct pump *p);
/* Bytes of the client that were read before the pump had its socket; at most one read's worth. */
void pump_prefill(struct pump *p, const void *data, size_t len);
/* Moves what can be moved, hands events to the owner. To be called after every answer that was given outside on_event. */
void pump_run(struct pump *p);
/* Nothing has moved for a while: buffers that are empty give their memory back. */
void pump_spare(struct pump *p);
/* Time passes: ends a closing that takes too long. */
void pump_tick(struct pump *p, uint64_t now_ms);
/* The client sends no more, seen past bytes that the filter does not take yet. */
bool pump_client_left(const struct pump *p);
/* Closes both sockets now. The filter is not told: who wants an end that is recorded lets it close first. */
void pump_abort(struct pump *p);
/* Milliseconds for which the slower side has taken none of our bytes though some wait; 0 when none do. To be called from time to time: a socket has room again only when a good
 * part of what it holds is taken, which from somebody slow may take longer than he may be silent, so each call looks whether it holds less than at the last. TCP says so in
 * steps: of up to 130 KB on a loopback. */
uint64_t pump_stalled(struct pump *p, uint64_t now_ms);

#endif
