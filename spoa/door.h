/* The listening Unix sockets and who may connect to them. */
#ifndef GH_SPOA_DOOR_H
#define GH_SPOA_DOOR_H

#include "spoa/daemon.h"

/* Binds and listens; takes the place of a socket file that nobody listens on any more. -1 and a sentence in err. */
int door_listen(const struct conf_door *door, char *err, size_t size);
/* True when the peer's user (SO_PEERCRED) is listed; else logs it. */
bool door_peer_ok(const struct conf_door *door, const char *name, int fd);

/* One connection of HAProxy's SPOE at the SPOP door; fd becomes the door's. */
void door_spop_accept(struct wstate *ws, int fd);
/* The loop is over: frees the worker's connections. */
void door_spop_drop_all(struct wstate *ws);

#endif
