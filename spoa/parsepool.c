#include "spoa/parsepool.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POOL_STACK   (1u << 30) /* reserved, touched only as far as a statement nests */
#define POOL_THREADS 8u

struct parsepool {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct parse_job *head, **tail;
    size_t waiting, bytes, max_waiting, max_bytes;
    bool stopping;
    struct pol_parse_limits limits;
    unsigned nthreads;
    pthread_t threads[POOL_THREADS];
};

static struct parse_job *next_job(struct parsepool *p) {
    pthread_mutex_lock(&p->lock);
    while (p->head == NULL && !p->stopping) pthread_cond_wait(&p->wake, &p->lock);
    struct parse_job *job = p->stopping ? NULL : p->head;
    if (job != NULL) {
        p->head = job->next;
        if (p->head == NULL) p->tail = &p->head;
        p->waiting--;
    }
    pthread_mutex_unlock(&p->lock);
    return job;
}

static void work_my(const struct parsepool *p, struct parse_job *job, size_t len) {
    const struct pol_parse_limits limits = {.bytes = p->limits.bytes, .tokens = p->limits.tokens};
    job->my.limits = &limits;
    if (job->role != NULL)
        job->rc = pol_rewrite_my(job->text, len, &job->my, job->role, &job->rewritten, job->why);
    else
        job->facts = pol_facts_my(job->text, len, &job->my, &job->err);
    job->my.limits = NULL;
}

/* What libpg_query keeps for a thread it frees by a destructor of its own when the thread ends: calling pg_query_exit() too frees it twice. */
static void *pool_main(void *arg) {
    struct parsepool *p = arg;
    struct parse_job *job;
    while ((job = next_job(p)) != NULL) {
        size_t len = job->len;
        if (job->mysql)
            work_my(p, job, len);
        else if (job->role != NULL)
            job->rc = pol_rewrite_pg(job->text, len, job->role, &job->rewritten, job->why);
        else
            job->facts = pol_facts_pg(job->text, len, &p->limits, &job->err);
        worker_post(job->worker, &job->msg); /* the job is the worker's from here on */
        pthread_mutex_lock(&p->lock);
        p->bytes -= len;
        pthread_mutex_unlock(&p->lock);
    }
    return NULL;
}

struct parsepool *parsepool_new(unsigned threads, size_t queue, size_t bytes, const struct pol_parse_limits *limits) {
    struct parsepool *p = calloc(1, sizeof *p);
    pthread_attr_t attr;
    sigset_t all, old;
    if (p == NULL) return NULL;
    p->tail = &p->head;
    p->max_waiting = queue;
    p->max_bytes = bytes;
    p->limits = *limits;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, POOL_STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    while (p->nthreads < threads && p->nthreads < POOL_THREADS && pthread_create(&p->threads[p->nthreads], &attr, pool_main, p) == 0)
        p->nthreads++;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (p->nthreads == 0) {
        parsepool_free(p);
        return NULL;
    }
    return p;
}

struct parse_job *parse_job_new(struct worker *w, const char *text, size_t len, void (*run)(struct worker *w, struct wmsg *m)) {
    if (len > SIZE_MAX - sizeof(struct parse_job) - 1) return NULL;
    struct parse_job *job = malloc(sizeof *job + len + 1);
    if (job == NULL) return NULL;
    memset(job, 0, sizeof *job);
    job->worker = w;
    job->msg.run = run;
    job->len = len;
    if (len > 0) memcpy(job->text, text, len);
    job->text[len] = '\0';
    return job;
}

bool parse_job_mysql(struct parse_job *job, const struct my_options *o) {
    if (o->default_db == NULL || strlen(o->default_db) >= sizeof job->my_db) return false;
    job->mysql = true;
    job->my = *o;
    strcpy(job->my_db, o->default_db);
    job->my.default_db = job->my_db;
    return true;
}

bool parse_job_read_as(const struct parse_job *job, const struct my_options *o) {
    return job->mysql && job->my.server == o->server && job->my.version == o->version && job->my.mode == o->mode &&
           job->my.fold_names == o->fold_names && job->my.multi == o->multi && o->default_db != NULL &&
           strcmp(job->my_db, o->default_db) == 0;
}

bool parse_job_rewrites(struct parse_job *job, const struct pol_role *role) {
    job->why = calloc(1, sizeof *job->why);
    if (job->why == NULL) return false;
    /* When the daemon stops before a thread takes it. */
    *job->why = (struct pol_verdict){
        .effect = POL_DENY, .rule = "", .sqlstate = "57P03", .message = "gatehouse is shutting down", .hint = "Connect again in a moment."};
    job->rc = POL_REWRITE_REFUSED;
    job->role = role;
    return true;
}

void parse_job_free(struct parse_job *job) {
    if (job == NULL) return;
    free(job->why);
    free(job);
}

bool parsepool_submit(struct parsepool *p, struct parse_job *job) {
    pthread_mutex_lock(&p->lock);
    bool ok = !p->stopping && p->waiting < p->max_waiting && p->bytes <= p->max_bytes && job->len <= p->max_bytes - p->bytes;
    if (ok) {
        job->next = NULL;
        *p->tail = job;
        p->tail = &job->next;
        p->waiting++;
        p->bytes += job->len;
        pthread_cond_signal(&p->wake);
    }
    pthread_mutex_unlock(&p->lock);
    return ok;
}

void parsepool_load(struct parsepool *p, size_t *waiting, size_t *bytes) {
    pthread_mutex_lock(&p->lock);
    *waiting = p->waiting;
    *bytes = p->bytes;
    pthread_mutex_unlock(&p->lock);
}

void parsepool_free(struct parsepool *p) {
    if (p == NULL) return;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->nthreads; i++) pthread_join(p->threads[i], NULL);
    while (p->head != NULL) {
        struct parse_job *job = p->head;
        p->head = job->next;
        job->err.rc = POL_NO_MEMORY;
        snprintf(job->err.text, sizeof job->err.text, "the daemon is stopping");
        worker_post(job->worker, &job->msg);
    }
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
