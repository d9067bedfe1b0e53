/* A statement, whoever asks: its facts, the verdict on it, its record. Shared by sessions and by the statement API. */
#ifndef GH_SPOA_STATEMENT_H
#define GH_SPOA_STATEMENT_H

#include "filters/filter.h"
#include "policy/facts_my.h"
#include "policy/policy.h"
#include "spoa/factscache.h"
#include "spoa/metrics.h"
#include "spoa/order.h"
#include "spoa/parsepool.h"
#include "spoa/record.h"
#include "spoa/rewrites.h"

#define STMT_INLINE_BYTES                                                                                                                  \
    2048u /* sessions leave longer texts to the parse pool, and shorter ones whose work is more than pol_parse_limits.brief takes */
#define STMT_CACHE_BYTES 32768u /* facts of longer texts are not kept: they would push hundreds of short ones out */

/* A refusal of our own, which no rule decided. hint may be "". */
void stmt_deny(struct pol_verdict *v, const char *sqlstate, const char *message, const char *hint);

/* A reference to the facts of a PostgreSQL text, from the cache or parsed now; NULL and *err when it has none. limits->brief: POL_LONG where it is for the pool. */
struct facts_ref *stmt_facts(struct factscache *cache, const char *text, size_t len, const struct pol_parse_limits *limits,
                             struct pol_parse_error *err);
/* Keeps what the pool made. */
void stmt_keep(struct factscache *cache, const char *text, size_t len, struct facts_ref *r);
/* Whether it is longer than is parsed at all. */
bool stmt_is_over(size_t len, const struct pol_parse_limits *limits);
/* Whether it is for its length alone; then *err says POL_LONG. */
bool stmt_is_long(size_t len, const struct pol_parse_limits *limits, struct pol_parse_error *err);
/* The same of facts that the pool made (taken over; may be NULL, then *err says why). */
struct facts_ref *stmt_facts_of(struct pol_facts *facts, struct pol_parse_error *err);

/* What the parse pool is to do of a statement: to judge facts, to rewrite a text, to find its facts, or something else. */
struct stmt_pooled {
    const char *text; /* copied */
    size_t len;
    const struct my_options *my;    /* as what it is read; NULL: PostgreSQL's */
    const struct pol_role *role;    /* to rewrite or judge for, which nobody else may use meanwhile; NULL: the text's facts are wanted */
    bool ahead;                     /* with role: facts, and what runs in the text's place where that follows from the role */
    const struct pol_facts *judges; /* with role: these, in place of a text, and they stay as long as the job lives; NULL: rewrite */
    void (*work)(struct parse_job *job); /* the something else; NULL: one of the above */
    void *held;                          /* goes with the job, and stays the caller's; NULL is fine */
    size_t weight;                       /* its bytes, which wait with the text's */
    const char *principal;               /* whose turn it is */
    void *owner;                         /* the job's */
    uint64_t id;
    unsigned step;
    void (*run)(struct worker *w, struct wmsg *m); /* what its worker gets */
};
struct stmt_pool {
    struct parsepool *pool;
    struct worker *worker; /* the calling one */
    struct mblock *metrics;
};
/* False: there is no room for it, or no memory, and v, which may be NULL, refuses. */
bool stmt_in_pool(const struct stmt_pool *pool, const struct stmt_pooled *what, struct pol_verdict *v);
/* What v then says. */
void stmt_no_room(struct pol_verdict *v);

/* MySQL's and MariaDB's; server: all that its options stand for, as part of the cache's key. (statement_my.c) */
struct facts_ref *stmt_facts_my(struct factscache *cache, const char *server, const char *text, size_t len, const struct my_options *o,
                                struct pol_parse_error *err);
/* Keeps what the pool made. */
void stmt_keep_my(struct factscache *cache, const char *server, const char *text, size_t len, const struct my_options *o,
                  struct facts_ref *r);
/* Why nobody can agree to a text of theirs: it means what the session has made of it. NULL: it does not. */
const char *stmt_my_unaskable(const struct pol_facts *f, const char *text, size_t len, const struct my_options *o);
/* For tests: the first name of a table of its own that stands in the wrong place; NULL when all are sorted. */
const char *stmt_my_out_of_order(void);
/* Why a statement is not for those from whom something is hidden, whatever it reads: it shows what the server has said of an earlier one. NULL: it is. */
const char *stmt_my_tells(const struct pol_facts *f);
/* It may put new rows in the place of others: ON DUPLICATE KEY UPDATE, REPLACE. */
bool stmt_my_overwrites(const struct pol_facts *f);

/* Fills v. f NULL: the text has no facts, err says why. True when the statement is forwarded although v refuses it (mode: observe). */
bool stmt_judge(const struct pol_role *role, const struct pol_facts *f, const struct pol_parse_error *err, struct pol_verdict *v);

/* A statement that was allowed and recorded, to be looked at again before it leaves: the record may have taken as long as audit.timeout. */
struct stmt_leaving {
    const struct pol_role *role; /* of now; NULL: there is none */
    const struct pol_facts *facts;
    const struct pol_parse_error *err;
    const struct pol_verdict *verdict; /* that let it pass */
    bool same;                         /* nothing has changed by which it was judged */
    bool ours;                         /* the server gets nothing of its text */
    bool approved;                     /* by people or with broken glass: under that policy, and no other */
    bool observed;                     /* that verdict was a refusal, forwarded by mode: observe */
    bool shaped;                       /* that verdict rewrites it, or limits its result, and was not given by mode: observe */
    bool unpinned;                     /* names may mean something else than the pins say: pol_role_everything() */
    bool glass_over;
    int64_t valid_until; /* of the token, seconds since 1970; INT64_MAX: it brings a new one */
    const char *grant;   /* by which it runs; "": by none */
    struct ord *orders;
};
/* NULL: it may leave, as it is. Else a word for the record, and v, which refuses it. Under another policy it leaves only when that allows it as it is. */
const char *stmt_over(const struct stmt_leaving *l, struct pol_verdict *v);

/* Counts a verdict. */
void stmt_count(struct mblock *m, const char *database, const struct pol_verdict *v, bool observed);

/* What the event "statement" says. */
struct stmt_record {
    uint64_t id;
    const char *kind; /* "query", "parse", "execute" */
    const struct pol_verdict *verdict;
    bool observed;
    const char *text;
    size_t len;
    uint64_t parse_id; /* not 0: the record of its Parse has the text */
    const char *name;  /* NULL: none */
    const struct flt_param *params;
    size_t nparams;
    bool params_cut;
    bool cut; /* there is no room in the pool for its record: of the text the beginning is enough, and parameters are left out */
    struct facts_ref *facts; /* NULL: none */
    const char *principal, *database, *policy;
    const char *rewritten; /* what runs in its place; NULL: the text itself */
    size_t rewritten_len;
    bool observes;             /* mode: observe, so nothing is hidden, filtered or limited */
    bool would;                /* with rewritten: but for that mode it would run; the text itself does */
    const struct nodekey *key; /* of what is hidden a keyed hash is recorded; NULL: none */
    struct led_run **whose;    /* where a session keeps what is recorded of principal and database; NULL: nowhere */
};
/* The text as it may be recorded and shown: without passwords and tokens. NULL when there is nothing to hide; else the caller frees, *outlen without
 * its NUL. NULL also without memory: starved() tells. facts may be NULL. */
char *stmt_text_hidden(const struct pol_facts *facts, const char *text, size_t len, size_t *outlen);
/* Appends it to the session's stream with passwords hidden; more, which may be NULL: fields of the caller's behind its own. */
void stmt_record(struct led *l, const char *session, const struct stmt_record *st, const struct rec *more, led_done_fn done, void *arg);
/* Whether its record is for the parse pool: hiding, masking, hashing and escaping pass over all of its texts, some ten times, at up to 20 ms a MB. */
#define STMT_RECORD_INLINE 32768u
bool stmt_record_is_long(const struct stmt_record *st);
/* Has the pool make it; of whose, principal, owner, id, step and run count. rewrite: what st's rewritten is a part of, NULL: nothing. False: there is no room or no memory, and nothing is recorded. */
bool stmt_record_in_pool(const struct stmt_pool *pool, struct led *l, const char *session, const struct stmt_record *st,
                         struct rewrite *rewrite, const struct rec *more, const struct stmt_pooled *whose);
/* Appends what the job has made, by led_append_made(), and frees it. */
void stmt_record_made(struct parse_job *job, bool journal_does, led_done_fn done, void *arg);
/* A statement that was recorded as allowed, but never left. */
void stmt_record_withheld(struct led *l, const char *session, uint64_t id, const char *reason);

/* What is to be said when a principal is over limits.audit_rate. */
#define STMT_OVER_QUOTA      "you have written more to the audit record within a minute than limits.audit_rate allows"
#define STMT_OVER_QUOTA_HINT "Wait some seconds, then send fewer or shorter statements."
/* Records, instead of each refusal, how many there were. */
void stmt_record_quota(struct led *l, const char *session, const char *principal, uint64_t refused);

#endif
