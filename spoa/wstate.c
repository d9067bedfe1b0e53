/* A worker's loop: the two doors, the passing of time, the end. */
#include <config.h>

#include "filters/proxyv2.h"
#include "spoa/api.h"
#include "spoa/daemon.h"
#include "spoa/door.h"
#include "spoa/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_PER_TURN 8
#define PAUSE_MS         100 /* when descriptors are out: no busy loop on a readable listener */
#define SWEEP_MS         250

struct snap *wstate_snap(struct wstate *ws) {
    if (ws->snap == NULL || ws->snap->generation != atomic_load(&ws->d->generation)) {
        snap_unref(ws->snap);
        ws->snap = daemon_snap(ws->d);
    }
    return ws->snap;
}

static void on_resume(evutil_socket_t fd, short what, void *arg) {
    struct wstate *ws = arg;
    (void)fd;
    (void)what;
    if (!ws->accepting) return;
    event_add(ws->accept_spop, NULL);
    event_add(ws->accept_payload, NULL);
}

static void pause_accepting(struct wstate *ws, const char *why) {
    struct timeval tv = {0, PAUSE_MS * 1000};
    log_event(LOG_ERROR, "door.paused", "reason", why, NULL);
    event_del(ws->accept_spop);
    event_del(ws->accept_payload);
    event_add(ws->resume, &tv);
}

static void on_accept(evutil_socket_t listener, short what, void *arg) {
    struct wstate *ws = arg;
    bool spop = listener == ws->d->spop_fd;
    const struct conf *boot = ws->d->boot->conf;
    (void)what;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4((int)listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EINTR || errno == ECONNABORTED) continue;
            if (errno != EAGAIN && errno != EWOULDBLOCK) pause_accepting(ws, strerror(errno));
            return;
        }
        if (!door_peer_ok(spop ? &boot->spop : &boot->payload, spop ? "spop" : "payload", fd)) {
            m_count(ws->m, M_PEERS_REFUSED, spop ? "spop" : "payload", NULL, NULL);
            close(fd);
        } else if (spop)
            door_spop_accept(ws, fd);
        else
            session_accept(ws, fd);
    }
}

static void give(struct wstate *ws) {
    door_spop_give(ws);
    api_end_all(ws); /* the next statement of theirs comes to the other daemon */
}

static void on_sweep(evutil_socket_t fd, short what, void *arg) {
    struct wstate *ws = arg;
    (void)fd;
    (void)what;
    wstate_snap(ws); /* lets go of an old snapshot on an idle worker too */
    session_sweep(ws, worker_now_ms());
    struct factscache_use use = factscache_use(ws->facts);
    m_set(ws->m, M_FACTS_HITS, use.hits);
    m_set(ws->m, M_FACTS_MISSES, use.misses);
    m_set(ws->m, M_FACTS_EVICTIONS, use.evictions);
    m_set(ws->m, M_FACTS_ENTRIES, factscache_count(ws->facts));
    m_set(ws->m, M_FACTS_BYTES, factscache_bytes(ws->facts));
    api_sweep(ws, worker_now_ms());
    if (ws->giving) give(ws);
}

static bool setup(struct wstate *ws) {
    const struct conf_limits *l = &ws->d->boot->conf->limits;
    struct timeval sweep = {0, SWEEP_MS * 1000};
    ws->facts = factscache_new((size_t)l->cache_statements, (size_t)l->cache_bytes);
    ws->accept_spop = event_new(ws->base, ws->d->spop_fd, EV_READ | EV_PERSIST, on_accept, ws);
    ws->accept_payload = event_new(ws->base, ws->d->payload_fd, EV_READ | EV_PERSIST, on_accept, ws);
    ws->resume = event_new(ws->base, -1, 0, on_resume, ws);
    ws->sweep = event_new(ws->base, -1, EV_PERSIST, on_sweep, ws);
    return ws->facts != NULL && ws->accept_spop != NULL && ws->accept_payload != NULL && ws->resume != NULL && ws->sweep != NULL &&
           event_add(ws->sweep, &sweep) == 0;
}

static void start(struct worker *w) {
    struct wstate *ws = worker_data(w);
    ws->w = w;
    ws->base = worker_base(w);
    if (setup(ws)) return;
    log_event(LOG_ERROR, "worker.start", "reason", "out of memory", NULL);
    _exit(1);
}

static void end(struct worker *w) {
    struct wstate *ws = worker_data(w);
    session_drop_all(ws);
    door_spop_drop_all(ws);
    api_drop_all(ws);
    struct event *events[] = {ws->accept_spop, ws->accept_payload, ws->resume, ws->sweep};
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) event_free(events[i]);
    factscache_free(ws->facts);
    snap_unref(ws->snap);
}

bool wstate_start_all(struct daemon *d) {
    d->workers = calloc(d->boot->conf->threads, sizeof(*d->workers));
    if (d->workers == NULL) return false;
    for (unsigned i = 0; i < d->boot->conf->threads; i++) {
        struct wstate *ws = calloc(1, sizeof *ws);
        if (ws == NULL) return false;
        ws->d = d;
        ws->m = d->metrics[i];
        struct worker_conf conf = {
            .index = i, .stack = POL_STACK_BYTES + (1u << 20), .start = start, .end = end, .data = ws, .hears = true};
        if (!worker_start(&d->workers[i], &conf)) {
            free(ws);
            return false;
        }
        d->nworkers++;
    }
    return true;
}

void wstate_free_all(struct daemon *d) {
    for (unsigned i = 0; i < d->nworkers; i++) {
        struct wstate *ws = worker_data(d->workers[i]);
        session_free_all(ws);
        api_free_all(ws);
        free(ws);
        worker_free(d->workers[i]);
    }
    free(d->workers);
}

struct end_msg {
    struct wmsg msg;
    bool all;
};

static void run_end(struct worker *w, struct wmsg *m) {
    session_end_all(worker_data(w), ((struct end_msg *)(void *)m)->all);
    api_end_all(worker_data(w));
    free(m);
}

void wstate_end_sessions(struct daemon *d, bool all) {
    for (unsigned i = 0; i < d->nworkers; i++) {
        struct end_msg *m = calloc(1, sizeof *m);
        if (m == NULL) continue;
        m->msg.run = run_end;
        m->all = all;
        worker_post(d->workers[i], &m->msg);
    }
}

static void run_look(struct worker *w, struct wmsg *m) {
    session_sweep(worker_data(w), worker_now_ms());
    free(m);
}

void wstate_look_again(struct daemon *d) {
    for (unsigned i = 0; i < d->nworkers; i++) {
        struct wmsg *m = calloc(1, sizeof *m);
        if (m == NULL) continue; /* their next look is soon */
        m->run = run_look;
        worker_post(d->workers[i], m);
    }
}

/* --- accepting, and handing it to another daemon --- */

struct accept_msg {
    struct wmsg msg;
    bool hurry;
    struct pause *pause;
};

static void post_all(struct daemon *d, void (*run)(struct worker *, struct wmsg *), bool hurry, struct pause *p) {
    for (unsigned i = 0; i < d->nworkers; i++) {
        struct accept_msg *m = calloc(1, sizeof *m);
        if (m == NULL) continue; /* a pause is then never complete, and is given up */
        *m = (struct accept_msg){.msg.run = run, .hurry = hurry, .pause = p};
        worker_post(d->workers[i], &m->msg);
    }
}

static void run_accept(struct worker *w, struct wmsg *m) {
    struct wstate *ws = worker_data(w);
    ws->accepting = true;
    on_resume(-1, 0, ws);
    free(m);
}

static void run_pause(struct worker *w, struct wmsg *m) {
    struct wstate *ws = worker_data(w);
    const struct accept_msg *a = (struct accept_msg *)(void *)m;
    ws->accepting = false;
    event_del(ws->accept_spop);
    event_del(ws->accept_payload);
    event_del(ws->resume);
    atomic_fetch_add(&a->pause->waiting, session_without_ticket(ws, a->hurry));
    atomic_fetch_add(&a->pause->paused, 1);
    free(m);
}

static void run_give(struct worker *w, struct wmsg *m) {
    struct wstate *ws = worker_data(w);
    ws->giving = true;
    give(ws);
    free(m);
}

void wstate_accept(struct daemon *d) { post_all(d, run_accept, false, NULL); }
void wstate_pause(struct daemon *d, bool hurry, struct pause *p) { post_all(d, run_pause, hurry, p); }
void wstate_give_spops(struct daemon *d) { post_all(d, run_give, false, NULL); }

struct adopt_msg {
    struct wmsg msg;
    int fd;
    struct spop_agent_state st;
    uint8_t bytes[];
};

static void run_adopt(struct worker *w, struct wmsg *m) {
    struct adopt_msg *a = (struct adopt_msg *)(void *)m;
    door_spop_adopt(worker_data(w), a->fd, &a->st);
    free(m);
}

void wstate_adopt_spop(struct daemon *d, int fd, const struct spop_agent_state *st) {
    struct adopt_msg *m = calloc(1, sizeof *m + st->len);
    if (m == NULL) {
        close(fd);
        return;
    }
    *m = (struct adopt_msg){.msg.run = run_adopt, .fd = fd, .st = *st};
    memcpy(m->bytes, st->bytes, st->len);
    m->st.bytes = m->bytes;
    worker_post(d->workers[(unsigned)fd % d->nworkers], &m->msg);
}

struct cancel_msg {
    struct wmsg msg;
    uint32_t pid, secret;
    char src[PP2_ADDR_SIZE];
};

static void run_cancel(struct worker *w, struct wmsg *m) {
    const struct cancel_msg *c = (struct cancel_msg *)(void *)m;
    session_cancel(worker_data(w), c->pid, c->secret, c->src);
    free(m);
}

void wstate_cancel(struct daemon *d, uint32_t pid, uint32_t secret, const char *src) {
    struct cancel_msg *m = calloc(1, sizeof *m);
    if (m == NULL) return;
    *m = (struct cancel_msg){.msg.run = run_cancel, .pid = pid, .secret = secret};
    memccpy(m->src, src, '\0', sizeof m->src - 1);
    worker_post(d->workers[0], &m->msg);
}
