#include "spoa/ledger_slots.h"
#include "spoa/journal.h"
#include "spoa/log.h"
#include "spoa/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS    500
#define ROOM_BYTES 65536

static bool slot_dir(const struct led_conf *conf, unsigned slot, char dir[PATH_MAX]) {
    int n = slot == 0 ? snprintf(dir, PATH_MAX, "%s", conf->dir) : snprintf(dir, PATH_MAX, "%s/slot-%u", conf->dir, slot);
    return n >= 0 && n < PATH_MAX;
}

static enum jnl_held slot_held(const struct led_conf *conf, unsigned slot) {
    char dir[PATH_MAX];
    return slot_dir(conf, slot, dir) ? jnl_held(dir) : JNL_NONE;
}

bool led_slot_held(const struct led_conf *conf, unsigned slot) { return slot_held(conf, slot) == JNL_HELD; }

/* Writes to a file that has no name any more; the journal's own file would keep the zeros. */
static bool fill(int fd) {
    static const char zeros[4096];
    for (size_t n = 0; n < ROOM_BYTES; n += sizeof zeros) {
        ssize_t rc = write(fd, zeros, sizeof zeros);
        if (rc == (ssize_t)sizeof zeros) continue;
        if (rc >= 0) errno = ENOSPC;
        return false;
    }
    return fsync(fd) == 0;
}

bool led_room(const struct led_conf *conf, unsigned slot, char *err, size_t errsize) {
    char dir[PATH_MAX], path[PATH_MAX + 8];
    if (!slot_dir(conf, slot, dir)) return false;
    snprintf(path, sizeof path, "%s/.room", dir);
    unlink(path); /* of one that was killed in the middle of this */
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok = fd >= 0 && unlink(path) == 0 && fill(fd);
    if (!ok) snprintf(err, errsize, "cannot write to the journal in %s: %s: make room there", dir, strerror(errno));
    if (fd >= 0) close(fd);
    return ok;
}

struct led *led_open_free(const struct led_conf *conf, unsigned *slot, char *err, size_t errsize) {
    for (*slot = 0; *slot < LED_SLOTS; ++*slot) {
        if (slot_held(conf, *slot) == JNL_HELD) continue;
        struct led_conf c = *conf;
        c.slot = *slot;
        struct led *l = led_open(&c, err, errsize);
        /* Another may have been quicker; any other failure is one of this journal, which must not be passed over in silence. */
        if (l != NULL || slot_held(conf, *slot) != JNL_HELD) return l;
    }
    snprintf(err, errsize, "all %u journals in %s are in use: wait until an older daemon has drained, or end one", LED_SLOTS, conf->dir);
    return NULL;
}

/* --- the keeper --- */

struct other {
    struct led *l;     /* being shipped */
    bool done, failed; /* since it was last held by somebody else */
    uint64_t connects; /* of our own ledger, when l was opened */
};

struct led_keeper {
    struct led_conf conf;
    unsigned mine;
    const struct led *own;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping; /* guarded by lock */
    _Atomic bool retired;
    struct other others[LED_SLOTS];
};

static void adopt(struct led_keeper *k, unsigned slot, struct other *o) {
    char err[600];
    struct led_conf c = k->conf;
    c.slot = slot;
    o->connects = led_connects(k->own);
    o->l = led_open(&c, err, sizeof err);
    if (o->l != NULL || slot_held(&k->conf, slot) == JNL_HELD) return;
    o->failed = true;
    log_event(LOG_ERROR, "ledger.slot_failed", "slot", log_fmt("%u", slot), "error", err, NULL);
}

static void look_after(struct led_keeper *k, unsigned slot, struct other *o) {
    if (o->l != NULL) {
        if (!led_settled(o->l)) return;
        led_close(o->l, 0);
        o->l = NULL;
        o->done = true;
        log_event(LOG_DEBUG, "ledger.slot_settled", "slot", log_fmt("%u", slot), NULL);
        return;
    }
    if (atomic_load(&k->retired)) return;
    enum jnl_held held = slot_held(&k->conf, slot);
    if (held == JNL_HELD) o->done = o->failed = false;
    if (held != JNL_FREE) return;
    bool redis_may_have_lost_it = o->connects != led_connects(k->own);
    if ((!o->done && !o->failed) || redis_may_have_lost_it) adopt(k, slot, o);
}

static void *keeper_main(void *arg) {
    struct led_keeper *k = arg;
    pthread_mutex_lock(&k->lock);
    while (!k->stopping) {
        pthread_mutex_unlock(&k->lock);
        for (unsigned i = 0; i < LED_SLOTS; i++)
            if (i != k->mine) look_after(k, i, &k->others[i]);
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += LOOK_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_mutex_lock(&k->lock);
        if (!k->stopping) pthread_cond_timedwait(&k->wake, &k->lock, &until);
    }
    pthread_mutex_unlock(&k->lock);
    for (unsigned i = 0; i < LED_SLOTS; i++)
        if (k->others[i].l != NULL) led_close(k->others[i].l, 0);
    return NULL;
}

struct led_keeper *led_keeper_start(const struct led_conf *conf, unsigned mine, const struct led *own) {
    struct led_keeper *k = calloc(1, sizeof *k);
    if (k == NULL) return NULL;
    k->conf = *conf;
    k->mine = mine;
    k->own = own;
    pthread_mutex_init(&k->lock, NULL);
    thread_cond_init(&k->wake);
    int rc = thread_start(&k->thread, 0, keeper_main, k);
    if (rc == 0) return k;
    pthread_cond_destroy(&k->wake);
    pthread_mutex_destroy(&k->lock);
    free(k);
    return NULL;
}

void led_keeper_retire(struct led_keeper *k) { atomic_store(&k->retired, true); }

void led_keeper_stop(struct led_keeper *k) {
    if (k == NULL) return;
    pthread_mutex_lock(&k->lock);
    k->stopping = true;
    pthread_cond_signal(&k->wake);
    pthread_mutex_unlock(&k->lock);
    pthread_join(k->thread, NULL);
    pthread_cond_destroy(&k->wake);
    pthread_mutex_destroy(&k->lock);
    free(k);
}
