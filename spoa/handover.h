/* One gatehouse takes over from another without a refused connection: see spoa/handover_msg.h for the protocol between them.
 *
 * Everything is for the main thread but where it says otherwise. */
#ifndef GH_SPOA_HANDOVER_H
#define GH_SPOA_HANDOVER_H

#include "spoa/daemon.h"

struct handover;
/* NULL when out of memory. d must outlive it; its workers must have ended before handover_free(). */
struct handover *handover_new(struct daemon *d);
void handover_free(struct handover *h); /* NULL is fine */

/* --- the new daemon, as it starts; these block, for seconds at most --- */

enum handover_found {
    HANDOVER_ALONE,  /* nobody is there to take over from */
    HANDOVER_FOUND,  /* one that is willing; it serves on */
    HANDOVER_FAILED, /* one that is not, or does not answer: see err */
};
enum handover_found handover_find(struct handover *h, char *err, size_t size);
/* Makes the other stop accepting and takes what it has: the daemon's listening sockets, ticket key and used tickets. The other takes up
 * accepting again when handover_go() does not follow within seconds. */
bool handover_take(struct handover *h, char *err, size_t size);
/* True: the doors are ours, accept. After handover_serve(). */
bool handover_go(struct handover *h, char *err, size_t size);
/* Tells the other why not; it serves on. Nothing when there is no other, or after handover_go(). */
void handover_give_up(struct handover *h, const char *why);

/* --- the running daemon --- */

/* Binds the socket at which a newer one asks. With force also when another process listens there. */
bool handover_listen(struct handover *h, bool force, char *err, size_t size);
struct handover_calls {
    void (*replaced)(void *arg); /* a newer daemon has the doors: drain */
    void (*reload)(void *arg);   /* another one was told to reload */
    void *arg;
};
/* Answers newer daemons, and listens to those that were replaced. */
bool handover_serve(struct handover *h, struct event_base *base, const struct handover_calls *calls);
/* A reload here is one everywhere: passes it on to the daemons that this one replaced, and to one that takes over just now, which may have read the
 * files before they were changed. */
void handover_reload(struct handover *h);
/* Leaves a reload to the daemon that replaced this one, which passes it back; false when there is none. */
bool handover_reload_newer(struct handover *h);

/* --- any thread --- */

/* Passes a cancel request on to the daemons that this one replaced; false when there are none. */
bool handover_cancel(struct handover *h, uint32_t pid, uint32_t secret, const char *src);
enum handover_give { HANDOVER_GIVEN, HANDOVER_LATER, HANDOVER_NOBODY };
/* Gives a connection of the SPOP door to the daemon that replaced this one: the caller closes its own descriptor when it was given. */
enum handover_give handover_give_spop(struct handover *h, int fd, const struct spop_agent_state *st);

#endif
