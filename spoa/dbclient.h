/* Gatehouse as a client of a database: statements of its own, over the same filter, pump and login as a session's, so that TLS and credentials
 * are those of sessions. Asynchronous; one thread. */
#ifndef GH_SPOA_DBCLIENT_H
#define GH_SPOA_DBCLIENT_H

#include "spoa/config.h"

#include <event2/event.h>

struct dbclient;

struct dbclient_end {
    bool ok;
    char sqlstate[6]; /* the server's, or "" */
    char why[256];    /* "" when ok */
    const char *todo; /* static */
};
/* The statement to run now, NULL when there is none left: asked at the beginning and after each that went well. */
typedef const char *(*dbclient_next_fn)(void *arg);
/* The first column of a row (not NULL; text). False ends the connection: the receiver takes no more. */
typedef bool (*dbclient_row_fn)(void *arg, const char *text, size_t len);
/* Once; the client is freed before the call. Never called from within dbclient_start(). */
typedef void (*dbclient_done_fn)(void *arg, const struct dbclient_end *end);

struct dbclient_conf {
    struct event_base *base;
    const struct conf *conf; /* both outlive the client */
    const struct conf_database *db;
    const struct conf_login *login; /* NULL: that of sessions without groups */
    uint64_t timeout_ms;            /* for all of it */
    dbclient_next_fn next;
    dbclient_row_fn row;
    dbclient_done_fn done;
    void *arg;
};
/* NULL when out of memory or descriptors. */
struct dbclient *dbclient_start(const struct dbclient_conf *conf);
void dbclient_cancel(struct dbclient *c); /* done is not called; not from within its calls. NULL is fine */

#endif
