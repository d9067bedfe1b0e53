/* The messages by which one gatehouse takes over from another: the codec alone, sans-IO. Each message is one packet of a SOCK_SEQPACKET
 * socket, so there is no framing; numbers are big-endian. N is the new daemon, O the old one.
 *
 *     N  HELLO    who I am, which version of this protocol
 *     O  OFFER    who I am, which socket files I serve                  (or REFUSE, with a sentence)
 *        ... N reads its configuration, opens its ledger, reaches Redis; O serves on ...
 *     N  TAKE     stop accepting, and give me what you have
 *     O  KEY      the ticket key; with it, as SCM_RIGHTS, the listening sockets and the channels to daemons that are older still
 *     O  USED     used tickets, as many packets as it takes
 *     O  END      how many they were
 *     N  READY    I have it all
 *     O  GO       you accept, I never will again
 *        ... the socket stays open: O SPOP, N CANCEL, RELOAD either way ...
 *
 * Until O has sent GO, it takes up accepting again when N falls silent or goes. N accepts nothing before GO. */
#ifndef GH_SPOA_HANDOVER_MSG_H
#define GH_SPOA_HANDOVER_MSG_H

#include "filters/bytes.h"
#include "filters/proxyv2.h"
#include "spoa/ticket.h"

#define HO_VERSION    1u
#define HO_FDS        16   /* descriptors with one packet */
#define HO_USED_MAX   512u /* tickets in one packet */
#define HO_TEXT_SIZE  400
#define HO_BYTES_MAX  (65536u + 4u)        /* of a SPOP frame not yet complete */
#define HO_PACKET_MAX (HO_BYTES_MAX + 64u) /* the greatest packet */

enum ho_type {
    HO_HELLO = 1,
    HO_OFFER,
    HO_REFUSE,
    HO_TAKE,
    HO_KEY,
    HO_USED,
    HO_END,
    HO_READY,
    HO_GO,
    HO_SPOP,
    HO_CANCEL,
    HO_RELOAD,
};

/* What a descriptor is. One of a kind, but for the channels; the metrics' and the page's need not be there. */
enum ho_fd { HO_FD_SPOP = 1, HO_FD_PAYLOAD, HO_FD_HANDOVER, HO_FD_OLD, HO_FD_METRICS, HO_FD_PAGE };

struct ho_file { /* st_dev and st_ino of a socket's file; 0, 0 when it is not there */
    uint64_t dev, ino;
};

/* Pointers are into the packet. */
struct ho_msg {
    enum ho_type type;
    union {
        struct {
            uint16_t version; /* when it is not HO_VERSION, nothing else is read */
            uint32_t pid;
            char program[32]; /* version of the program */
        } hello;
        struct {
            uint32_t pid;
            char program[32];
            struct ho_file spop, payload;
        } offer;
        struct {
            char text[HO_TEXT_SIZE];
        } refuse;
        struct {
            uint8_t secret[TICKET_KEY_LEN]; /* wipe it */
            size_t nfds;
            uint8_t fds[HO_FDS]; /* enum ho_fd, or a kind that is not known: to be closed */
        } key;
        struct {
            size_t n;
            struct ticket_use entries[HO_USED_MAX];
        } used;
        struct {
            uint32_t total;
            uint64_t now_ms; /* the latest time that the set has seen */
        } end;
        struct { /* one descriptor comes with it: a connection of HAProxy's */
            uint32_t frame_size;
            bool ready, pipelining;
            const uint8_t *bytes; /* the beginning of a frame, read and not yet complete */
            size_t len;
        } spop;
        struct {
            uint32_t pid, secret;
            char src[PP2_ADDR_SIZE];
        } cancel;
    };
};

/* Appends the packet to b; b->failed when it has no room. */
void ho_put(struct buf *b, const struct ho_msg *m);
/* GH_OK, GH_MALFORMED, or GH_UNSUPPORTED for a type that is not known; why is set to a static sentence unless GH_OK. */
enum gh_rc ho_get(const void *packet, size_t len, struct ho_msg *m, const char **why);

#endif
