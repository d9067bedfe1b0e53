/* What the SPOP door learnt of a connection, kept until its payload comes with the ticket: by session id, once, for the ticket's lifetime, in
 * this process only. Any thread. */
#ifndef GH_SPOA_ADMIT_H
#define GH_SPOA_ADMIT_H

#include "spoa/cert.h"
#include "spoa/ticket.h"

struct admit {
    char sid[SID_SIZE];
    char sni[256], alpn[32]; /* as the client sent them; "" without */
    uint32_t connection;     /* MySQL: the id that the greeting named; 0: unknown */
    bool oauthbearer;        /* of the frontend: its clients bring tokens by OAUTHBEARER */
    struct cert *cert;       /* owned; NULL: none was shown */
    /* the table's */
    uint64_t expiry_ms;
    struct admit *next, *newer, *older;
};
void admit_free(struct admit *a); /* NULL is fine */

struct admits;
/* At most max at a time. NULL when out of memory. */
struct admits *admits_new(size_t max);
void admits_free(struct admits *t);
/* Takes a over, for ttl_ms. False when the table is full: a stays the caller's. */
bool admits_put(struct admits *t, struct admit *a, uint64_t now_ms, uint64_t ttl_ms);
/* The entry of a session, which is the caller's from here on; NULL when there is none (any more). */
struct admit *admits_take(struct admits *t, const char *sid, uint64_t now_ms);
size_t admits_count(struct admits *t);

#endif
