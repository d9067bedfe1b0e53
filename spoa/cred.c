#include "spoa/cred.h"

#include "spoa/log.h"
#include "spoa/thread.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define COMMAND_MS 10000u
#define RETRY_MS   2000u

struct cred_value {
    atomic_uint refs;
    char *text; /* a secret */
};

struct cred {
    atomic_uint refs;
    char *name, *file, *env;
    char **argv;
    gid_t *groups;
    struct secret_command command;
    pthread_mutex_t lock; /* of value alone, and taken last */
    struct cred_value *value;
    /* guarded by the pool's lock */
    uint64_t due_ms; /* not to be read again before */
    bool queued;
    bool reading;                     /* by the pool's thread */
    struct cred_wait *waiting, *late; /* late: came when it was being read, and may know of a change that the reading has not seen */
    struct cred *next;
};

struct credpool {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct cred *head, **tail; /* referenced */
    bool stopping;
    int stop_fd;
    pthread_t thread;
};

/* --- one --- */

static struct cred_value *value_new(char *text) {
    struct cred_value *v = text == NULL ? NULL : calloc(1, sizeof *v);
    if (v == NULL) {
        secret_free(text);
        return NULL;
    }
    atomic_init(&v->refs, 1);
    v->text = text;
    return v;
}

void cred_value_unref(struct cred_value *v) {
    if (v == NULL || atomic_fetch_sub(&v->refs, 1) != 1) return;
    secret_free(v->text);
    free(v);
}

const char *cred_text(const struct cred_value *v) { return v->text; }

static char *read_source(struct cred *c, int stop_fd, char *why, size_t size) {
    if (c->file != NULL) return secret_read(c->file, why, size);
    if (c->env != NULL) {
        const char *text = getenv(c->env);
        char source[300];
        snprintf(source, sizeof source, "the environment variable %.200s", c->env);
        if (text != NULL) return secret_take(text, strlen(text), source, why, size);
        snprintf(why, size, "%s is not set", source);
        return NULL;
    }
    struct secret_command command = c->command;
    command.stop_fd = stop_fd;
    return secret_run(&command, why, size);
}

static bool copy_strings(struct cred *c, const struct cred_conf *conf) {
    size_t n = 0;
    const struct secret_command *k = &conf->command;
    c->name = strdup(conf->name);
    c->file = conf->file == NULL ? NULL : strdup(conf->file);
    c->env = conf->env == NULL ? NULL : strdup(conf->env);
    if (c->name == NULL || (conf->file != NULL && c->file == NULL) || (conf->env != NULL && c->env == NULL)) return false;
    if (k->argv == NULL) return true;
    while (k->argv[n] != NULL) n++;
    c->argv = calloc(n + 1, sizeof *c->argv);
    c->groups = calloc(k->ngroups + 1, sizeof *c->groups);
    if (c->argv == NULL || c->groups == NULL) return false;
    for (size_t i = 0; i < n; i++)
        if ((c->argv[i] = strdup(k->argv[i])) == NULL) return false;
    if (k->ngroups > 0) memcpy(c->groups, k->groups, k->ngroups * sizeof *c->groups);
    c->command = *k;
    c->command.argv = (const char *const *)c->argv;
    c->command.groups = c->groups;
    c->command.timeout_ms = COMMAND_MS;
    return true;
}

struct cred *cred_new(const struct cred_conf *conf, char *why, size_t size) {
    struct cred *c = calloc(1, sizeof *c);
    snprintf(why, size, "out of memory");
    if (c == NULL) return NULL;
    atomic_init(&c->refs, 1);
    pthread_mutex_init(&c->lock, NULL);
    if (copy_strings(c, conf)) c->value = value_new(read_source(c, -1, why, size));
    if (c->value != NULL) return c;
    cred_unref(c);
    return NULL;
}

struct cred *cred_ref(struct cred *c) {
    atomic_fetch_add(&c->refs, 1);
    return c;
}

void cred_unref(struct cred *c) {
    if (c == NULL || atomic_fetch_sub(&c->refs, 1) != 1) return;
    cred_value_unref(c->value);
    for (size_t i = 0; c->argv != NULL && c->argv[i] != NULL; i++) free(c->argv[i]);
    free(c->argv);
    free(c->groups);
    free(c->name);
    free(c->file);
    free(c->env);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

struct cred_value *cred_get(struct cred *c) {
    pthread_mutex_lock(&c->lock);
    struct cred_value *v = c->value;
    atomic_fetch_add(&v->refs, 1);
    pthread_mutex_unlock(&c->lock);
    return v;
}

/* --- again --- */

static const char *advice(const struct cred *c) {
    if (c->file != NULL) return "see whether the file is there, gatehouse's own, with mode 600";
    if (c->env != NULL) return "set it in gatehouse's unit, and restart";
    return "run the command by hand as gatehouse's user, with an empty environment (env -i)";
}

static void post_all(struct cred_wait *list, enum cred_news news) {
    while (list != NULL) {
        struct cred_wait *w = list;
        list = w->next; /* w is its owner's again with the post */
        w->news = news;
        worker_post(w->worker, &w->msg);
    }
}

/* Puts what was read in force. */
static enum cred_news take(struct cred *c, struct cred_value *fresh) {
    if (fresh == NULL) return CRED_FAILED;
    pthread_mutex_lock(&c->lock);
    bool same = strcmp(fresh->text, c->value->text) == 0;
    struct cred_value *old = same ? fresh : c->value;
    if (!same) c->value = fresh;
    pthread_mutex_unlock(&c->lock);
    cred_value_unref(old);
    return same ? CRED_SAME : CRED_NEWER;
}

/* The pool's lock is held. */
static void enqueue(struct credpool *p, struct cred *c) {
    c->queued = true;
    c->next = NULL;
    *p->tail = cred_ref(c);
    p->tail = &c->next;
    pthread_cond_signal(&p->wake);
}

static struct cred *dequeue(struct credpool *p) {
    struct cred *c = p->head;
    p->head = c->next;
    if (p->head == NULL) p->tail = &p->head;
    c->queued = false;
    return c;
}

static void answer(struct credpool *p, struct cred *c, enum cred_news news) {
    pthread_mutex_lock(&p->lock);
    struct cred_wait *list = c->waiting, *late = c->late;
    c->waiting = c->late = NULL;
    c->reading = false;
    c->due_ms = worker_now_ms() + RETRY_MS;
    if (late != NULL && news != CRED_NEWER && !p->stopping) { /* once more for them */
        c->waiting = late;
        late = NULL;
        enqueue(p, c);
    }
    pthread_mutex_unlock(&p->lock);
    post_all(list, news);
    post_all(late, news);
}

/* The first in the queue, when its time has come; NULL when the pool ends. */
static struct cred *next_job(struct credpool *p) {
    struct cred *c = NULL;
    pthread_mutex_lock(&p->lock);
    while (!p->stopping && c == NULL) {
        uint64_t now = worker_now_ms();
        if (p->head == NULL) {
            pthread_cond_wait(&p->wake, &p->lock);
        } else if (p->head->due_ms > now) {
            uint64_t at = p->head->due_ms;
            pthread_cond_timedwait(&p->wake, &p->lock, &(struct timespec){(time_t)(at / 1000), (long)(at % 1000 * 1000000)});
        } else {
            c = dequeue(p);
            c->reading = true;
        }
    }
    pthread_mutex_unlock(&p->lock);
    return c;
}

static void *pool_main(void *arg) {
    struct credpool *p = arg;
    struct cred *c;
    while ((c = next_job(p)) != NULL) {
        char why[512] = "out of memory";
        char *text = read_source(c, p->stop_fd, why, sizeof why);
        enum cred_news news = take(c, value_new(text));
        if (news == CRED_NEWER) log_event(LOG_INFO, "credential.renewed", "key", c->name, NULL);
        if (news == CRED_FAILED) log_event(LOG_ERROR, "credential.failed", "key", c->name, "reason", why, "do", advice(c), NULL);
        answer(p, c, news);
        cred_unref(c);
    }
    return NULL;
}

struct credpool *credpool_new(void) {
    struct credpool *p = calloc(1, sizeof *p);
    if (p == NULL) return NULL;
    p->tail = &p->head;
    p->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&p->lock, NULL);
    thread_cond_init(&p->wake);
    bool runs = p->stop_fd >= 0 && thread_start(&p->thread, 0, pool_main, p) == 0;
    if (runs) return p;
    credpool_free(p);
    return NULL;
}

void credpool_stop(struct credpool *p) {
    if (p == NULL) return;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    eventfd_write(p->stop_fd, 1);
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    while (p->head != NULL) { /* nobody adds to it any more */
        struct cred *c = dequeue(p);
        answer(p, c, CRED_FAILED);
        cred_unref(c);
    }
}

void credpool_free(struct credpool *p) {
    if (p == NULL) return;
    if (p->stop_fd >= 0) close(p->stop_fd);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

void cred_renew(struct credpool *p, struct cred *c, const struct cred_value *used, struct cred_wait *w) {
    pthread_mutex_lock(&p->lock);
    pthread_mutex_lock(&c->lock);
    bool newer = c->value != used; /* somebody else was faster */
    pthread_mutex_unlock(&c->lock);
    bool wait = !newer && !p->stopping;
    if (wait) {
        struct cred_wait **list = c->reading ? &c->late : &c->waiting;
        w->next = *list;
        *list = w;
        if (!c->reading && !c->queued) enqueue(p, c);
    } else
        w->news = newer ? CRED_NEWER : CRED_FAILED;
    pthread_mutex_unlock(&p->lock);
    if (!wait) worker_post(w->worker, &w->msg);
}
