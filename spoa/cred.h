/* The password of a database's role: read when the configuration is, and again when the database refuses it, because somebody may have changed it
 * in both places. Any thread. */
#ifndef GH_SPOA_CRED_H
#define GH_SPOA_CRED_H

#include "spoa/secret.h"
#include "spoa/worker.h"

struct cred;       /* where it comes from, and what it is now; counted */
struct cred_value; /* what it was at one time; immutable, counted: whoever logs in with it holds it until the login is over */

struct cred_conf {    /* one of file, env and command.argv; copied */
    const char *name; /* the key in the configuration, for the log */
    const char *file, *env;
    struct secret_command command; /* argv NULL: none. timeout_ms and stop_fd are set here */
};

/* Reads it. NULL and a sentence in why. */
struct cred *cred_new(const struct cred_conf *conf, char *why, size_t size);
struct cred *cred_ref(struct cred *c);
void cred_unref(struct cred *c); /* NULL is fine */
/* What it is now, referenced. */
struct cred_value *cred_get(struct cred *c);
void cred_value_unref(struct cred_value *v); /* NULL is fine */
const char *cred_text(const struct cred_value *v);

struct credpool; /* the thread that reads again */
struct credpool *credpool_new(void);
/* Whoever waits is answered; the workers must run. Who asks later is told that it failed. NULL is fine. */
void credpool_stop(struct credpool *p);
void credpool_free(struct credpool *p); /* stopped, or never used. NULL is fine */

enum cred_news {
    CRED_SAME,   /* nothing else is there */
    CRED_NEWER,  /* cred_get() gives another one than the one that was refused */
    CRED_FAILED, /* it cannot be read now; the log says why */
};
struct cred_wait { /* the asker's; stays until msg has run on its worker */
    struct wmsg msg;
    struct worker *worker;
    enum cred_news news;
    struct cred_wait *next; /* while it waits */
};
/* The database refused used. Reads the source again, after the call and at most every 2 seconds whoever asks, and posts w->msg. */
void cred_renew(struct credpool *p, struct cred *c, const struct cred_value *used, struct cred_wait *w);

#endif
