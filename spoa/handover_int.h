/* Shared by the handover*.c files. */
#ifndef GH_SPOA_HANDOVER_INT_H
#define GH_SPOA_HANDOVER_INT_H

#include "spoa/handover.h"
#include "spoa/handover_msg.h"

#define HO_OLD_MAX (LED_SLOTS - 1u) /* daemons that drain at once */

/* --- packets (handover_io.c) --- */

enum ho_io { HO_IO_OK, HO_IO_AGAIN, HO_IO_GONE, HO_IO_BAD };
struct ho_packet {
    size_t len, nfds;
    int fds[HO_FDS]; /* -1 once somebody has taken it */
    uint8_t bytes[HO_PACKET_MAX];
};
/* Never blocks. HO_IO_GONE: the peer is away, or the system refuses for good. Any thread. */
enum ho_io ho_send(int fd, const struct ho_msg *m, const int *fds, size_t nfds);
enum ho_io ho_recv(int fd, struct ho_packet *p);
/* Waits at most timeout_ms; HO_IO_AGAIN when nothing came. */
enum ho_io ho_recv_wait(int fd, struct ho_packet *p, int timeout_ms);
/* Closes the descriptors that nobody has taken and wipes the bytes. */
void ho_packet_done(struct ho_packet *p);
/* True when the socket's peer runs as this process's user, as root, or as also. Else logs it. */
bool ho_peer_ok(int fd, uid_t also);

/* --- the object --- */

enum ho_phase {
    HO_IDLE,    /* nobody asks */
    HO_GREETED, /* somebody has connected */
    HO_PREPARE, /* has an OFFER, gets itself ready */
    HO_SETTLE,  /* has said TAKE: no worker accepts, the last headers are being read */
    HO_SENDING,
    HO_SENT, /* READY is due */
};

struct ho_old { /* a channel to a daemon that this one, or one before it, replaced */
    struct handover *h;
    int fd;
    struct event *ev;
};

struct handover {
    struct daemon *d;
    struct event_base *base;
    struct handover_calls calls;
    int listen_fd;
    struct event *listening;
    struct ho_packet packet; /* the one being looked at */

    /* who asks to replace us */
    enum ho_phase phase;
    int cand;
    struct event *cand_rd, *cand_wr, *timer;
    uint64_t deadline_ms;
    char cand_name[64];
    bool cand_stale;      /* there was a reload after it had read its files */
    struct pause *pauses; /* all that were ever posted, the current one first */
    size_t sent;          /* used tickets; plus one, the key */

    /* whom we replace, until GO */
    int found;

    pthread_mutex_t lock; /* guards the descriptors below against other threads; only the main thread changes them */
    int newer;            /* who has replaced us */
    struct event *newer_ev;
    struct ho_old old[HO_OLD_MAX];
    size_t nold;
};

/* handover.c: adds a channel; false when there is no room, fd is closed then. */
bool ho_old_add(struct handover *h, int fd);
void ho_old_drop(struct handover *h, struct ho_old *o);
/* Listens to it, once there is a loop; false when out of memory. */
bool ho_old_watch(struct ho_old *o);
/* handover_old.c */
void ho_candidate_drop(struct handover *h);
bool ho_old_side_start(struct handover *h);

#endif
