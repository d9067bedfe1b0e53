/* What a service manager is told: sd_notify(3), "Notes" has the protocol. */
#ifndef GH_SPOA_NOTIFY_H
#define GH_SPOA_NOTIFY_H

/* Sends state ("READY=1") to the socket in the environment's NOTIFY_SOCKET. Nothing when there is none, or when it does not take it. */
void notify(const char *state);

#endif
