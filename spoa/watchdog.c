#include "spoa/watchdog.h"

#include "spoa/notify.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

struct question {
    struct wmsg msg; /* first: the message is the question */
    struct worker *worker;
    atomic_bool open; /* asked, not answered */
};

struct watchdog {
    struct event *timer;
    unsigned n;
    struct question questions[];
};

static void answer(struct worker *w, struct wmsg *m) {
    (void)w;
    atomic_store(&((struct question *)m)->open, false);
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    struct watchdog *w = arg;
    bool all = true;
    (void)fd;
    (void)what;
    for (unsigned i = 0; i < w->n; i++) {
        struct question *q = &w->questions[i];
        if (atomic_load(&q->open)) {
            all = false; /* it is in that worker's queue still, and must not be put there twice */
            continue;
        }
        atomic_store(&q->open, true);
        worker_post(q->worker, &q->msg);
    }
    if (all) notify("WATCHDOG=1");
}

/* Microseconds; 0: none, or meant for another process. */
static unsigned long period(void) {
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    char *end;
    if (usec == NULL) return 0;
    unsigned long n = strtoul(usec, &end, 10);
    if (*usec < '0' || *usec > '9' || *end != '\0' || n == ULONG_MAX) return 0;
    if (pid != NULL && strtol(pid, NULL, 10) != (long)getpid()) return 0;
    return n;
}

struct watchdog *watchdog_start(struct event_base *base, struct worker *const *workers, unsigned n) {
    unsigned long usec = period() / 3;
    if (usec == 0) return NULL;
    struct watchdog *w = calloc(1, sizeof *w + n * sizeof w->questions[0]);
    if (w == NULL) return NULL;
    w->n = n;
    for (unsigned i = 0; i < n; i++) {
        w->questions[i].msg.run = answer;
        w->questions[i].worker = workers[i];
    }
    const struct timeval every = {(time_t)(usec / 1000000u), (suseconds_t)(usec % 1000000u)};
    w->timer = event_new(base, -1, EV_PERSIST, on_timer, w);
    if (w->timer == NULL || event_add(w->timer, &every) != 0) {
        watchdog_free(w);
        return NULL;
    }
    return w;
}

void watchdog_free(struct watchdog *w) {
    if (w == NULL) return;
    if (w->timer != NULL) event_free(w->timer);
    free(w);
}
