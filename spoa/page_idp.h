/* What the approvers' page asks the OpenID provider: its discovery document, and a token for a code. A thread of its own, so that a slow provider
 * keeps nobody waiting but those who sign in. */
#ifndef GH_SPOA_PAGE_IDP_H
#define GH_SPOA_PAGE_IDP_H

#include "spoa/config.h"
#include "spoa/worker.h"

#define IDP_JOBS_MAX 8u /* at once */

struct idp;                   /* opaque */
struct idp *idp_start(void);  /* NULL when the system has no room */
void idp_stop(struct idp *p); /* What is under way fails, and is posted; nothing more is taken. NULL is fine */
void idp_free(struct idp *p); /* stopped, and nobody submits any more. NULL is fine */

struct idp_job {     /* allocated and freed by the asker, who leaves it alone until it comes back */
    struct wmsg msg; /* msg.run: the asker's; on from, once */
    struct worker *from;
    struct conf_provider at;    /* strings borrowed until it comes back */
    bool by_subject;            /* sub says who it is: a provider that gives each client another one will not do */
    char *form, *authorization; /* POST this to the token endpoint; form NULL: the authorization endpoint is wanted. Owned, wiped */
    /* the answer */
    char *address;      /* the authorization endpoint; owned */
    char *id_token;     /* owned, wiped */
    char *access_token; /* likewise; NULL when there is none */
    char why[400];      /* "" when it went well; else for the log */
    void *owner;        /* the asker's */
    struct idp_job *next;
};
/* False: too many are under way; the job stays the caller's. */
bool idp_submit(struct idp *p, struct idp_job *j);
/* Frees it with what it owns; NULL is fine. */
void idp_job_free(struct idp_job *j);

#endif
