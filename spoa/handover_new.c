/* The new daemon's side: it runs before the event loop does, and waits. */
#include <config.h>

#include "spoa/handover_int.h"

#include "spoa/httpd.h"
#include "spoa/page.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define OFFER_MS 5000
#define TAKE_MS  10000 /* longer than the other waits for its last headers */
#define GO_MS    10000 /* longer than the other waits for READY, which it then has decided about */

static bool fail(struct handover *h, char *err, size_t size, const char *why) {
    snprintf(err, size, "cannot take over from the running daemon: %s", why);
    ho_packet_done(&h->packet);
    return false;
}

/* The next message, which must be of this type; m is filled. The packet stays until the next one. */
static bool expect(struct handover *h, enum ho_type type, struct ho_msg *m, int timeout_ms, char *err, size_t size) {
    const char *why;
    ho_packet_done(&h->packet);
    switch (ho_recv_wait(h->found, &h->packet, timeout_ms)) {
    case HO_IO_OK: break;
    case HO_IO_AGAIN: return fail(h, err, size, "it does not answer. If it hangs, -F takes its sockets without asking");
    case HO_IO_GONE: return fail(h, err, size, "it closed the connection; its log says why");
    case HO_IO_BAD: return fail(h, err, size, "its message is too long");
    }
    if (ho_get(h->packet.bytes, h->packet.len, m, &why) != GH_OK) return fail(h, err, size, why);
    if (m->type == HO_REFUSE) return fail(h, err, size, m->refuse.text);
    return m->type == type || fail(h, err, size, "it sent another message than the one that is due");
}

static bool say(struct handover *h, const struct ho_msg *m, char *err, size_t size) {
    return ho_send(h->found, m, NULL, 0) == HO_IO_OK || fail(h, err, size, "it closed the connection; its log says why");
}

static bool same_file(const char *path, const struct ho_file *f) {
    struct stat st;
    return stat(path, &st) == 0 && f->dev == st.st_dev && f->ino == st.st_ino;
}

static int connect_to(const char *path) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&un, sizeof un) == 0) return fd;
    int why = errno;
    if (fd >= 0) close(fd);
    errno = why;
    return -1;
}

enum handover_found handover_find(struct handover *h, char *err, size_t size) {
    const struct conf *c = h->d->boot->conf;
    struct ho_msg hello = {.type = HO_HELLO, .hello = {.version = HO_VERSION, .pid = (uint32_t)getpid(), .program = PACKAGE_VERSION}};
    struct ho_msg *m = &(struct ho_msg){0};
    if (c->handover.socket == NULL) {
        snprintf(err, size, "an upgrade needs the key \"handover\": the default path, beside the journal, is too long for a Unix socket");
        return HANDOVER_FAILED;
    }
    h->found = connect_to(c->handover.socket);
    if (h->found < 0 && (errno == ENOENT || errno == ECONNREFUSED)) return HANDOVER_ALONE;
    if (h->found < 0) {
        snprintf(err, size, "cannot connect to the running daemon at %s: %s", c->handover.socket, strerror(errno));
        return HANDOVER_FAILED;
    }
    if (!ho_peer_ok(h->found, c->has_user ? c->user : geteuid())) {
        fail(h, err, size, "another user listens on its socket");
        return HANDOVER_FAILED;
    }
    if (!say(h, &hello, err, size) || !expect(h, HO_OFFER, m, OFFER_MS, err, size)) return HANDOVER_FAILED;
    if (!same_file(c->spop.socket, &m->offer.spop) || !same_file(c->payload.socket, &m->offer.payload)) {
        fail(h, err, size, "its spop and payload sockets are other files than this configuration's; such a change needs a restart");
        return HANDOVER_FAILED;
    }
    log_event(LOG_INFO, "upgrade.found", "pid", log_fmt("%u", (unsigned)m->offer.pid), "version", m->offer.program, NULL);
    return HANDOVER_FOUND;
}

static bool listens(int fd) {
    int on = 0, domain = 0;
    socklen_t size = sizeof on;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &size) != 0 || on == 0) return false;
    size = sizeof domain;
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
}

/* Kinds that are not known stay with the packet, and are closed with it. */
static bool take_key(struct handover *h, struct ho_msg *m) {
    struct ho_packet *p = &h->packet;
    struct daemon *d = h->d;
    if (m->key.nfds != p->nfds) return false;
    for (size_t i = 0; i < p->nfds; i++) {
        int *to = NULL, fd = p->fds[i];
        switch (m->key.fds[i]) {
        case HO_FD_SPOP: to = &d->spop_fd; break;
        case HO_FD_PAYLOAD: to = &d->payload_fd; break;
        case HO_FD_HANDOVER: to = &h->listen_fd; break;
        case HO_FD_OLD:
            p->fds[i] = -1;
            if (!ho_old_add(h, fd)) return false;
            continue;
        case HO_FD_METRICS:
            if (d->metrics_fd >= 0 || !httpd_listens_at(fd, &d->boot->conf->metrics)) continue;
            d->metrics_fd = fd;
            p->fds[i] = -1;
            continue;
        case HO_FD_PAGE:
            if (page_adopt(d, fd)) p->fds[i] = -1;
            continue;
        default: continue;
        }
        if (*to >= 0 || !listens(fd)) return false;
        *to = fd;
        p->fds[i] = -1;
    }
    d->key = ticket_key_of(m->key.secret);
    return d->key != NULL && d->spop_fd >= 0 && d->payload_fd >= 0 && h->listen_fd >= 0;
}

static bool take_used(struct handover *h, struct ho_msg *m, char *err, size_t size) {
    uint32_t total = 0;
    uint64_t end = worker_now_ms() + TAKE_MS;
    const char *why;
    for (;;) {
        uint64_t now = worker_now_ms();
        ho_packet_done(&h->packet);
        if (now >= end || ho_recv_wait(h->found, &h->packet, (int)(end - now)) != HO_IO_OK)
            return fail(h, err, size, "it went silent while it sent its tickets");
        if (ho_get(h->packet.bytes, h->packet.len, m, &why) != GH_OK) return fail(h, err, size, why);
        if (m->type == HO_END) break;
        if (m->type != HO_USED) return fail(h, err, size, "it sent another message than used tickets");
        for (size_t i = 0; i < m->used.n; i++, total++)
            if (!ticket_used_add(h->d->used, &m->used.entries[i])) return fail(h, err, size, "it has more used tickets than fit");
    }
    if (m->end.total != total) return fail(h, err, size, "a used ticket got lost on the way");
    ticket_used_now(h->d->used, m->end.now_ms);
    return true;
}

bool handover_take(struct handover *h, char *err, size_t size) {
    struct ho_msg *m = &(struct ho_msg){.type = HO_TAKE};
    if (!say(h, m, err, size) || !expect(h, HO_KEY, m, TAKE_MS, err, size)) return false;
    bool ok = take_key(h, m);
    gh_wipe(m, sizeof *m);
    if (!ok) return fail(h, err, size, "what it sent is not two doors and a key");
    return take_used(h, m, err, size);
}

bool handover_go(struct handover *h, char *err, size_t size) {
    struct ho_msg *m = &(struct ho_msg){.type = HO_READY};
    if (!say(h, m, err, size) || !expect(h, HO_GO, m, GO_MS, err, size)) return false;
    ho_packet_done(&h->packet);
    int fd = h->found;
    h->found = -1;
    if (!ho_old_add(h, fd) || !ho_old_watch(&h->old[h->nold - 1]))
        log_event(LOG_WARN, "upgrade.channel", "reason", "too many daemons drain: cancel requests do not reach this one", NULL);
    log_event(LOG_INFO, "upgrade.took_over", "older", log_fmt("%zu", h->nold), NULL);
    return true;
}

void handover_give_up(struct handover *h, const char *why) {
    if (h == NULL || h->found < 0) return;
    struct ho_msg m = {.type = HO_REFUSE};
    for (size_t i = 0; i + 1 < sizeof m.refuse.text && why[i] != '\0'; i++)
        m.refuse.text[i] = (char)(why[i] < 0x20 || why[i] > 0x7e ? '?' : why[i]);
    ho_send(h->found, &m, NULL, 0);
    close(h->found);
    h->found = -1;
}
