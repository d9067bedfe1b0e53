#include <config.h>

#include "spoa/ledger_live.h"

#include "spoa/log.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct live {
    pthread_mutex_t lock;
    char **list; /* sorted; ids grow with time, so most are added at the end */
    size_t n, room;
};

struct live *live_new(void) {
    struct live *l = calloc(1, sizeof *l);
    if (l != NULL) pthread_mutex_init(&l->lock, NULL);
    return l;
}

void live_free(struct live *l) {
    if (l == NULL) return;
    for (size_t i = 0; i < l->n; i++) free(l->list[i]);
    free(l->list);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

/* Where it is, or belongs. */
static size_t place(const struct live *l, const char *session, bool *there) {
    size_t low = 0, high = l->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (strcmp(l->list[mid], session) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *there = low < l->n && strcmp(l->list[low], session) == 0;
    return low;
}

static bool make_room(struct live *l) {
    if (l->n < l->room) return true;
    size_t room = l->room == 0 ? 64 : 2 * l->room;
    char **list = reallocarray(l->list, room, sizeof *list);
    if (list == NULL) return false;
    l->list = list;
    l->room = room;
    return true;
}

static bool add(struct live *l, size_t at, const char *session) {
    char *copy = make_room(l) ? strdup(session) : NULL;
    if (copy == NULL) return false;
    memmove(l->list + at + 1, l->list + at, (l->n - at) * sizeof *l->list);
    l->list[at] = copy;
    l->n++;
    return true;
}

static void drop(struct live *l, size_t at) {
    free(l->list[at]);
    l->n--;
    memmove(l->list + at, l->list + at + 1, (l->n - at) * sizeof *l->list);
}

void live_note(struct live *l, const struct led_event *ev) {
    if (ev->stream != LED_SESSION || strncmp(ev->type, "session.", 8) != 0) return; /* "statement", mostly */
    bool opened = strcmp(ev->type, "session.open") == 0, closed = strcmp(ev->type, "session.close") == 0, there, ok = true;
    if (!opened && !closed) return;
    pthread_mutex_lock(&l->lock);
    size_t at = place(l, ev->session, &there);
    if (opened && !there)
        ok = add(l, at, ev->session);
    else if (closed && there)
        drop(l, at);
    pthread_mutex_unlock(&l->lock);
    if (ok) return;
    /* Its record could be taken for that of one that ended. */
    log_event(LOG_ERROR, "ledger.memory", "reason", "out of memory for a session", NULL);
    abort();
}

bool live_has(struct live *l, const char *session) {
    bool there;
    pthread_mutex_lock(&l->lock);
    (void)place(l, session, &there);
    pthread_mutex_unlock(&l->lock);
    return there;
}
