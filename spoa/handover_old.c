/* The running daemon's side: it answers one that wants to replace it, and takes nothing back after GO. */
#include <config.h>

#include "spoa/handover_int.h"

#include "spoa/door.h"
#include "spoa/httpd.h"
#include "spoa/page.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define HELLO_MS         5000u
#define PREPARE_MS       60000u /* for the new one's ledger and Redis; we serve on meanwhile */
#define SETTLE_MS        500u   /* for headers that are on their way; HAProxy sends them as it connects */
#define READY_MS         3000u  /* nobody accepts meanwhile, and HAProxy waits for two seconds */
#define ROUND_MS         5u
#define PACKETS_PER_TURN 64

/* --- the one that asks --- */

static void set_timer(struct handover *h, uint64_t ms) {
    struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
    event_add(h->timer, &tv);
}

void ho_candidate_drop(struct handover *h) {
    if (h->cand < 0) return;
    if (h->timer != NULL) event_del(h->timer);
    if (h->cand_rd != NULL) event_free(h->cand_rd);
    if (h->cand_wr != NULL) event_free(h->cand_wr);
    h->cand_rd = h->cand_wr = NULL;
    if (h->cand >= 0) close(h->cand);
    h->cand = -1;
    h->phase = HO_IDLE;
}

/* It comes to nothing: we go on as before. tell: the other gets to know. */
static void candidate_failed(struct handover *h, bool tell, const char *why) {
    bool stopped = h->phase >= HO_SETTLE;
    struct ho_msg m = {.type = HO_REFUSE};
    memccpy(m.refuse.text, why, '\0', sizeof m.refuse.text - 1);
    if (tell) ho_send(h->cand, &m, NULL, 0);
    log_event(LOG_ERROR, "upgrade.failed", "by", h->cand_name, "reason", why, "doors", stopped ? "open again" : "open", NULL);
    ho_candidate_drop(h);
    if (stopped) wstate_accept(h->d);
}

static struct ho_file file_of(const struct conf_door *door) {
    struct stat st;
    if (stat(door->socket, &st) != 0) return (struct ho_file){0, 0};
    return (struct ho_file){st.st_dev, st.st_ino};
}

static void greet(struct handover *h, const struct ho_msg *m) {
    const struct conf *c = h->d->boot->conf;
    char why[128];
    if (m->hello.version != HO_VERSION) {
        snprintf(why, sizeof why, "the new one speaks version %u of the handover, this one (%s) version %u: restart instead",
                 (unsigned)m->hello.version, PACKAGE_VERSION, HO_VERSION);
        candidate_failed(h, true, why);
        return;
    }
    snprintf(h->cand_name, sizeof h->cand_name, "%u (%s)", (unsigned)m->hello.pid, m->hello.program);
    struct ho_msg offer = {
        .type = HO_OFFER,
        .offer = {.pid = (uint32_t)getpid(), .program = PACKAGE_VERSION, .spop = file_of(&c->spop), .payload = file_of(&c->payload)}};
    if (ho_send(h->cand, &offer, NULL, 0) != HO_IO_OK) {
        candidate_failed(h, false, "it went away");
        return;
    }
    log_event(LOG_INFO, "upgrade.asked", "by", h->cand_name, NULL);
    h->phase = HO_PREPARE;
    set_timer(h, PREPARE_MS);
}

/* --- its state --- */

static void pause_round(struct handover *h) {
    struct pause *p = calloc(1, sizeof *p);
    if (p == NULL) {
        candidate_failed(h, true, "out of memory");
        return;
    }
    p->next = h->pauses;
    h->pauses = p;
    wstate_pause(h->d, worker_now_ms() >= h->deadline_ms, p);
    set_timer(h, ROUND_MS);
}

static void take(struct handover *h) {
    h->phase = HO_SETTLE;
    h->deadline_ms = worker_now_ms() + SETTLE_MS;
    pause_round(h);
}

/* A ticket that is checked here after the set was copied could be used a second time there: so nobody may be left who would. */
static bool settled(const struct handover *h) {
    return atomic_load(&h->pauses->paused) == h->d->nworkers && atomic_load(&h->pauses->waiting) == 0;
}

static enum ho_io send_key(struct handover *h) {
    struct ho_msg m = {.type = HO_KEY};
    int fds[HO_FDS] = {h->d->spop_fd, h->d->payload_fd, h->listen_fd};
    size_t n = 3;
    m.key.fds[0] = HO_FD_SPOP;
    m.key.fds[1] = HO_FD_PAYLOAD;
    m.key.fds[2] = HO_FD_HANDOVER;
    for (size_t i = 0; i < h->nold; i++, n++) {
        m.key.fds[n] = HO_FD_OLD;
        fds[n] = h->old[i].fd;
    }
    int metrics = httpd_fd(h->d->httpd);
    if (metrics >= 0) {
        m.key.fds[n] = HO_FD_METRICS;
        fds[n++] = metrics;
    }
    int page = page_fd(h->d);
    if (page >= 0) {
        m.key.fds[n] = HO_FD_PAGE;
        fds[n++] = page;
    }
    m.key.nfds = n;
    ticket_key_copy(h->d->key, m.key.secret);
    enum ho_io rc = ho_send(h->cand, &m, fds, n);
    gh_wipe(&m, sizeof m);
    return rc;
}

/* One more packet of: the key, the used tickets, the end. True in *all after the end. */
static enum ho_io send_next(struct handover *h, bool *all) {
    static struct ho_msg m; /* the main thread's */
    if (h->sent == 0) {
        enum ho_io rc = send_key(h);
        if (rc == HO_IO_OK) h->sent = 1;
        return rc;
    }
    uint64_t now;
    m.type = HO_USED;
    m.used.n = ticket_used_copy(h->d->used, h->sent - 1, m.used.entries, HO_USED_MAX, &now);
    size_t n = m.used.n;
    if (n == 0) m = (struct ho_msg){.type = HO_END, .end = {.total = (uint32_t)(h->sent - 1), .now_ms = now}};
    enum ho_io rc = ho_send(h->cand, &m, NULL, 0);
    if (rc == HO_IO_OK) h->sent += n;
    *all = rc == HO_IO_OK && n == 0;
    return rc;
}

static void send_on(struct handover *h) {
    bool all = false;
    enum ho_io rc = HO_IO_OK;
    while (rc == HO_IO_OK && !all) rc = send_next(h, &all);
    if (all)
        h->phase = HO_SENT;
    else if (rc != HO_IO_AGAIN)
        candidate_failed(h, false, "it went away");
    else if (event_add(h->cand_wr, NULL) != 0)
        candidate_failed(h, true, "out of memory");
}

static void on_cand_write(evutil_socket_t fd, short what, void *arg) {
    struct handover *h = arg;
    (void)fd;
    (void)what;
    if (h->phase == HO_SENDING) send_on(h);
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    struct handover *h = arg;
    (void)fd;
    (void)what;
    if (h->phase == HO_SETTLE) {
        if (settled(h)) {
            h->phase = HO_SENDING;
            h->sent = 0;
            set_timer(h, READY_MS);
            send_on(h);
        } else if (worker_now_ms() >= h->deadline_ms + READY_MS)
            candidate_failed(h, true, "the workers do not stop accepting");
        else if (atomic_load(&h->pauses->paused) == h->d->nworkers)
            pause_round(h);
        else
            set_timer(h, ROUND_MS);
    } else if (h->phase != HO_IDLE)
        candidate_failed(h, true,
                         h->phase == HO_SENDING || h->phase == HO_SENT ? "it was not ready in time" : "it was silent for too long");
}

/* --- afterwards --- */

/* NULL, or what was wrong. */
static const char *from_newer(struct handover *h, const struct ho_packet *p) {
    const char *why;
    struct ho_msg *m = &(struct ho_msg){0};
    if (ho_get(p->bytes, p->len, m, &why) != GH_OK) return why;
    if (m->type == HO_CANCEL)
        wstate_cancel(h->d, m->cancel.pid, m->cancel.secret, m->cancel.src);
    else if (m->type == HO_RELOAD)
        h->calls.reload(h->calls.arg);
    else
        return "a message that is not expected here";
    return NULL;
}

static void on_newer(evutil_socket_t fd, short what, void *arg) {
    struct handover *h = arg;
    (void)what;
    for (int i = 0; i < PACKETS_PER_TURN; i++) {
        enum ho_io rc = ho_recv((int)fd, &h->packet);
        if (rc == HO_IO_AGAIN) return;
        const char *why = rc == HO_IO_OK    ? from_newer(h, &h->packet)
                          : rc == HO_IO_BAD ? "a message that is too long"
                                            : "the newer daemon is gone";
        if (rc == HO_IO_OK) ho_packet_done(&h->packet);
        if (why == NULL) continue;
        log_event(LOG_WARN, "upgrade.channel", "reason", why, NULL);
        event_del(h->newer_ev);
        pthread_mutex_lock(&h->lock);
        close(h->newer);
        h->newer = -1;
        pthread_mutex_unlock(&h->lock);
        return;
    }
}

/* The point of no return: from here on only the new one accepts. */
static void go(struct handover *h) {
    struct ho_msg m = {.type = HO_GO};
    struct event *ev = event_new(h->base, h->cand, EV_READ | EV_PERSIST, on_newer, h);
    if (ev == NULL || event_add(ev, NULL) != 0 || ho_send(h->cand, &m, NULL, 0) != HO_IO_OK) {
        if (ev != NULL) event_free(ev);
        candidate_failed(h, true, "it went away before it was told to go on");
        return;
    }
    pthread_mutex_lock(&h->lock);
    h->newer_ev = ev;
    h->newer = h->cand;
    pthread_mutex_unlock(&h->lock);
    if (h->cand_stale) handover_reload_newer(h);
    h->cand = -1;
    event_del(h->timer);
    event_free(h->cand_rd);
    event_free(h->cand_wr);
    h->cand_rd = h->cand_wr = NULL;
    h->phase = HO_IDLE;
    while (h->nold > 0) ho_old_drop(h, &h->old[h->nold - 1]);
    event_free(h->listening);
    h->listening = NULL;
    int *fds[] = {&h->listen_fd, &h->d->spop_fd, &h->d->payload_fd};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        close(*fds[i]);
        *fds[i] = -1;
    }
    atomic_store(&h->d->replaced, true);
    log_event(LOG_INFO, "upgrade.replaced", "by", h->cand_name, "sessions", log_fmt("%zu", registry_count(h->d->registry)), NULL);
    wstate_give_spops(h->d);
    h->calls.replaced(h->calls.arg);
}

/* --- what it says --- */

static void on_message(struct handover *h, const struct ho_msg *m) {
    if (m->type == HO_REFUSE)
        candidate_failed(h, false, m->refuse.text);
    else if (m->type == HO_HELLO && h->phase == HO_GREETED)
        greet(h, m);
    else if (m->type == HO_TAKE && h->phase == HO_PREPARE)
        take(h);
    else if (m->type == HO_READY && h->phase == HO_SENT)
        go(h);
    else
        candidate_failed(h, true, "it sent another message than the one that is due");
}

static void on_cand(evutil_socket_t fd, short what, void *arg) {
    struct handover *h = arg;
    struct ho_msg *m = &(struct ho_msg){0};
    const char *why;
    (void)what;
    enum ho_io rc = ho_recv((int)fd, &h->packet);
    if (rc == HO_IO_AGAIN) return;
    if (rc == HO_IO_OK && ho_get(h->packet.bytes, h->packet.len, m, &why) == GH_OK)
        on_message(h, m);
    else
        candidate_failed(h, rc != HO_IO_GONE, rc == HO_IO_GONE ? "it went away" : rc == HO_IO_BAD ? "a message that is too long" : why);
    ho_packet_done(&h->packet);
}

static void refuse(int fd, const char *why) {
    struct ho_msg m = {.type = HO_REFUSE};
    memccpy(m.refuse.text, why, '\0', sizeof m.refuse.text - 1);
    ho_send(fd, &m, NULL, 0);
    log_event(LOG_WARN, "upgrade.refused", "reason", why, NULL);
    close(fd);
}

static void on_connect(evutil_socket_t listener, short what, void *arg) {
    struct handover *h = arg;
    (void)what;
    int fd = accept4((int)listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    if (!ho_peer_ok(fd, geteuid())) {
        close(fd);
        return;
    }
    if (h->cand >= 0) return refuse(fd, "another upgrade is under way");
    if (atomic_load(&h->d->draining)) return refuse(fd, "this daemon is shutting down: start the new one when it is gone");
    if (h->nold >= HO_OLD_MAX) return refuse(fd, "too many older daemons still drain: wait, or end one of them");
    h->cand = fd;
    h->cand_stale = false;
    h->phase = HO_GREETED;
    snprintf(h->cand_name, sizeof h->cand_name, "-");
    h->cand_rd = event_new(h->base, fd, EV_READ | EV_PERSIST, on_cand, h);
    h->cand_wr = event_new(h->base, fd, EV_WRITE, on_cand_write, h);
    if (h->cand_rd == NULL || h->cand_wr == NULL || event_add(h->cand_rd, NULL) != 0)
        ho_candidate_drop(h);
    else
        set_timer(h, HELLO_MS);
}

bool handover_listen(struct handover *h, bool force, char *err, size_t size) {
    const struct conf *c = h->d->boot->conf;
    if (c->handover.socket == NULL) {
        log_event(LOG_WARN, "upgrade.off", "reason",
                  "the default path of handover.socket, beside the journal, is too long for a Unix socket", NULL);
        return true;
    }
    h->listen_fd = door_listen(&c->handover, SOCK_SEQPACKET, force, err, size);
    return h->listen_fd >= 0;
}

bool ho_old_side_start(struct handover *h) {
    h->timer = event_new(h->base, -1, 0, on_timer, h);
    if (h->timer == NULL) return false;
    if (h->listen_fd < 0) return true;
    h->listening = event_new(h->base, h->listen_fd, EV_READ | EV_PERSIST, on_connect, h);
    return h->listening != NULL && event_add(h->listening, NULL) == 0;
}
