/* Threads with very large stacks that parse long statements, so that the workers' other sessions do not wait. */
#ifndef GH_SPOA_PARSEPOOL_H
#define GH_SPOA_PARSEPOOL_H

#include "policy/facts.h"
#include "spoa/worker.h"

struct parsepool;

struct parse_job {
    struct wmsg msg; /* what the worker gets; msg.run set by the caller */
    struct worker *worker;
    void *owner; /* the caller's own, as is id */
    uint64_t id;
    /* out: facts (the receiver's), or NULL and err */
    struct pol_facts *facts;
    struct pol_parse_error err;
    /* the pool's own */
    struct parse_job *next;
    size_t len;
    char text[]; /* copied: the session may end while its statement is parsed */
};

/* queue, bytes: what may wait at most. NULL when threads cannot be started. */
struct parsepool *parsepool_new(unsigned threads, size_t queue, size_t bytes, const struct pol_parse_limits *limits);
/* NULL when out of memory. Free with free(). */
struct parse_job *parse_job_new(struct worker *w, const char *text, size_t len, void (*run)(struct worker *w, struct wmsg *m));
/* False when the queue is full: the job stays the caller's. Otherwise it is posted to its worker exactly once. */
bool parsepool_submit(struct parsepool *p, struct parse_job *job);
/* Finishes the jobs at hand; jobs that still wait are posted with an error. */
void parsepool_free(struct parsepool *p);

#endif
