/* What both sides of a handover share, and what goes over their channel afterwards. */
#include <config.h>

#include "spoa/handover_int.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PACKETS_PER_TURN 64

struct handover *handover_new(struct daemon *d) {
    struct handover *h = calloc(1, sizeof *h);
    if (h == NULL) return NULL;
    h->d = d;
    h->listen_fd = h->cand = h->found = h->newer = -1;
    pthread_mutex_init(&h->lock, NULL);
    return h;
}

void handover_free(struct handover *h) {
    if (h == NULL) return;
    ho_candidate_drop(h);
    while (h->nold > 0) ho_old_drop(h, &h->old[h->nold - 1]);
    struct event *events[] = {h->listening, h->timer, h->newer_ev};
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        if (events[i] != NULL) event_free(events[i]);
    int fds[] = {h->listen_fd, h->found, h->newer};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0) close(fds[i]);
    while (h->pauses != NULL) {
        struct pause *p = h->pauses;
        h->pauses = p->next;
        free(p);
    }
    pthread_mutex_destroy(&h->lock);
    free(h);
}

/* --- channels to older daemons --- */

void ho_old_drop(struct handover *h, struct ho_old *o) {
    pthread_mutex_lock(&h->lock);
    if (o->ev != NULL) event_free(o->ev);
    close(o->fd);
    struct ho_old *last = &h->old[--h->nold];
    if (o != last) {
        /* The event's argument is its place: it gets a new one. */
        int fd = last->fd;
        if (last->ev != NULL) event_free(last->ev);
        *o = (struct ho_old){.h = h, .fd = fd};
    }
    pthread_mutex_unlock(&h->lock);
}

static void on_old(evutil_socket_t fd, short what, void *arg);

bool ho_old_watch(struct ho_old *o) {
    if (o->ev != NULL || o->h->base == NULL) return true;
    o->ev = event_new(o->h->base, o->fd, EV_READ | EV_PERSIST, on_old, o);
    return o->ev != NULL && event_add(o->ev, NULL) == 0;
}

bool ho_old_add(struct handover *h, int fd) {
    pthread_mutex_lock(&h->lock);
    bool ok = h->nold < HO_OLD_MAX;
    if (ok) h->old[h->nold++] = (struct ho_old){.h = h, .fd = fd};
    pthread_mutex_unlock(&h->lock);
    if (!ok) close(fd);
    return ok;
}

/* NULL, or what was wrong with the packet. */
static const char *from_old(struct handover *h, const struct ho_packet *p, int *fd) {
    struct ho_msg *m = malloc(sizeof *m);
    const char *why = "out of memory";
    if (m == NULL) return why;
    if (ho_get(p->bytes, p->len, m, &why) == GH_OK) {
        why = NULL;
        if (m->type == HO_SPOP && p->nfds == 1) {
            struct spop_agent_state st = {m->spop.frame_size, m->spop.ready, m->spop.pipelining, m->spop.bytes, m->spop.len};
            wstate_adopt_spop(h->d, p->fds[0], &st);
            *fd = -1;
        } else if (m->type == HO_RELOAD)
            h->calls.reload(h->calls.arg);
        else
            why = "a message that is not expected here";
    }
    free(m);
    return why;
}

static void on_old(evutil_socket_t fd, short what, void *arg) {
    struct ho_old *o = arg;
    struct handover *h = o->h;
    (void)what;
    for (int i = 0; i < PACKETS_PER_TURN; i++) {
        enum ho_io rc = ho_recv((int)fd, &h->packet);
        if (rc == HO_IO_AGAIN) return;
        const char *why = rc == HO_IO_OK    ? from_old(h, &h->packet, &h->packet.fds[0])
                          : rc == HO_IO_BAD ? "a message that is too long"
                                            : NULL;
        if (rc == HO_IO_OK) ho_packet_done(&h->packet);
        if (rc == HO_IO_OK && why == NULL) continue;
        if (why != NULL)
            log_event(LOG_ERROR, "upgrade.channel", "reason", why, "older", log_fmt("%zu", h->nold - 1), NULL);
        else
            log_event(LOG_INFO, "upgrade.older_gone", "older", log_fmt("%zu", h->nold - 1), NULL);
        ho_old_drop(h, o);
        for (size_t k = 0; k < h->nold; k++)
            if (!ho_old_watch(&h->old[k])) log_event(LOG_ERROR, "upgrade.channel", "reason", "out of memory", NULL);
        return;
    }
}

bool handover_serve(struct handover *h, struct event_base *base, const struct handover_calls *calls) {
    h->base = base;
    h->calls = *calls;
    for (size_t i = 0; i < h->nold; i++)
        if (!ho_old_watch(&h->old[i])) return false;
    return ho_old_side_start(h);
}

/* --- to older daemons --- */

static bool to_old(struct handover *h, const struct ho_msg *m) {
    pthread_mutex_lock(&h->lock);
    bool any = h->nold > 0;
    for (size_t i = 0; i < h->nold; i++)
        if (ho_send(h->old[i].fd, m, NULL, 0) == HO_IO_AGAIN)
            log_event(LOG_WARN, "upgrade.channel", "reason", "an older daemon does not read: a message for it is dropped", NULL);
    pthread_mutex_unlock(&h->lock);
    return any;
}

void handover_reload(struct handover *h) {
    struct ho_msg m = {.type = HO_RELOAD};
    to_old(h, &m);
    h->cand_stale = h->cand >= 0;
}

bool handover_reload_newer(struct handover *h) {
    struct ho_msg m = {.type = HO_RELOAD};
    return h->newer >= 0 && ho_send(h->newer, &m, NULL, 0) == HO_IO_OK;
}

bool handover_cancel(struct handover *h, uint32_t pid, uint32_t secret, const char *src) {
    struct ho_msg m = {.type = HO_CANCEL, .cancel = {.pid = pid, .secret = secret}};
    memccpy(m.cancel.src, src, '\0', sizeof m.cancel.src - 1);
    return to_old(h, &m);
}

/* --- to the newer one --- */

enum handover_give handover_give_spop(struct handover *h, int fd, const struct spop_agent_state *st) {
    struct ho_msg m = {.type = HO_SPOP, .spop = {st->frame_size, st->ready, st->pipelining, st->bytes, st->len}};
    pthread_mutex_lock(&h->lock);
    enum ho_io rc = h->newer < 0 ? HO_IO_GONE : ho_send(h->newer, &m, &fd, 1);
    pthread_mutex_unlock(&h->lock);
    return rc == HO_IO_OK ? HANDOVER_GIVEN : rc == HO_IO_AGAIN ? HANDOVER_LATER : HANDOVER_NOBODY;
}
