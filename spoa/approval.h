/* Requests for approval, and what was decided on them: the store. It blocks (a lock between processes, fdatasync), so workers reach it through
 * approval_desk.h; everything here may be called by any thread.
 *
 * A request is for one fingerprint: one statement with its parameters, one identity, one database. It is pending, then approved or denied, used
 * once, or over; or it became a grant (order.h), when all who agreed did so for some time. All of it is in JOURNAL/approvals.log before anybody is told, so it survives the daemon, and daemons of one node share it. An
 * approval counts only with its decisions signed by the node's key; Redis gets copies for readers and is never asked. */
#ifndef GH_SPOA_APPROVAL_H
#define GH_SPOA_APPROVAL_H

#include "policy/policy.h"
#include "spoa/jwt.h"
#include "spoa/ledger.h"
#include "spoa/nodekey.h"
#include "spoa/order.h"

#include <jansson.h>

#define APPR_ID_SIZE  17                  /* 16 characters and a NUL */
#define APPR_SQL_MAX  (256u << 10)        /* of a statement that people can be asked about */
#define APPR_KEEP_MAX ((size_t)128 << 20) /* of all that is kept */
#define APPR_REASON   500u                /* bytes of a reason, of either side */

struct appr_conf { /* strings are copied */
    const char *dir, *node;
    struct led *led; /* events go there; NULL: nowhere. Outlives the store */
    struct news news;
    /* milliseconds since 1970; NULL: the system's clock */
    uint64_t (*now)(void);
};

struct appr; /* opaque */
/* NULL and a sentence in err. */
struct appr *appr_open(const struct appr_conf *conf, char *err, size_t size);
void appr_close(struct appr *a); /* NULL is fine */
/* Before anybody asks or decides: where grants are kept, and who is blocked and so decides nothing. NULL: nowhere. Outlives the store. */
void appr_use_orders(struct appr *a, struct ord *orders);
const struct nodekey *appr_key(const struct appr *a);
/* Grows with every decision that this process has seen made. */
uint64_t appr_epoch(const struct appr *a);
/* Time passes, and other processes write. Call it about once a second. */
void appr_sweep(struct appr *a);

/* --- a statement that a rule asks about --- */

struct appr_question {
    const char *fingerprint; /* hex */
    const char *kind;        /* likewise, of its kind; NULL or "": it has none */
    const char *principal;
    /* [{"rule", "approvers": [...], "quorum"}], as they are now; with "grant": {"max": ms, "scope"} where a rule has that; borrowed */
    const json_t *asks;
    json_t *detail; /* for the approver: principal, database, sql, ...; taken over (a reference) */
    uint64_t expires_ms, window_ms;
    size_t max, max_principal; /* requests that may be pending */
};
enum appr_rc {
    APPR_NEW,     /* a request was made */
    APPR_PENDING, /* it is there already and undecided */
    APPR_DENIED,
    APPR_RUN,  /* approved: and used up by this call, or granted. It must run now or never */
    APPR_FULL, /* too many are pending */
    APPR_FAILED,
};
struct appr_reply {
    enum appr_rc rc;
    char id[APPR_ID_SIZE];
    uint64_t expires_ms;          /* since 1970: of a pending request */
    unsigned have;                /* approvals so far */
    char grant[ORD_ID_SIZE];      /* APPR_RUN by a grant: which; "": used up */
    bool mine;                    /* APPR_FULL: of this principal */
    char by[512];                 /* who approved, or denied */
    char text[APPR_REASON + 256]; /* the reason of a denial; what failed */
};
void appr_ask(struct appr *a, struct appr_question *q, struct appr_reply *r);

/* What the database's planner thinks of a pending request: for who decides, and of no consequence. */
void appr_estimate(struct appr *a, const char *id, uint64_t rows);

/* --- deciding --- */

enum appr_decided {
    APPR_TAKEN,     /* the decision counts; see *done */
    APPR_UNKNOWN,   /* no such request */
    APPR_OVER,      /* expired, used, or decided */
    APPR_SELF,      /* of one's own */
    APPR_STRANGER,  /* no group of theirs may decide */
    APPR_TWICE,     /* has approved it already */
    APPR_BLOCKED,   /* who decides is blocked */
    APPR_NO_GRANT,  /* not for so long, or so much, or any time at all */
    APPR_NOT_TAKEN, /* it could not be written */
};
struct appr_decision {
    const char *id;
    bool approve;
    const struct jwt_identity *who;
    const char *reason; /* NULL: none */
    uint64_t grant_ms;  /* to approve for so long; 0: for once */
    enum pol_scope scope;
};
/* *shown: the request as it is then, a new reference, or NULL. why: a sentence for the approver, of whatever outcome. */
enum appr_decided appr_decide(struct appr *a, const struct appr_decision *d, json_t **shown, char *why, size_t size);

/* --- reading --- */

/* One request with everything; NULL when there is none. A new reference. who: NULL, or only when they may see it: it is their own, or one of
 * their groups is among its approvers. *may: what they could decide now; may be NULL. */
struct appr_may {
    bool approve, deny;
    bool own;             /* it is their own, as far as names tell */
    bool kind;            /* the statement has a kind */
    uint64_t grant_ms;    /* to approve for so long at most; 0: only for once */
    enum pol_scope scope; /* and for so much */
};
json_t *appr_show(struct appr *a, const char *id, const struct jwt_identity *who, struct appr_may *may);
struct appr_view {
    const char *after; /* only ids behind it; "": from the first */
    size_t max;
    bool over;                      /* also those that are over */
    const struct jwt_identity *who; /* as for appr_show() */
};
/* In the order of their ids, and of a few MiB at most; sql cut. *more: there are more. A new reference; NULL without memory. */
json_t *appr_list(struct appr *a, const struct appr_view *v, bool *more);
struct appr_counts {
    size_t pending, approved;
};
void appr_count(struct appr *a, struct appr_counts *c);

#endif
