#include "spoa/worker.h"

#include "spoa/thread.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define ENDS 4 /* before sockets are looked at again */

struct worker {
    struct worker_conf conf;
    struct event_base *base;
    struct event *wake; /* reads efd */
    int efd;
    pthread_t thread;
    pthread_mutex_t lock;
    struct wmsg *head, **tail; /* guarded by lock */
    bool stopping, ended;      /* guarded by lock */

    void (*late_fn)(void *arg); /* worker_defer() */
    void *late_arg;
    bool posted;      /* by this thread, for the end of the round */
    bool in_messages; /* take_messages() runs them */
    bool over;

    int ear; /* an epoll of its own for worker_hear(), -1: none; libevent would keep descriptors that others close */
    struct event *hears;
    void (*hear_fn)(void *arg);
    void *hear_arg;
};

static _Thread_local struct worker *self; /* while its loop runs */

uint64_t worker_now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

uint64_t worker_now_ms(void) { return worker_now_us() / 1000u; }

/* Takes the whole queue at once: what the messages post in their turn waits for the next round, so sockets are not starved. */
static void take_messages(struct worker *w) {
    w->posted = false;
    pthread_mutex_lock(&w->lock);
    struct wmsg *m = w->head;
    w->head = NULL;
    w->tail = &w->head;
    w->over = w->stopping;
    pthread_mutex_unlock(&w->lock);
    w->in_messages = true;
    while (m != NULL) {
        struct wmsg *next = m->next;
        m->next = NULL;
        m->run(w, m);
        m = next;
    }
    w->in_messages = false;
}

static void on_wake(evutil_socket_t fd, short what, void *arg) {
    uint64_t count;
    (void)what;
    ssize_t got = read((int)fd, &count, sizeof count);
    (void)got; /* EAGAIN only: the queue is looked at anyway */
    take_messages(arg);
}

static void run_late(struct worker *w) {
    void (*fn)(void *arg) = w->late_fn;
    w->late_fn = NULL;
    if (fn != NULL) fn(w->late_arg);
}

/* What this thread has put off until the end of a round; true when that put off something again. */
static bool end_round(struct worker *w) {
    for (int n = 0; n < ENDS && (w->late_fn != NULL || w->posted); n++) {
        run_late(w);
        if (w->posted) take_messages(w);
    }
    return w->late_fn != NULL || w->posted;
}

bool worker_defer(void (*fn)(void *arg), void *arg) {
    struct worker *w = self;
    if (w == NULL) return false;
    if (w->late_fn != NULL) return w->late_fn == fn && w->late_arg == arg;
    w->late_fn = fn;
    w->late_arg = arg;
    return true;
}

static void on_ear(evutil_socket_t fd, short what, void *arg) {
    struct worker *w = arg;
    struct epoll_event ev;
    (void)what;
    if (epoll_wait((int)fd, &ev, 1, 0) == 1) w->hear_fn(w->hear_arg);
}

bool worker_hear(int fd, void (*fn)(void *arg), void *arg) {
    struct worker *w = self;
    if (w == NULL || w->ear < 0 || (w->hear_fn != NULL && (w->hear_fn != fn || w->hear_arg != arg))) return false;
    w->hear_fn = fn;
    w->hear_arg = arg;
    struct epoll_event ev = {.events = EPOLLIN | EPOLLONESHOT, .data.fd = fd};
    return epoll_ctl(w->ear, EPOLL_CTL_MOD, fd, &ev) == 0 || (errno == ENOENT && epoll_ctl(w->ear, EPOLL_CTL_ADD, fd, &ev) == 0);
}

static void *worker_main(void *arg) {
    struct worker *w = arg;
    self = w;
    if (w->conf.start != NULL) w->conf.start(w);
    for (bool more = end_round(w); !w->over; more = end_round(w))
        if (event_base_loop(w->base, more ? EVLOOP_ONCE | EVLOOP_NONBLOCK : EVLOOP_ONCE) != 0) break; /* it cannot: wake is always there */
    self = NULL;
    run_late(w); /* the end of the loop came before it */
    pthread_mutex_lock(&w->lock);
    w->ended = true; /* what is posted from here on is dropped: nobody would run it, and its memory may go */
    w->head = NULL;
    w->tail = &w->head;
    pthread_mutex_unlock(&w->lock);
    if (w->conf.end != NULL) w->conf.end(w);
    return NULL;
}

static bool give_up(struct worker **w) {
    worker_free(*w);
    *w = NULL;
    return false;
}

bool worker_start(struct worker **out, const struct worker_conf *conf) {
    struct worker *w = *out = calloc(1, sizeof *w);
    if (w == NULL) return false;
    w->conf = *conf;
    w->tail = &w->head;
    w->ear = -1;
    pthread_mutex_init(&w->lock, NULL);
    w->efd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    w->base = event_base_new();
    if (w->efd >= 0 && w->base != NULL) w->wake = event_new(w->base, w->efd, EV_READ | EV_PERSIST, on_wake, w);
    if (w->base != NULL && conf->hears) {
        w->ear = epoll_create1(EPOLL_CLOEXEC);
        if (w->ear >= 0) w->hears = event_new(w->base, w->ear, EV_READ | EV_PERSIST, on_ear, w);
        if (w->hears == NULL || event_add(w->hears, NULL) != 0) return give_up(out);
    }
    if (w->wake == NULL || event_add(w->wake, NULL) != 0 || thread_start(&w->thread, w->conf.stack, worker_main, w) != 0)
        return give_up(out);
    return true;
}

static void post_locked(struct worker *w, struct wmsg *m, bool stop) {
    static const uint64_t one = 1;
    pthread_mutex_lock(&w->lock);
    bool wake = stop || w->head == NULL; /* else who put the first one in wakes the thread, which takes all of them */
    if (m != NULL && !w->ended) {
        m->next = NULL;
        *w->tail = m;
        w->tail = &m->next;
    }
    w->stopping = w->stopping || stop;
    pthread_mutex_unlock(&w->lock);
    if (!wake) return;
    if (self == w && !w->in_messages) {
        w->posted = true;
        return;
    }
    ssize_t put = write(w->efd, &one, sizeof one);
    (void)put; /* it cannot fail but with EAGAIN at 2^64-2 wakeups, when one is due anyway */
}

void worker_post(struct worker *w, struct wmsg *m) { post_locked(w, m, false); }
void worker_stop(struct worker *w) { post_locked(w, NULL, true); }
void worker_join(struct worker *w) { pthread_join(w->thread, NULL); }

void worker_free(struct worker *w) {
    if (w == NULL) return;
    if (w->wake != NULL) event_free(w->wake);
    if (w->hears != NULL) event_free(w->hears);
    if (w->base != NULL) event_base_free(w->base);
    if (w->efd >= 0) close(w->efd);
    if (w->ear >= 0) close(w->ear);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

struct event_base *worker_base(const struct worker *w) {
    return w->base;
}
void *worker_data(const struct worker *w) { return w->conf.data; }
unsigned worker_index(const struct worker *w) { return w->conf.index; }
