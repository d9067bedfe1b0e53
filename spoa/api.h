/* The statement API: HAProxy's SPOE message "statement" asks for the verdict on one whole SQL text that travels in an HTTP request.
 *
 * A text is judged and recorded as a session's statement is; the answer goes back when the record is durable. The application behind
 * HAProxy runs it on a connection that it shares between principals, so whatever would outlive the request there is refused. */
#ifndef GH_SPOA_API_H
#define GH_SPOA_API_H

#include "spoa/daemon.h"
#include "spoa/spop.h"

#define API_ASKS_MAX 64 /* of one SPOP connection without an answer; HAProxy sends 20 unless told otherwise */

#define API_KEYS_MAX 8 /* of these: questions whose token's key is being looked for, so that no flood of strange tokens takes all places */

struct api_ask; /* a question that waits for its answer */
/* The questions of one SPOP connection. */
struct api_asks {
    struct api_ask *list;
    size_t n, nkeys; /* nkeys of them wait for an issuer's keys */
};

/* Takes the message of the NOTIFY with these ids and answers it by door_spop_answer(): now, or later when it is still in asks. */
void api_statement(struct wstate *ws, struct spop_conn *conn, struct api_asks *asks, const struct spop_message *m, uint64_t stream,
                   uint64_t frame);
/* The connection is gone: nobody waits for these any more. */
void api_forget(struct api_asks *asks);

/* Time passes: ends idle API sessions. */
void api_sweep(struct wstate *ws, uint64_t now_ms);
/* Drain: ends the API sessions that are idle now; the others end with their last answer. */
void api_end_all(struct wstate *ws);
/* The loop is over. */
void api_drop_all(struct wstate *ws);
/* When nobody can answer any of them any more. */
void api_free_all(struct wstate *ws);

#endif
