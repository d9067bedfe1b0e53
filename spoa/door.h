/* The listening Unix sockets and who may connect to them. */
#ifndef GH_SPOA_DOOR_H
#define GH_SPOA_DOOR_H

#include "spoa/daemon.h"
#include "spoa/spop.h"

/* Binds a socket of this type (SOCK_STREAM, SOCK_SEQPACKET) and listens; takes the place of a socket file that nobody listens on any
 * more, with force also of one that somebody does. -1 and a sentence in err. */
int door_listen(const struct conf_door *door, int type, bool force, char *err, size_t size);
/* True when a process has a socket at this path. */
bool door_busy(const char *path);
/* True when the peer's user (SO_PEERCRED) is listed; else logs it. */
bool door_peer_ok(const struct conf_door *door, const char *name, int fd);

/* One connection of HAProxy's SPOE at the SPOP door; fd becomes the door's. */
void door_spop_accept(struct wstate *ws, int fd);
/* Answers a NOTIFY of this connection, in its handler or later. Later, the connection may be gone when it returns. */
enum spop_ack_rc door_spop_answer(struct spop_conn *c, uint64_t stream, uint64_t frame, const struct spop_action *actions, size_t n);
/* One that another daemon served before, in state st; fd becomes the door's. */
void door_spop_adopt(struct wstate *ws, int fd, const struct spop_agent_state *st);
/* Gives those to the daemon that replaces this one that can be given now; ends them when it is gone. */
void door_spop_give(struct wstate *ws);
/* The loop is over: frees the worker's connections. */
void door_spop_drop_all(struct wstate *ws);

#endif
