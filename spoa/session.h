/* A client's session: admitted by a ticket, logged in with a token, every statement judged and recorded before it runs.
 *
 * A session belongs to one worker and is touched by its thread only. */
#ifndef GH_SPOA_SESSION_H
#define GH_SPOA_SESSION_H

#include "spoa/daemon.h"

/* A new connection at the payload door: fd becomes the session's. Closed at once when there is no memory. */
void session_accept(struct wstate *ws, int fd);
/* Time passes: deadlines, idle time, stalls. For every session of the worker. */
void session_sweep(struct wstate *ws, uint64_t now_ms);
/* Drain: ends the sessions that are idle now and marks the others to end as they become so; all: ends every session. */
void session_end_all(struct wstate *ws, bool all);
/* Connections that have not shown their ticket; close: they are closed. */
size_t session_without_ticket(struct wstate *ws, bool close);
/* The loop is over: frees what is left, without a word to the peers. */
void session_drop_all(struct wstate *ws);
/* When nobody can answer any of them any more. */
void session_free_all(struct wstate *ws);

/* An administrator ends the session; uid: who said so. Any thread. False when out of memory. */
bool session_kill(const struct registry_target *target, const char *id, uint32_t uid);

/* A CancelRequest, from whoever: passed to the server of the session that has this key, or forgotten. src is for the record. */
void session_cancel(struct wstate *ws, uint32_t pid, uint32_t secret, const char *src);

#endif
