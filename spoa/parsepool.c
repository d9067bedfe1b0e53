#include "spoa/parsepool.h"

#include "policy/parsed.h"
#include "spoa/mask.h"
#include "spoa/thread.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define POOL_STACK   (1u << 30) /* reserved, touched only as far as a statement nests */
#define POOL_THREADS 8u
#define POOL_LANES   256u

/* Of the principals whose names have one hash. */
struct lane {
    struct parse_job *head, **tail;
    size_t waiting, bytes; /* bytes: with those at work */
    unsigned at_work;
};

struct parsepool {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct lane lanes[POOL_LANES];
    unsigned turn; /* the lane that is looked at first */
    size_t waiting, bytes, max_waiting, max_bytes;
    bool stopping;
    struct pol_parse_limits limits;
    uint64_t seed;
    unsigned nthreads;
    pthread_t threads[POOL_THREADS];
};

/* The next lane's first job; not of one that has all threads but one at work already: its jobs may take long, and others come. NULL: there is none. */
static struct parse_job *take(struct parsepool *p) {
    unsigned most = p->nthreads > 1 ? p->nthreads - 1 : 1;
    for (unsigned i = 0; p->waiting > 0 && i < POOL_LANES; i++) {
        struct lane *l = &p->lanes[(p->turn + i) % POOL_LANES];
        struct parse_job *job = l->head;
        if (job == NULL || l->at_work >= most) continue;
        l->head = job->next;
        if (l->head == NULL) l->tail = &l->head;
        l->waiting--;
        l->at_work++;
        p->waiting--;
        p->turn = (p->turn + i + 1) % POOL_LANES;
        return job;
    }
    return NULL;
}

static struct parse_job *next_job(struct parsepool *p) {
    struct parse_job *job = NULL;
    pthread_mutex_lock(&p->lock);
    while (!p->stopping && (job = take(p)) == NULL) pthread_cond_wait(&p->wake, &p->lock);
    pthread_mutex_unlock(&p->lock);
    return job;
}

static void done(struct parsepool *p, unsigned lane, size_t weight) {
    pthread_mutex_lock(&p->lock);
    p->lanes[lane].at_work--;
    p->lanes[lane].bytes -= weight;
    p->bytes -= weight;
    if (p->waiting > 0) pthread_cond_signal(&p->wake); /* a thread may sleep because of that lane */
    pthread_mutex_unlock(&p->lock);
}

/* The role's verdict on the job's facts, which are for others, too: whether what runs is to be made. */
static bool rewrites(struct parse_job *job) {
    if (!job->ahead || job->facts == NULL) return false;
    pol_judge(job->role, job->facts, job->why);
    return job->why->effect == POL_ALLOW && job->why->rewrite;
}

static void work_my(const struct parsepool *p, struct parse_job *job, size_t len) {
    const struct pol_parse_limits limits = {.bytes = p->limits.bytes, .tokens = p->limits.tokens};
    bool facts = job->role == NULL || job->ahead;
    job->my.limits = &limits;
    if (facts) job->facts = pol_facts_my(job->text, len, &job->my, &job->err);
    if (!facts || rewrites(job)) job->rc = pol_rewrite_my(job->text, len, &job->my, job->role, &job->rewritten, job->why);
    job->my.limits = NULL;
}

static void work_pg(const struct parsepool *p, struct parse_job *job, size_t len) {
    struct pol_parsed tree;
    if (job->role != NULL && !job->ahead) {
        job->rc = pol_rewrite_pg(job->text, len, job->role, &job->rewritten, job->why);
        return;
    }
    if (!pol_parse_pg(&tree, job->text, len, &p->limits, &job->err)) return;
    job->facts = pol_facts_parsed(&tree, &job->err);
    if (rewrites(job)) job->rc = pol_rewrite_parsed(&tree, job->role, &job->rewritten, job->why);
    pol_parse_clear(&tree);
}

/* What libpg_query keeps for a thread it frees by a destructor of its own when the thread ends: calling pg_query_exit() too frees it twice. */
static void *pool_main(void *arg) {
    struct parsepool *p = arg;
    struct parse_job *job;
    while ((job = next_job(p)) != NULL) {
        size_t len = job->len, weight = job->weight;
        unsigned lane = job->lane;
        if (job->work != NULL)
            job->work(job);
        else if (job->judged != NULL)
            pol_judge(job->role, job->judged, job->why);
        else if (job->mysql)
            work_my(p, job, len);
        else
            work_pg(p, job, len);
        if (job->work == NULL && (job->role == NULL || job->ahead) && job->facts == NULL)
            job->holds_token = mask_needed(job->text, len, false);
        worker_post(job->worker, &job->msg); /* the job is the worker's from here on */
        done(p, lane, weight);
    }
    return NULL;
}

void parsepool_keep_memory(void) {
    mallopt(M_MMAP_THRESHOLD, 8 << 20);
    mallopt(M_TRIM_THRESHOLD, 32 << 20);
}

struct parsepool *parsepool_new(unsigned threads, size_t queue, size_t bytes, const struct pol_parse_limits *limits) {
    struct parsepool *p = calloc(1, sizeof *p);
    if (p == NULL || getrandom(&p->seed, sizeof p->seed, 0) != (ssize_t)sizeof p->seed) {
        free(p);
        return NULL;
    }
    for (unsigned i = 0; i < POOL_LANES; i++) p->lanes[i].tail = &p->lanes[i].head;
    p->max_waiting = queue;
    p->max_bytes = bytes;
    p->limits = *limits;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_mutex_lock(&p->lock); /* they count themselves */
    while (p->nthreads < threads && p->nthreads < POOL_THREADS && thread_start(&p->threads[p->nthreads], POOL_STACK, pool_main, p) == 0)
        p->nthreads++;
    pthread_mutex_unlock(&p->lock);
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
    job->holds_token = true;
    job->worker = w;
    job->msg.run = run;
    job->len = job->weight = len;
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

bool parse_job_rewrites(struct parse_job *job, const struct pol_role *role, bool ahead) {
    job->why = calloc(1, sizeof *job->why);
    if (job->why == NULL) return false;
    /* When the daemon stops before a thread takes it. */
    *job->why = (struct pol_verdict){
        .effect = POL_DENY, .rule = "", .sqlstate = "57P03", .message = "gatehouse is shutting down", .hint = "Connect again in a moment."};
    job->rc = ahead ? POL_REWRITE_LONG : POL_REWRITE_REFUSED;
    job->ahead = ahead;
    job->role = role;
    return true;
}

bool parse_job_judges(struct parse_job *job, const struct pol_role *role, const struct pol_facts *facts) {
    job->judged = facts;
    return parse_job_rewrites(job, role, false);
}

void parse_job_free(struct parse_job *job) {
    if (job == NULL) return;
    if (job->rc == POL_REWRITE_DONE) pol_rewritten_free(&job->rewritten);
    free(job->why);
    free(job);
}

static unsigned lane_of(const struct parsepool *p, const char *principal) {
    uint64_t h = p->seed;
    for (; *principal != '\0'; principal++) h = (h ^ (unsigned char)*principal) * 0x100000001b3u;
    return (unsigned)((h ^ h >> 32) % POOL_LANES);
}

/* One job, however long, has room in a lane without any. */
static bool has_room(const struct parsepool *p, const struct lane *l, size_t weight) {
    if (p->waiting >= p->max_waiting || p->bytes > p->max_bytes || weight > p->max_bytes - p->bytes) return false;
    return (l->waiting == 0 && l->at_work == 0) || (l->waiting < (p->max_waiting + 1) / 2 && l->bytes + weight <= p->max_bytes / 2);
}

bool parsepool_submit(struct parsepool *p, struct parse_job *job, const char *principal) {
    pthread_mutex_lock(&p->lock);
    job->lane = lane_of(p, principal);
    struct lane *l = &p->lanes[job->lane];
    bool ok = !p->stopping && has_room(p, l, job->weight);
    if (ok) {
        job->next = NULL;
        *l->tail = job;
        l->tail = &job->next;
        l->waiting++;
        l->bytes += job->weight;
        p->waiting++;
        p->bytes += job->weight;
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

void parsepool_stop(struct parsepool *p) {
    if (p == NULL) return;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->nthreads; i++) pthread_join(p->threads[i], NULL);
    p->nthreads = 0;
    for (unsigned i = 0; i < POOL_LANES;) {
        struct parse_job *job = p->lanes[i].head;
        if (job == NULL) {
            i++;
            continue;
        }
        p->lanes[i].head = job->next;
        job->err.rc = POL_NO_MEMORY;
        snprintf(job->err.text, sizeof job->err.text, "the daemon is stopping");
        worker_post(job->worker, &job->msg);
    }
}

void parsepool_free(struct parsepool *p) {
    if (p == NULL) return;
    parsepool_stop(p);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
