/* Threads with very large stacks that parse, judge and rewrite what takes long, so that the workers' other sessions do not wait. Principals take turns,
 * by a hash of their names (McKenney, Stochastic Fairness Queueing, 1990): whoever sends much of it waits for himself. */
#ifndef GH_SPOA_PARSEPOOL_H
#define GH_SPOA_PARSEPOOL_H

#include "policy/facts_my.h"
#include "policy/rewrite.h"
#include "spoa/worker.h"

struct parsepool;

struct parse_job {
    struct wmsg msg; /* what the worker gets; msg.run set by the caller */
    struct worker *worker;
    void *owner; /* the caller's own, as are id, step and held */
    uint64_t id;
    unsigned step;
    void *held;
    /* out: facts (the receiver's), or NULL and err */
    struct pol_facts *facts;
    struct pol_parse_error err;
    bool holds_token; /* without facts: mask_needed() of the text. True until the pool has looked */
    bool mysql;       /* by pol_facts_my() or pol_rewrite_my() with these, whose default_db is copied: see parse_job_mysql() */
    struct my_options my;
    char my_db[256];
    /* With parse_job_rewrites(), in the place of facts: what pol_rewrite_pg() or pol_rewrite_my() gives. ahead: besides facts, when the role's verdict on these wants it, for one parse
     * less; rc is POL_REWRITE_LONG when it does not. */
    const struct pol_role *role;
    bool ahead;
    enum pol_rewrite_rc rc;
    struct pol_rewritten rewritten;
    struct pol_verdict *why;
    /* With parse_job_judges(): what the role's policy says of these is in *why. */
    const struct pol_facts *judged;
    /* Something else: the thread calls this instead. */
    void (*work)(struct parse_job *job);
    /* the pool's own */
    struct parse_job *next;
    unsigned lane;
    size_t weight; /* bytes that wait with it: of its text, and what the caller adds before it is submitted */
    size_t len;
    char text[]; /* copied: the session may end while its statement is parsed */
};

/* For the whole process, before it has other threads: what a long statement's tree took stays with the thread for the next one, up to 32 MiB. Fetching it page by page and giving it back
 * takes an eighth of the time of parsing. */
void parsepool_keep_memory(void);
/* queue, bytes: what may wait at most; one principal may have half of either, and all threads but one. NULL when threads cannot be started. */
struct parsepool *parsepool_new(unsigned threads, size_t queue, size_t bytes, const struct pol_parse_limits *limits);
/* NULL when out of memory. Free with parse_job_free(). */
struct parse_job *parse_job_new(struct worker *w, const char *text, size_t len, void (*run)(struct worker *w, struct wmsg *m));
/* The job is to rewrite for this role, which nobody else may use before it is done. ahead: see there. False when out of memory. */
bool parse_job_rewrites(struct parse_job *job, const struct pol_role *role, bool ahead);
/* The job has no text: it is to judge these facts, which stay as long as it lives, by this role, which nobody else may use before it is done. False when out of memory. */
bool parse_job_judges(struct parse_job *job, const struct pol_role *role, const struct pol_facts *facts);
/* The text is MySQL's. False when the default database's name is too long. */
bool parse_job_mysql(struct parse_job *job, const struct my_options *o);
/* Whether it was read as o says; limits apart. */
bool parse_job_read_as(const struct parse_job *job, const struct my_options *o);
void parse_job_free(struct parse_job *job); /* but for facts; NULL is fine */
/* For that principal. False when the queue is full, or his share of it: the job stays the caller's. Otherwise it is posted to its worker exactly once. */
bool parsepool_submit(struct parsepool *p, struct parse_job *job, const char *principal);
/* Any thread: how many jobs wait for a thread, and the bytes of these and of those at work. */
void parsepool_load(struct parsepool *p, size_t *waiting, size_t *bytes);
/* Finishes the jobs at hand; jobs that still wait are posted with an error. From here on every job is refused: workers that still run may come with some. */
void parsepool_stop(struct parsepool *p);
void parsepool_free(struct parsepool *p); /* after the workers' threads have ended; stops it first. NULL is fine, here and there */

#endif
